"""minicnn and PyTorch on a GPU, each in float32 as it stands and with TF32: products of matrices in 10 bits of mantissa."""

import importlib.util
import os

from contestants import Minicnn, PyTorch


class MinicnnGpu(Minicnn):
    """The network moved with `.to("cupy")`."""

    package, tf32 = "minicnn", False

    def __init__(self, recipe, batch, width=1.0):
        os.environ["CUPY_TF32"] = str(int(self.tf32))  # which CuPy reads when it multiplies for the first time
        super().__init__(recipe, batch, width)
        import cupy

        self.cupy, self.images = cupy, cupy.asarray(self.images)
        self.net.to("cupy")
        self.facts["version"] = f"CuPy {cupy.__version__}"

    def training(self):
        value = super().training()
        self.cupy.cuda.Device().synchronize()
        return value

    def inference(self):
        super().inference()
        self.cupy.cuda.Device().synchronize()

    def peak(self):
        """Bytes of device memory that CuPy has taken; it gives none back."""
        return self.cupy.get_default_memory_pool().total_bytes()


class MinicnnTf32(MinicnnGpu):
    """The same; cuBLAS may round to TF32."""

    tf32 = True


class PyTorchGpu(PyTorch):
    """Eager PyTorch with cuDNN, which may try all of its algorithms first."""

    tf32 = False

    def __init__(self, recipe, batch):
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.tf32
        torch.backends.cudnn.benchmark = True
        super().__init__(recipe, batch)
        self.cuda = torch.cuda
        self.net.to("cuda")
        self.images, self.labels = self.images.cuda(), self.labels.cuda()
        self.facts = {"version": f"{torch.__version__}, cuDNN {torch.backends.cudnn.version()}"}

    def training(self):
        super().training()
        self.cuda.synchronize()

    def inference(self):
        super().inference()
        self.cuda.synchronize()

    def peak(self):
        """Bytes of device memory that PyTorch has taken at most."""
        return self.cuda.max_memory_reserved()


class PyTorchTf32(PyTorchGpu):
    """The same; cuBLAS and cuDNN may round to TF32."""

    tf32 = True


CONTESTANTS = {"minicnn": MinicnnGpu, "minicnn, TF32": MinicnnTf32, "PyTorch": PyTorchGpu, "PyTorch, TF32": PyTorchTf32}


def pytorch_is_missing(dry_run):
    """Why PyTorch takes no part, or an empty string. Not to be asked by a process that measures: it imports PyTorch."""
    if dry_run:
        return "a dry run goes without"
    if importlib.util.find_spec("torch") is None:
        return "it is not installed: pip install torch"
    import torch

    return "" if torch.cuda.is_available() else f"PyTorch {torch.__version__} sees no GPU"

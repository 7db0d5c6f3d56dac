"""What has to be there before the GPU can be used, asked for once a process."""

import functools

from minicnn.errors import BackendError

INSTALL = "pip install 'cupy-cuda12x[ctk]' (or cupy-cuda13x, if the driver is for CUDA 13)"


@functools.cache
def require_usable():
    """Raise BackendError with the first thing that is missing: CuPy, a driver, a GPU, cuBLAS, a compiler.

    CuPy imports without a driver, and counts devices without the libraries that every call needs: so the last questions are
    a sum, which is compiled and run, and a product, for which cuBLAS takes its workspace while there is room for it.
    """
    cupy = _import()
    if cupy.cuda.runtime.driverGetVersion() == 0:  # CuPy itself would call the driver too old
        raise BackendError("the cupy backend needs an NVIDIA driver, and none is installed: install one for this GPU from "
                           "nvidia.com/drivers or the system's packages, or use the numpy backend")
    if _device_count(cupy) == 0:
        raise BackendError("the cupy backend needs an NVIDIA GPU, and the driver sees none: look at nvidia-smi and at "
                           "CUDA_VISIBLE_DEVICES, or use the numpy backend")
    _attempt(cupy, "cuBLAS, which cannot be loaded", lambda: cupy.cuda.cublas.getVersion)
    _attempt(cupy, "to compile and run a kernel, and a sum of two numbers fails",
             lambda: float(cupy.arange(2, dtype="float32").sum()))
    _attempt(cupy, "cuBLAS, and a product of two matrices fails", lambda: _square(cupy.arange(4, dtype="float32")))


def describe():
    """What computes, in words: the GPU and its memory, and CuPy."""
    import cupy

    runtime = cupy.cuda.runtime
    properties, driver = runtime.getDeviceProperties(runtime.getDevice()), runtime.driverGetVersion()  # 12080 for 12.8
    return (f"{properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.1f} GiB, CuPy {cupy.__version__}, "
            f"driver for CUDA {driver // 1000}.{driver % 1000 // 10}")


def _square(numbers):
    matrix = numbers.reshape(2, 2)
    return matrix @ matrix


def _import():
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise BackendError(f"the cupy backend needs CuPy, which is installed but lacks {error.name}: {INSTALL}"
                               ) from error
        raise BackendError(f"the cupy backend needs the package CuPy, which is not installed: {INSTALL}") from None
    except Exception as error:
        raise BackendError(f"the cupy backend needs CuPy, which is installed but does not load ({_first_line(error)}): "
                           f"{INSTALL}") from error
    return cupy


def _device_count(cupy):
    try:
        return cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        if "NoDevice" in str(error):
            return 0
        raise BackendError(f"the cupy backend needs an NVIDIA driver that CuPy {cupy.__version__} can use "
                           f"({_first_line(error)}): update the driver, or {INSTALL}") from error


def _attempt(cupy, what, call):
    try:
        call()
    except Exception as error:
        raise BackendError(f"the cupy backend needs {what} ({_first_line(error)}; CuPy {cupy.__version__}): {INSTALL}"
                           ) from error


def _first_line(error):
    return str(error).strip().partition("\n")[0] or type(error).__name__

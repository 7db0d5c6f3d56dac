"""The GPU backend: what has to be there before it can be used."""

from minicnn.errors import BackendError


def require_usable():
    """Raise BackendError with the first thing that is missing: CuPy, a driver, a GPU."""
    try:
        import cupy
    except ImportError:
        raise BackendError("the cupy backend needs the package CuPy, which is not installed: "
                           "pip install 'cupy-cuda12x[ctk]'") from None
    runtime = cupy.cuda.runtime
    if runtime.driverGetVersion() == 0:
        raise BackendError("the cupy backend needs an NVIDIA driver, and none is installed")
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError:
        count = 0
    if count == 0:
        raise BackendError("the cupy backend needs an NVIDIA GPU, and the driver sees none")
    raise BackendError("the cupy backend needs minicnn's CUDA kernels, which this version does not have yet; "
                       "use the numpy backend")

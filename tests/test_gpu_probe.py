"""What `backends.get("cupy")` says when something is missing: one line, what it is and how to get it."""

import sys
import types

import pytest
from helpers import forget_cupy

from minicnn import BackendError, Linear, backends, cuda_on_cpu


@pytest.fixture(autouse=True)
def nothing_imported(monkeypatch):
    """Neither CuPy nor the backend that has imported it; all is as before afterwards."""
    forget_cupy(monkeypatch)


class CUDARuntimeError(RuntimeError):
    pass


def raising(error):
    def call(*args, **kwargs):
        raise error
    return call


def fake_cupy(monkeypatch, driver=13000, devices=lambda: 1, cublas=True, arange=None):
    """A module that answers the questions of the probe, and no others."""
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "14.2.0"
    cupy.cuda = types.ModuleType("cupy.cuda")
    cupy.cuda.runtime = types.SimpleNamespace(driverGetVersion=lambda: driver, getDeviceCount=devices,
                                              CUDARuntimeError=CUDARuntimeError)
    if cublas:
        cupy.cuda.cublas = types.SimpleNamespace(getVersion=None)
    else:
        cupy.cuda.__getattr__ = raising(ImportError("libcublas.so.13: cannot open shared object file"))
    cupy.arange = arange
    monkeypatch.setitem(sys.modules, "cupy", cupy)


def message():
    with pytest.raises(BackendError) as caught:
        backends.get("cupy")
    text = str(caught.value)
    assert "\n" not in text and "cupy" in text and len(text) < 300
    return text


def test_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert "not installed" in message() and "pip install 'cupy-cuda12x[ctk]'" in message()


@pytest.mark.parametrize("code, words", [
    ("import a_module_that_does_not_exist", "lacks a_module_that_does_not_exist"),
    ("raise ImportError('libnvrtc.so: cannot open\\nand much more')", "does not load (libnvrtc.so: cannot open)"),
    ("raise OSError", "does not load (OSError)"),
])  # fmt: skip
def test_cupy_that_cannot_be_imported(code, words, monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    assert words in message() and "pip install" in message()


def test_without_a_driver(monkeypatch):
    """CuPy itself would say that the driver's version is insufficient."""
    fake_cupy(monkeypatch, driver=0, devices=raising(CUDARuntimeError("cudaErrorInsufficientDriver: …")))
    assert "NVIDIA driver, and none is installed" in message()


@pytest.mark.parametrize("devices", [
    lambda: 0, raising(CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected"))])  # fmt: skip
def test_without_a_gpu(devices, monkeypatch):
    fake_cupy(monkeypatch, devices=devices)
    assert "NVIDIA GPU, and the driver sees none" in message() and "nvidia-smi" in message()


def test_with_a_driver_that_is_too_old(monkeypatch):
    fake_cupy(monkeypatch, driver=11040, devices=raising(CUDARuntimeError("cudaErrorInsufficientDriver: too old")))
    assert "update the driver" in message() and "cudaErrorInsufficientDriver: too old" in message()


def test_without_cublas(monkeypatch):
    fake_cupy(monkeypatch, cublas=False)
    assert "cuBLAS" in message() and "libcublas.so.13" in message() and "[ctk]" in message()


@pytest.mark.parametrize("error", [RuntimeError("Failed to find CUDA headers.\nSearched: …"), Exception("nvrtc\nline 2")])
def test_without_a_compiler(error, monkeypatch):
    """It shows only when something is compiled; what CuPy raises then is not always a RuntimeError."""
    fake_cupy(monkeypatch, arange=raising(error))
    assert "compile and run" in message() and str(error).partition("\n")[0] in message()


def test_with_a_cublas_that_loads_and_does_not_work(monkeypatch):
    """Its own libraries may be missing, or its workspace find no memory."""
    class Numbers:
        __matmul__ = raising(RuntimeError("CUBLAS_STATUS_NOT_INITIALIZED"))

        def sum(self):
            return 1.0

        def reshape(self, *shape):
            return self

    fake_cupy(monkeypatch, arange=lambda *args, **kwargs: Numbers())
    assert "cuBLAS, and a product of two matrices fails (CUBLAS_STATUS_NOT_INITIALIZED" in message()


def test_nothing_has_moved_when_something_is_missing(monkeypatch):
    fake_cupy(monkeypatch, driver=0)
    layer = Linear(2, 3)
    with pytest.raises(BackendError):
        layer.to("cupy")
    assert layer.backend == "numpy"


def test_a_gpu_is_probed_once_and_a_missing_one_each_time(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert message() == message()
    monkeypatch.delitem(sys.modules, "cupy")
    with cuda_on_cpu.pretend():
        import cupy

        ops = backends.get("cupy")
        ops.require_usable.cache_clear()
        asked, arange = [], cupy.arange
        monkeypatch.setattr(cupy, "arange", lambda *args, **kwargs: asked.append(args) or arange(*args, **kwargs))
        for _ in range(3):
            assert backends.get("cupy") is ops
        assert len(asked) == 2

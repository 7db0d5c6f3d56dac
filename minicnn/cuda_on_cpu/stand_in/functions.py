"""The functions of `cupy` that the stand-in has. What is not listed here does not exist."""

import numpy as np

from minicnn.cuda_on_cpu.stand_in.array import lift, ndarray, unwrap, upload, wrap

SAME_AS_NUMPY = (
    "abs", "absolute", "add", "amax", "amin", "any", "all", "argmax", "argmin", "argsort", "broadcast_to", "ceil",
    "clip", "concatenate", "cos", "cumsum", "divide", "dot", "einsum", "equal", "exp", "expand_dims", "expm1", "flip",
    "floor", "floor_divide", "fmax", "fmin", "greater", "greater_equal", "isfinite", "isinf", "isnan", "less",
    "less_equal", "log", "log1p", "log2", "logical_and", "logical_not", "logical_or", "matmul", "max", "maximum",
    "mean", "min", "minimum", "mod", "moveaxis", "multiply", "negative", "not_equal", "outer", "pad", "power", "prod",
    "ravel", "reciprocal", "repeat", "reshape", "roll", "rollaxis", "sign", "signbit", "sin", "split", "sqrt", "square",
    "squeeze", "stack", "std", "subtract", "sum", "swapaxes", "take", "tanh", "tensordot", "transpose", "true_divide",
    "var", "vstack", "where",
)
NAMES_OF_NUMPY = (
    "bool_", "dtype", "e", "finfo", "float16", "float32", "float64", "iinfo", "inf", "int16", "int32", "int64", "int8",
    "intp", "nan", "newaxis", "pi", "promote_types", "result_type", "uint16", "uint32", "uint64", "uint8",
)


def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype, order)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    unwrap(prototype)
    return ndarray(prototype.shape if shape is None else shape, dtype or prototype.dtype)


def zeros_like(a, dtype=None):
    return full(a.shape, 0, dtype or a.dtype)


def ones_like(a, dtype=None):
    return full(a.shape, 1, dtype or a.dtype)


def zeros(shape, dtype=float, order="C"):
    return full(shape, 0, dtype, order)


def ones(shape, dtype=float, order="C"):
    return full(shape, 1, dtype, order)


def full(shape, fill_value, dtype=None, order="C"):
    made = ndarray(shape, dtype or np.asarray(unwrap(fill_value)).dtype, order)
    made.fill(fill_value)
    return made


def arange(start, stop=None, step=1, dtype=None):
    return wrap(np.arange(start, stop, step, dtype) if stop is not None else np.arange(0, start, step, dtype))


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    if not isinstance(obj, ndarray):  # what comes from the host is copied always
        return ndarray._around(upload(np.array(obj, dtype, order=order, ndmin=ndmin)))
    return wrap(np.array(obj._array, dtype, copy=True if copy else None, order=order, ndmin=ndmin))


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    same = isinstance(a, ndarray) and not copy and (dtype is None or a.dtype == dtype) and order in (None, "K")
    return a if same else array(a, dtype, bool(copy), order or "K")


def ascontiguousarray(a, dtype=None):
    same = isinstance(a, ndarray) and a.flags.c_contiguous and (dtype is None or a.dtype == dtype)
    return a if same else array(a, dtype, order="C")


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    return np.asarray(a, order=order)


def copyto(dst, src, casting="same_kind", where=None):
    np.copyto(unwrap(dst), unwrap(src), casting, True if where is None else unwrap(where))


def get_array_module(*args):
    import sys

    return sys.modules["cupy"] if any(isinstance(a, ndarray) for a in args) else np


OWN = (empty, empty_like, zeros_like, ones_like, zeros, ones, full, arange, array, asarray, ascontiguousarray, asnumpy,
       copyto, get_array_module)


def all_functions():
    """{name: value} of the module `cupy`, but for its classes and submodules."""
    table = {name: getattr(np, name) for name in NAMES_OF_NUMPY}
    table |= {name: lift(getattr(np, name)) for name in SAME_AS_NUMPY}
    return table | {function.__name__: function for function in OWN}

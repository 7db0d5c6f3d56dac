"""The stand-in's `cupy.ndarray`: a wrapper around a NumPy array that keeps the border between host and device.

It is no NumPy array and derives from none, so that what CuPy refuses is refused: host arrays in operators and functions,
implicit conversion. What CuPy leaves on the device stays there: sums and single elements are arrays of no dimension.
"""

import types

import numpy as np

from minicnn.cuda_on_cpu.stand_in import memory
from minicnn.cuda_on_cpu.stand_in.streams import Stream

METHODS = ("all", "any", "argmax", "argmin", "argsort", "clip", "copy", "cumprod", "cumsum", "diagonal", "dot", "flatten",
           "max", "mean", "min", "nonzero", "prod", "ravel", "repeat", "reshape", "round", "squeeze", "std", "sum",
           "swapaxes", "take", "trace", "transpose", "var", "view")
ATTRIBUTES = ("dtype", "itemsize", "nbytes", "ndim", "shape", "size", "strides")
ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "floordiv": np.floor_divide,
              "mod": np.remainder, "pow": np.power, "matmul": np.matmul, "and": np.bitwise_and, "or": np.bitwise_or,
              "xor": np.bitwise_xor, "lshift": np.left_shift, "rshift": np.right_shift}
COMPARISONS = {"lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal, "gt": np.greater,
               "ge": np.greater_equal}
SIGNS = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}


def unwrap(value):
    """The NumPy array inside; refuses arrays of the host."""
    if isinstance(value, ndarray):
        return value._array
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (tuple, list)):
        return type(value)(map(unwrap, value))
    return value


def wrap(value):
    """What NumPy returned, on the device: views share the memory of their array, all else gets new memory."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(wrap, value))
    if not isinstance(value, (np.ndarray, np.generic)):
        return value
    if isinstance(value, np.generic) or memory.buffer_of(value) is None:
        value = upload(value)
    return ndarray._around(value)


def upload(value, dtype=None):
    """A copy of a host array in device memory, its axes in the same order."""
    value = np.asarray(value, dtype)
    fortran = value.flags.f_contiguous and not value.flags.c_contiguous
    array = memory.allocate(value.shape, value.dtype, "F" if fortran else "C")
    array[...] = value
    return array


def lift(function):
    """`function` of NumPy as one of device arrays."""
    def call(*args, **kwargs):
        out = kwargs.get("out")
        result = function(*map(unwrap, args), **{name: unwrap(value) for name, value in kwargs.items()})
        return wrap(result) if out is None else out
    call.__name__ = call.__qualname__ = function.__name__
    return call


class ndarray:
    """An array on the device. Uninitialised ones hold NaN."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, order="C"):
        shape = (shape,) if hasattr(shape, "__index__") else tuple(shape)
        self._array = memory.allocate(shape, dtype, order)

    @classmethod
    def _around(cls, array):
        self = cls.__new__(cls)
        self._array = array
        return self

    # --- to and from the host -------------------------------------------------------------------------------------

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. "
                        "Please use `.get()` to construct a NumPy array explicitly.")

    def get(self, stream=None, order="C", out=None, blocking=True):
        if out is None:
            straight = self.flags.f_contiguous if order == "F" else self.flags.c_contiguous
            return np.array(self._array if straight else upload(self._array), order=order)  # a copy on the device before
        if not isinstance(out, np.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
        if out.dtype != self.dtype or out.shape != self.shape:
            raise ValueError(f"got {out.dtype} {out.shape} for {self.dtype} {self.shape}")
        out[...] = self._array
        return out

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self.flags.c_contiguous or self.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        (stream or Stream.null)._copy(lambda: np.copyto(self._array, arr))

    def item(self, *args):
        return self._array.item(*args)

    def tolist(self):
        return self._array.tolist()

    def tobytes(self, order="C"):
        return self._array.tobytes(order)

    def __float__(self):
        return float(self._array)

    def __int__(self):
        return int(self._array)

    def __bool__(self):
        return bool(self._array)

    def __complex__(self):
        return complex(self._array)

    def __format__(self, spec):
        return format(self._array.item() if self.ndim == 0 else self._array, spec)

    def __repr__(self):
        return repr(self._array)

    def __str__(self):
        return str(self._array)

    # --- where it lies --------------------------------------------------------------------------------------------

    @property
    def flags(self):
        """As few as CuPy's: nothing is read-only."""
        flags = self._array.flags
        return types.SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous, owndata=flags.owndata)

    @property
    def data(self):
        return memory.MemoryPointer(self._array)

    @property
    def T(self):
        return wrap(self._array.T)

    # --- elements -------------------------------------------------------------------------------------------------

    def __getitem__(self, key):
        """A view, also where it is a single element: `b = a[0]; a[0] = 1` changes b."""
        key = unwrap(key)
        keys = key if isinstance(key, tuple) else (key,)
        return wrap(self._array[key if any(one is Ellipsis for one in keys) else (*keys, ...)])

    def __setitem__(self, key, value):
        self._array[unwrap(key)] = unwrap(value)

    def __len__(self):
        return len(self._array)

    def fill(self, value):
        self._array.fill(unwrap(value))

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if not copy and self.dtype == dtype:
            return self
        return wrap(self._array.astype(dtype, order))

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    # --- NumPy's functions, called with a device array --------------------------------------------------------------

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if method != "__call__":
            return NotImplemented
        kwargs = {name: unwrap(value) for name, value in kwargs.items()}
        if out is not None:
            kwargs["out"] = tuple(map(unwrap, out))
        result = ufunc(*map(unwrap, inputs), **kwargs)
        return wrap(result) if out is None else out[0]


def _method(name):
    function = getattr(np.ndarray, name)

    def call(self, *args, **kwargs):
        return lift(function)(self, *args, **kwargs)
    call.__name__ = name
    return call


def _operator(ufunc, swapped=False, in_place=False):
    def call(self, other):
        first, second = (other, self) if swapped else (self, other)
        return self.__array_ufunc__(ufunc, "__call__", first, second, out=(self,) if in_place else None)
    return call


def _unary(ufunc):
    return lambda self: self.__array_ufunc__(ufunc, "__call__", self)


for _name in METHODS:
    setattr(ndarray, _name, _method(_name))
for _name in ATTRIBUTES:
    setattr(ndarray, _name, property(lambda self, _name=_name: getattr(self._array, _name)))
for _name, _ufunc in ARITHMETIC.items():
    setattr(ndarray, f"__{_name}__", _operator(_ufunc))
    setattr(ndarray, f"__r{_name}__", _operator(_ufunc, swapped=True))
    if _name != "matmul":  # which CuPy has not: a @= b makes a new array
        setattr(ndarray, f"__i{_name}__", _operator(_ufunc, in_place=True))
for _name, _ufunc in COMPARISONS.items():
    setattr(ndarray, f"__{_name}__", _operator(_ufunc))
for _name, _ufunc in SIGNS.items():
    setattr(ndarray, f"__{_name}__", _unary(_ufunc))
ndarray.__module__ = "cupy"

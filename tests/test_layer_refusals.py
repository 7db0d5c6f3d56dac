"""What no layer takes, and what its message says."""

import numpy as np
import pytest
from every_layer import every_layer, numbers
from helpers import fetch, send

from minicnn import (
    MinicnnError,
    Sequential,
)
from minicnn.errors import BackendError, DtypeError, ShapeError

pytestmark = pytest.mark.every_backend


@every_layer
@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "int32", "uint8", "bool", "complex64"])
def test_other_dtypes_are_refused_with_the_remedy(make, shape, dtype):
    """The message says what came, what the layer is, and how to convert."""
    layer = make()
    with pytest.raises(DtypeError, match=rf"(?s)(?=.*{dtype})(?=.*float32)(?=.*astype)") as caught:
        layer(send(numbers(shape).astype(dtype)))
    assert type(layer).__name__ in str(caught.value) or isinstance(layer, Sequential)
    with pytest.raises(DtypeError):
        make().astype("float64")(send(numbers(shape)))


@every_layer
def test_gradient_of_another_dtype_is_refused(make, shape):
    layer = make()
    y = layer(send(numbers(shape)))
    with pytest.raises(DtypeError, match=r"(?s)(?=.*float64)(?=.*float32)"):
        layer.backward(send(numbers(y.shape, dtype=np.float64)))


@every_layer
def test_gradient_of_another_shape_is_refused(make, shape):
    layer = make()
    y = layer(send(numbers(shape)))
    for wrong in ((y.shape[0] + 1, *y.shape[1:]), (*y.shape, 1), y.shape[:-1]):
        with pytest.raises(ShapeError):
            layer.backward(send(numbers(wrong)))


@every_layer
def test_lists_and_numbers_are_refused(make, shape):
    for wrong in (numbers(shape).tolist(), 3.0, None, "x", numbers(shape).data):
        with pytest.raises(MinicnnError):
            make()(wrong)
    layer = make()
    y = layer(send(numbers(shape)))
    with pytest.raises(MinicnnError):
        layer.backward(fetch(y).tolist())


class FromElsewhere:
    """Looks like an array of CuPy."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim, self.size = (
            array,
            array.shape,
            array.dtype,
            array.ndim,
            array.size,
        )

    def __len__(self):
        return len(self.array)


FromElsewhere.__module__, FromElsewhere.__name__ = "cupy._core.core", "ndarray"


@every_layer
@pytest.mark.numpy_only
def test_array_of_the_other_backend_is_refused_with_the_remedy(make, shape):
    with pytest.raises(BackendError, match=r"(?s)(?=.*cupy)(?=.*numpy)(?=.*to\()"):
        make()(FromElsewhere(numbers(shape)))

"""The geometry of windows: output_shape is what forward gives, and what trying window after window counts."""

import numpy as np
import pytest
from helpers import fetch, send
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import edges, grid, output_size

from minicnn import AvgPool2d, Conv2d, MaxPool2d, MinicnnError
from minicnn.errors import ShapeError

# input size, kernel, stride, padding before and after, dilation
AXIS = st.tuples(*(st.integers(low, high) for low, high in ((1, 9), (1, 4), (1, 4), (0, 4), (0, 4), (1, 3))))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(AXIS, AXIS, st.booleans())
def test_shape_of_conv_is_the_count_of_windows(rows, columns, ceil_mode):
    (H, KH, SH, top, bottom, DH), (W, KW, SW, left, right, DW) = rows, columns
    layer = Conv2d(1, 2, (KH, KW), (SH, SW), ((top, bottom), (left, right)), (DH, DW), ceil_mode=ceil_mode)
    fits = top + H + bottom > DH * (KH - 1) and left + W + right > DW * (KW - 1)
    if not fits and not ceil_mode:
        with pytest.raises(ShapeError):
            layer.output_shape((3, 1, H, W))
    elif fits:
        wanted = output_size((H, W), (KH, KW), (SH, SW), ((top, bottom), (left, right)), (DH, DW), ceil_mode)
        assert layer.output_shape((3, 1, H, W)) == (3, 2, *wanted)
        assert layer(send(np.ones((3, 1, H, W), np.float32))).shape == (3, 2, *wanted)


def every_window_sees_the_input(shape, kernel, stride, padding, dilation, ceil_mode):
    rows, columns, us, vs = grid(shape, kernel, stride, padding, dilation, ceil_mode)
    axes = ((rows, us, shape[0]), (columns, vs, shape[1]))
    return all(any(0 <= start + offset < size for offset in offsets) for starts, offsets, size in axes for start in starts)


@pytest.mark.parametrize("kind", [MaxPool2d, AvgPool2d])
@settings(max_examples=150, deadline=None, derandomize=True)
@given(rows=AXIS, columns=AXIS, ceil_mode=st.booleans())
def test_shape_of_pool_is_the_count_of_windows(kind, rows, columns, ceil_mode):
    """Wider padding may be refused for its width alone; a window that sees only padding must be refused."""
    (H, KH, SH, top, bottom, DH), (W, KW, SW, left, right, DW) = rows, columns
    kernel, stride, padding, dilation = (KH, KW), (SH, SW), ((top, bottom), (left, right)), (DH, DW)
    if kind is AvgPool2d:
        dilation = (1, 1)
    fits = dilation[0] * (KH - 1) < top + H + bottom and dilation[1] * (KW - 1) < left + W + right
    if not fits or max(top, bottom) > KH or max(left, right) > KW:
        return
    options = {"dilation": dilation} if kind is MaxPool2d else {}
    if not every_window_sees_the_input((H, W), kernel, stride, padding, dilation, ceil_mode):
        with pytest.raises(MinicnnError):
            kind(kernel, stride, padding, ceil_mode=ceil_mode, **options).output_shape((2, 3, H, W))
        return
    layer = kind(kernel, stride, padding, ceil_mode=ceil_mode, **options)
    wanted = output_size((H, W), kernel, stride, padding, dilation, ceil_mode)
    assert layer.output_shape((2, 3, H, W)) == (2, 3, *wanted)
    y = fetch(layer(send(-np.ones((2, 3, H, W), np.float32))))
    assert y.shape == (2, 3, *wanted)
    assert np.isfinite(y).all()


def test_edges_of_the_oracle():
    assert edges(2) == ((2, 2), (2, 2)) and edges((1, 2)) == ((1, 1), (2, 2)) and edges(((1, 2), (3, 4))) == ((1, 2), (3, 4))

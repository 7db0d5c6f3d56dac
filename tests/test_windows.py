"""The geometry of windows: output_shape is what forward gives, and what trying window after window counts."""

import math

import numpy as np
import pytest
from helpers import fetch, send
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import edges, grid, output_size

from minicnn import AvgPool2d, Conv2d, MaxPool2d, MinicnnError
from minicnn.errors import ShapeError
from minicnn.windows import Axis, Window

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


FORMULAS = {
    "(227 − 11)/4 + 1 = 55": (Axis(11, 4), 227),
    "⌊(224 − 11)/4⌋ + 1 = 54": (Axis(11, 4), 224),
    "⌈(224 − 11)/4⌉ + 1 = 55": (Axis(11, 4, ceil_mode=True), 224),
    "27 + 2·2 − 5 + 1 = 27": (Axis(5, 1, 2, 2), 27),
    "7 − 1 + 1 = 7": (Axis(1), 7),
    "7 + 1 + 2 − 3 + 1 = 8": (Axis(3, 1, 1, 2), 7),
    "⌊(6 + 1 − 2)/2⌋ + 1 = 3": (Axis(2, 2, 0, 1), 6),
    "(6 + 1 − 3)/2 + 1 = 3": (Axis(3, 2, 1, 0), 6),
    "⌊(64 − 3·(3 − 1) − 1)/2⌋ + 1 = 29": (Axis(3, 2, dilation=3), 64),
    "9 + 2·2 − 2·(3 − 1) − 1 + 1 = 9": (Axis(3, 1, 2, 2, 2), 9),
    "min(⌈(3 + 2·1 − 2)/2⌉, ⌊(3 + 1 − 1)/2⌋) + 1 = 2": (Axis(2, 2, 1, 1, ceil_mode=True), 3),
    "min(⌈(4 + 2 − 2)/3⌉, (4 − 1)/3) + 1 = 2": (Axis(2, 3, 0, 2, ceil_mode=True), 4),
    "min(4 + 2 − 2, 4 − 1) + 1 = 4": (Axis(2, 1, 0, 2, ceil_mode=True), 4),
}  # fmt: skip


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas(formula):
    axis, size = FORMULAS[formula]
    assert axis.formula(size) == formula


def computed(formula):
    left, right = formula.split(" = ")
    for sign, python in {"−": "-", "·": "*", "⌊": "math.floor(", "⌈": "math.ceil(", "⌋": ")", "⌉": ")"}.items():
        left = left.replace(sign, python)
    return eval(left, {"math": math, "min": min}), int(right)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(AXIS, st.booleans())
def test_formulas_come_out_as_the_size(axis, ceil_mode):
    size, kernel, stride, before, after, dilation = axis
    axis = Axis(kernel, stride, before, after, dilation, ceil_mode)
    if size + before + after >= axis.extent:
        assert computed(axis.formula(size)) == (axis.output_size(size),) * 2


def test_formulas_of_rows_and_columns():
    window = Window.make((3, 2), 1, 0)
    assert window.formula((9, 8)) == "9 − 3 + 1 = 7; 8 − 2 + 1 = 7"
    assert Window.make(3, 2, 1).formula((9, 9)) == "(9 + 2·1 − 3)/2 + 1 = 5"


def test_edges_of_the_oracle():
    assert edges(2) == ((2, 2), (2, 2)) and edges((1, 2)) == ((1, 1), (2, 2)) and edges(((1, 2), (3, 4))) == ((1, 2), (3, 4))

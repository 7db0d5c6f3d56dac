"""im2col and col2im: every window as a column, and back."""

import numpy as np
import pytest
from helpers import assert_close, normal
from oracles import output_size, taps

from minicnn import col2im, im2col

pytestmark = pytest.mark.every_backend

COLUMNS = [(3, 2), (2, 1), ((1, 0), (2, 3)), (1, 2)]  # kernel, stride, padding, dilation


def columns_by_loops(x, kernel, stride, padding, dilation):
    """(N, C, KH, KW, OH, OW): the input under tap (u, v) of window (i, j), zero on the padding."""
    columns = np.zeros((*x.shape[:2], *kernel, *output_size(x.shape[2:], kernel, stride, padding, dilation)))
    for i, j, u, v, row, column in taps(x.shape[2:], kernel, stride, padding, dilation):
        columns[:, :, u, v, i, j] = x[:, :, row, column]
    return columns


def test_im2col_equals_loops():
    x = normal(2, 3, 6, 7)
    wanted = columns_by_loops(x, *COLUMNS)
    columns = im2col(x, *COLUMNS)
    assert_close(columns, wanted, 0)


def test_col2im_is_the_adjoint_of_im2col():
    """<im2col(x), c> = <x, col2im(c)> for every x and c."""
    x = normal(2, 3, 6, 7)
    columns = im2col(x, *COLUMNS)
    c = normal(*columns.shape, seed=1)
    back = col2im(c, x.shape[2:], *COLUMNS[1:])
    assert back.shape == x.shape
    assert np.vdot(columns, c) == pytest.approx(np.vdot(x, back), rel=1e-12)


def test_im2col_of_float32_is_float32():
    x = normal(2, 3, 6, 7, dtype=np.float32)
    columns = im2col(x, *COLUMNS)
    assert columns.dtype == np.float32
    assert col2im(columns, x.shape[2:], *COLUMNS[1:]).dtype == np.float32

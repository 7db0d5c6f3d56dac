"""The picture of a gradient check shows the numbers that were compared, and which of them are wrong."""

import numpy as np
import pytest
from helpers import normal

from minicnn import LRN, Conv2d, Layer, ReLU, Tanh, gradcheck, plots
from minicnn.errors import ShapeError
from minicnn.plots.style import BLUE, ORANGE


class Mirrored(Conv2d):
    def _backward(self, ops, dy, x, need_dx):
        dx, gradients = super()._backward(ops, dy, x, need_dx)
        gradients["weight"] = gradients["weight"][:, :, ::-1].copy()
        return dx, gradients


class NotANumber(Tanh):
    def _backward(self, ops, dy, y, need_dx):
        dx, gradients = super()._backward(ops, dy, y, need_dx)
        dx[0, :2] = np.nan, np.inf
        return dx, gradients


class Shapeless(Layer):
    def _forward(self, ops, x, training):
        return x * x, x

    def _backward(self, ops, dy, x, need_dx):
        return (2 * x * dy).sum(), {}


def conv():
    x = normal(2, 3, 5, 4)
    return gradcheck(Conv2d(3, 2, 3, seed=0), x), gradcheck(Mirrored(3, 2, 3, seed=0), x)


def test_rows_hold_the_numbers_that_were_compared():
    right, planted = conv()
    for row, name in zip(right.rows, ("input", "weight", "bias"), strict=True):
        assert row.name == name and row.analytic.shape == row.numeric.shape == row.errors.shape == (row.checked,)
        assert np.allclose(row.analytic, row.numeric) and row.error == row.errors.max() <= row.tolerance
    wrong, dw = planted.rows[1], right.rows[1].numeric.reshape(2, 3, 3, 3)
    assert np.allclose(wrong.numeric, dw.ravel()) and np.allclose(wrong.analytic, dw[:, :, ::-1].ravel())


def test_coordinates_at_kinks_are_not_among_them():
    x = normal(3, 7)
    x[1, 2] = x[2, 3] = 0
    (row,) = gradcheck(ReLU(), x).rows
    assert (row.checked, row.kinks, len(row.analytic)) == (19, 2, 19) and set(row.analytic == 0) == {True, False}


def test_points_are_the_gradients_and_crosses_the_wrong_ones():
    right, planted = conv()
    figure = plots.gradcheck({"right": right, "planted": planted})
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [f"{name}: {array}" for name in ("right", "planted") for array in ("input", "weight", "bias")]
    for axes, row in zip(figure.axes, right.rows + planted.rows, strict=True):
        wrong = row.errors > 1e-6
        _, points, crosses = axes.lines
        for line, chosen in ((points, ~wrong), (crosses, wrong)):
            assert np.array_equal(line.get_xdata(), row.numeric[chosen])
            assert np.array_equal(line.get_ydata(), row.analytic[chosen])
        assert axes.texts[0].get_text().startswith(f"{row.verdict}: {wrong.sum()} of {row.checked} off")
        assert axes.texts[0].get_color() == (ORANGE if wrong.any() else BLUE)
        assert all(low < value < high for low, high, values in
                   [(*axes.get_xlim(), row.numeric), (*axes.get_ylim(), row.analytic)] for value in values)
    assert [axes.lines[2].get_xdata().size > 0 for axes in figure.axes] == [False] * 4 + [True, False]


def test_reports_of_one_array_stand_beside_each_other(tmp_path):
    report = gradcheck(LRN(3, 1.0), normal(1, 5, 2, 1))
    figure = plots.gradcheck(dict.fromkeys("abcde", report), path=tmp_path / "g.png")
    assert len(figure.axes) == 5 and len({axes.get_subplotspec().rowspan.start for axes in figure.axes[:4]}) == 1
    assert figure.axes[4].get_subplotspec().rowspan.start == 1 and (tmp_path / "g.png").exists()


def test_what_is_not_finite_is_counted_and_not_drawn():
    axes = plots.gradcheck({"": gradcheck(NotANumber(), normal(2, 4))}).axes[0]
    assert axes.texts[0].get_text() == "WRONG: 2 of 8 off, by up to inf"
    assert [len(line.get_xdata()) for line in axes.lines[1:]] == [6, 0] and np.isfinite(axes.get_ylim()).all()


def test_refuses_what_it_cannot_draw():
    with pytest.raises(ShapeError, match=r"'sum' has nothing to draw: the gradient of input is float64 of shape \(\)"):
        plots.gradcheck({"sum": gradcheck(Shapeless(), normal(2, 3))})
    with pytest.raises(ShapeError, match="got no reports"):
        plots.gradcheck({})

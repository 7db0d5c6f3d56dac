"""What every test file shares: arrays to and from the backend under test, seeded numbers, comparisons with an oracle.

The suite runs on NumPy. Only `send` and `fetch` know so: a fixture that sets `BACKEND` moves it elsewhere.
"""

import sys

import numpy as np

BACKEND = "numpy"

# Error allowed relative to the largest value of the oracle: rounding of sums of some hundred terms, no more.
TOLERANCE = {"float64": 1e-12, "float32": 4e-6}


def send(array):
    """A NumPy array as an array of the backend under test."""
    if BACKEND == "numpy":
        return array
    import cupy

    return cupy.asarray(array)


def fetch(array):
    """An array of the backend under test as a NumPy array; a NumPy array, a number or None as it is."""
    return array.get() if hasattr(array, "get") else array


def forget_cupy(monkeypatch):
    """Neither CuPy nor the backend that has imported it is there, until the end of the test."""
    for name in [name for name in sys.modules if f"{name}.".startswith(("cupy.", "minicnn.backends.cupy."))]:
        monkeypatch.delitem(sys.modules, name)


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def integers(*shape, low=-3, high=4, seed=0, dtype=np.float64):
    """Small whole numbers: exact in every dtype, and full of ties."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def assert_close(actual, wanted, tolerance, what=""):
    """Largest difference is below `tolerance` times the largest wanted value."""
    actual, wanted = np.asarray(fetch(actual)), np.asarray(wanted)
    assert actual.shape == wanted.shape, f"{what}: shape {actual.shape}, wanted {wanted.shape}"
    scale = max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
    worst = float(np.max(np.abs(actual.astype(np.float64) - wanted), initial=0.0))
    assert worst <= tolerance * scale, f"{what}: off by {worst:.3g} where the largest value is {scale:.3g}"


def clear(layer):
    for parameter in layer.parameters():
        parameter.grad = None


def run(layer, x, dy):
    """y, dx and {name: gradient} of one forward and one backward, as NumPy arrays.

    Checks on the way what every layer owes its caller: dtypes as given, and x and dy as they were.
    """
    clear(layer)
    given, wanted = send(x.copy()), send(dy.copy())
    y = layer(given)
    dx = layer.backward(wanted)
    gradients = {parameter.name: fetch(parameter.grad) for parameter in layer.parameters()}
    np.testing.assert_array_equal(fetch(given), x, "the caller's x was changed")
    np.testing.assert_array_equal(fetch(wanted), dy, "the caller's dy was changed")
    for array in (y, dx, *gradients.values()):
        assert array.dtype == x.dtype, f"{x.dtype} went in, {array.dtype} came out"
    return fetch(y), fetch(dx), gradients


def values(layer):
    """{"weight": float64 array, ...} of the layer's parameters as they are now."""
    return {p.name: np.array(fetch(p.data), dtype=np.float64) for p in layer.parameters()}


def fill(layer, seed=99):
    """Every parameter becomes random, so that no bias is zero and no scale is one."""
    for number, parameter in enumerate(layer.parameters()):
        parameter.data[...] = send(normal(*parameter.data.shape, seed=seed + number).astype(parameter.data.dtype))
    return layer


def check_layer(layer, x, forward, backward, tolerance=TOLERANCE):
    """Compare the layer with an oracle, in float64 and in float32.

    `forward(x, values)` gives y; `backward(x, dy, values)` gives dx, or (dx, {name: gradient}); both in float64.
    """
    for dtype in ("float64", "float32"):
        layer.astype(dtype)
        rounded = x.astype(dtype)
        exact, parameters = rounded.astype(np.float64), values(layer)
        wanted = forward(exact, parameters)
        dy = normal(*wanted.shape, seed=7, dtype=dtype)
        y, dx, gradients = run(layer, rounded, dy)
        answer = backward(exact, dy.astype(np.float64), parameters)
        wanted_dx, wanted_gradients = answer if isinstance(answer, tuple) else (answer, {})
        assert_close(y, wanted, tolerance[dtype], f"{dtype} y")
        assert_close(dx, wanted_dx, tolerance[dtype], f"{dtype} dx")
        assert gradients.keys() == wanted_gradients.keys()
        for name, gradient in wanted_gradients.items():
            assert_close(gradients[name], gradient, tolerance[dtype], f"{dtype} d{name}")


def directional_check(layer, x, seed=0, step=1e-6, tolerance=1e-6):
    """Compare backward with two forwards along one random direction of the input and all parameters (float64).

    For a random dy: (<dy, f(at + step)> - <dy, f(at - step)>) / (2 step) against <gradient, direction>.
    """
    rng = np.random.default_rng(seed)
    parameters = layer.parameters()
    clear(layer)
    y = layer(send(x))
    dy = rng.standard_normal(y.shape)
    dx = fetch(layer.backward(send(dy)))
    places = [x] + [np.array(fetch(p.data)) for p in parameters]
    gradients = [dx] + [fetch(p.grad).copy() for p in parameters]  # the next backward adds to them
    directions = [rng.standard_normal(place.shape) for place in places]

    def objective(distance):
        for p, place, direction in zip(parameters, places[1:], directions[1:], strict=True):
            p.data[...] = send(place + distance * direction)
        y = fetch(layer(send(x + distance * directions[0])))
        layer.backward(send(dy))  # so that no forward is left waiting
        return float((y * dy).sum())

    numerical = (objective(step) - objective(-step)) / (2 * step)
    analytical = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    objective(0.0)
    assert abs(numerical - analytical) <= tolerance * max(abs(numerical), abs(analytical)), (numerical, analytical)

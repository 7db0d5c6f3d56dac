"""Pooling on the CPU, by phases.

With stride s, pixel (s·u + a, s·v + b) of a padded image goes to place (u, v) of phase (a, b). The pixel under tap (i, j)
of window (p, q) then lies in phase (i mod s, j mod s) at (p + i div s, q + j div s): for all windows at once it is one
*contiguous* slice of that phase, shifted by a constant, and every step below is a pass over contiguous memory. The maps
of a piece lie behind each other; windows that would run over the edge of a map give numbers that nobody reads.

Maps know nothing of each other, so a piece is any number of them, whichever images they are of.
"""

import math

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty

PIECE = 2**20  # pixels: its passes are so many, and over bytes so short, that threads would be waiting for Python's lock


def max_pool2d(x, window, need_argmax=True):
    """y[n, c, p, q] = max over the window, padded with −∞, and where it was: the number of the first such tap.

    y (N, C, OH, OW); argmax uint8 or uint16 of the same shape (None if not needed). A NaN in a window is its maximum.
    """
    y = empty((*x.shape[:2], *window.output_size(x.shape[2:])), x.dtype)
    if not need_argmax:
        _run_on_maps(lambda x, y: _maximum_of_maxima(window, x, y), x, y)
        return y, None
    argmax = empty(y.shape, np.min_scalar_type(math.prod(window.kernel)))

    def piece(x, y, argmax):
        grid = _Grid(x.shape, window)
        phases = grid.split(x, -np.inf)
        best = parallel.scratch("pool best", (grid.length,), x.dtype)
        where = parallel.scratch("pool where", (grid.length,), argmax.dtype)
        _maximum(grid, phases, best, where)
        y[...] = grid.crop(best)
        if not y.min() > -np.inf:
            _settle_infinities(grid, x, best, where)
        argmax[...] = grid.crop(where)

    _run_on_maps(piece, x, y, argmax)
    return y, argmax


def _maximum_of_maxima(window, x, y):
    """y ← the maxima over the columns of the maxima over the rows of each window: KH + KW passes instead of KH·KW."""
    (rows, columns), (oh, ow) = (window.rows, window.columns), y.shape[1:]
    heights, widths = (slice(axis.before, axis.before + size) for axis, size in zip((rows, columns), x.shape[1:]))
    needed = tuple(max(s.stop, (out - 1) * axis.stride + axis.extent)
                   for s, out, axis in zip((heights, widths), (oh, ow), (rows, columns)))
    if needed != x.shape[1:]:
        padded = parallel.scratch("pool phases", (len(x), *needed), x.dtype)
        padded[...] = -np.inf
        padded[:, heights, widths] = x
        x = padded
    tall = _maximum_over_taps(x, rows, oh, 1, parallel.scratch("pool best", (len(x), oh, needed[1]), x.dtype))
    _maximum_over_taps(tall, columns, ow, 2, y)


def _maximum_over_taps(x, axis, outputs, dimension, out):
    """out[…, p, …] = max over the taps i of x[…, p·stride + i·dilation, …]"""
    taps = []
    for start in range(0, axis.extent, axis.dilation):
        index = [slice(None)] * 3
        index[dimension] = slice(start, start + (outputs - 1) * axis.stride + 1, axis.stride)
        taps.append(x[tuple(index)])
    out[...] = taps[0]
    for values in taps[1:]:
        np.maximum(out, values, out=out)
    return out


def _run_on_maps(function, *arrays):
    """Call `function` on matching pieces (C, H, W) of the maps of the arrays, spread over the threads."""
    maps = [array.reshape(-1, *array.shape[2:]) for array in arrays]
    step = parallel.piece_size(len(maps[0]), maps[0][0].size, PIECE)
    parallel.run(lambda start, stop: function(*(array[start:stop] for array in maps)), parallel.ranges(len(maps[0]), step))


def _maximum(grid, phases, best, where):
    for tap, values in grid.taps(phases):
        if tap == 0:
            best[...], where[...] = values, 0
            continue
        larger = np.greater(values, best, out=parallel.scratch("pool larger", values.shape, np.bool_))
        number = parallel.scratch("pool number", values.shape, where.dtype)
        np.multiply(larger.view(np.uint8), where.dtype.type(tap), out=number)
        np.maximum(where, number, out=where)  # = tap where strictly larger: the first maximum keeps a tie
        np.maximum(best, values, out=best)  # NaN wins here, but is not 'larger'


def _settle_infinities(grid, maps, best, where):
    """Where no comparison tells the maximum: a NaN wins, and a map of −∞ wins over the padding of −∞."""
    on_image = [values == 0 for _, values in grid.taps(grid.split(np.zeros_like(maps), -np.inf))]
    nothing = best == -np.inf
    phases = grid.split(maps, -np.inf)
    for tap, values in reversed(grid.taps(phases)):
        np.copyto(where, tap, where=np.isnan(values) | (nothing & on_image[tap]))


def max_pool2d_backward(dy, argmax, shape, window):
    """dx (N, C, H, W): each dy goes to the pixel that was the maximum; overlapping windows add up."""
    dx = empty(shape, dy.dtype)

    def piece(dx, dy, argmax):
        grid = _Grid(dx.shape, window)
        phases = grid.zeros(dy.dtype)
        g = grid.spread(dy, "pool best")
        where = grid.spread(argmax, "pool where")
        for tap, target in grid.taps(phases):
            chosen = np.equal(where, tap, out=parallel.scratch("pool chosen", where.shape, np.bool_))
            target += parallel.keep_where(chosen, g, parallel.scratch("pool part", g.shape, dy.dtype))
        grid.join(phases, dx)

    _run_on_maps(piece, dx, dy, argmax)
    return dx


def avg_pool2d(x, window, count_include_pad):
    """y[n, c, p, q] = sum over the window / number of its pixels that count."""
    y = empty((*x.shape[:2], *window.output_size(x.shape[2:])), x.dtype)
    shares = _shares(window, x.shape[2:], count_include_pad).astype(x.dtype)

    def piece(x, y):
        grid = _Grid(x.shape, window)
        total = parallel.scratch("pool best", (grid.length,), x.dtype)
        total[...] = 0
        for _, values in grid.taps(grid.split(x, 0)):
            total += values
        np.multiply(grid.crop(total), shares, out=y)

    _run_on_maps(piece, x, y)
    return y


def avg_pool2d_backward(dy, shape, window, count_include_pad):
    """dx (N, C, H, W): each pixel of a window receives dy / number of pixels that count."""
    dx = empty(shape, dy.dtype)
    shares = _shares(window, shape[2:], count_include_pad).astype(dy.dtype)

    def piece(dx, dy):
        grid = _Grid(dx.shape, window)
        phases = grid.zeros(dy.dtype)
        g = grid.spread(dy * shares, "pool best")
        for _, target in grid.taps(phases):
            target += g
        grid.join(phases, dx)

    _run_on_maps(piece, dx, dy)
    return dx


def _shares(window, size, count_include_pad):
    """1 / (pixels that count) for each window (OH, OW): padding counts if asked to, overhang never does."""
    counts = []
    for axis, pixels in zip((window.rows, window.columns), size):
        low, high = (-axis.before, pixels + axis.after) if count_include_pad else (0, pixels)
        counts.append([sum(low <= tap < high for tap in taps) for taps in axis.taps(pixels)])
    return 1 / np.outer(*counts)


def pool2d_workspace(shape, window, itemsize):
    """Bytes of the buffers that one thread holds in the backward pass of max-pooling: phases, dy and masks of a piece."""
    maps, pixels = math.prod(shape[:2]), math.prod(shape[2:])
    grid = _Grid((parallel.piece_size(maps, pixels, PIECE), *shape[2:]), window)
    return (math.prod(grid.phases_shape) + 3 * grid.length) * itemsize + 2 * grid.length


class _Grid:
    """Where the pixels and taps of some maps (C, H, W) lie among the phases.

    The phases are an array (SH, SW, C·GH·GW + a margin): GH × GW places a map, enough for the padded map and for the
    outermost taps of every window.
    """

    def __init__(self, shape, window):
        self.maps, *size = shape
        self.window, self.output = window, window.output_size(size)
        axes = window.rows, window.columns
        needed = [max(pixels + a.before, (out - 1) * a.stride + a.extent) for pixels, out, a in zip(size, self.output, axes)]
        self.places = tuple(-(-n // a.stride) for n, a in zip(needed, axes))  # (GH, GW)
        self.length = self.maps * self.places[0] * self.places[1]
        self.shifts = [self._shift(i, j) for i in range(window.kernel[0]) for j in range(window.kernel[1])]
        margin = max(shift for _, shift in self.shifts)
        self.phases_shape = (*window.stride, self.length + margin)

    def _shift(self, i, j):
        """(phase, offset) of tap (i, j)."""
        (u, a), (v, b) = (divmod(t * axis.dilation, axis.stride)
                          for t, axis in zip((i, j), (self.window.rows, self.window.columns)))
        return (a, b), u * self.places[1] + v

    def taps(self, phases):
        """[(tap, the values under it for every window)]: views of `phases`."""
        return [(tap, phases[phase][offset:offset + self.length]) for tap, (phase, offset) in enumerate(self.shifts)]

    def _views(self, phases, maps):
        """Pairs of views with the same pixels: those in one phase, and those of `maps` (C, H, W) that belong there."""
        (sh, sw), rows, columns = self.window.stride, self.window.rows, self.window.columns
        for a in range(sh):
            for b in range(sw):
                top, left = (a - rows.before) % sh, (b - columns.before) % sw  # first pixel of the image in this phase
                pixels = maps[:, top::sh, left::sw]
                u, v = (top + rows.before) // sh, (left + columns.before) // sw
                yield self._grid(phases[a, b])[:, u:u + pixels.shape[1], v:v + pixels.shape[2]], pixels

    def _grid(self, flat):
        return flat[:self.length].reshape(self.maps, *self.places)

    def split(self, maps, fill):
        """The phases of `maps` (C, H, W), `fill` around them."""
        phases = parallel.scratch("pool phases", self.phases_shape, maps.dtype)
        phases[...] = fill
        for places, pixels in self._views(phases, maps):
            places[...] = pixels
        return phases

    def zeros(self, dtype):
        """Phases of zeros."""
        phases = parallel.scratch("pool phases", self.phases_shape, dtype)
        phases[...] = 0
        return phases

    def join(self, phases, maps):
        """The inverse of `split`: the pixels back into `maps`."""
        for places, pixels in self._views(phases, maps):
            pixels[...] = places

    def crop(self, flat):
        """(C, OH, OW): the windows that exist."""
        return self._grid(flat)[:, :self.output[0], :self.output[1]]

    def spread(self, values, name):
        """The inverse of `crop`, zero elsewhere."""
        flat = parallel.scratch(name, (self.length,), values.dtype)
        flat[...] = 0
        self.crop(flat)[...] = values
        return flat

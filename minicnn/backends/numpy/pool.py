"""Pooling on the CPU, by phases.

With stride s, pixel (s·u + a, s·v + b) of a padded image goes to place (u, v) of phase (a, b). The pixel under tap (i, j)
of window (p, q) then lies in phase (i mod s, j mod s) at (p + i div s, q + j div s): for all windows at once it is one
*contiguous* slice of that phase, shifted by a constant, and every step below is a pass over contiguous memory. All maps
of an image lie behind each other; windows that would run over the edge of a map give numbers that nobody reads.
"""

import math

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty


def max_pool2d(x, window, need_argmax=True):
    """y[n, c, p, q] = max over the window, padded with −∞, and where it was: the number of the first such tap.

    y (N, C, OH, OW); argmax uint8 or uint16 of the same shape (None if not needed). A NaN in a window is its maximum.
    """
    grid = _Grid(x.shape, window)
    y = empty((*x.shape[:2], *grid.output), x.dtype)
    argmax = empty(y.shape, grid.tap_dtype) if need_argmax else None

    def images(start, stop):
        for n in range(start, stop):
            phases = grid.split(x[n], -np.inf)
            best = parallel.scratch("pool best", (grid.length,), x.dtype)
            where = parallel.scratch("pool where", (grid.length,), grid.tap_dtype) if need_argmax else None
            _maximum(grid, phases, best, where)
            y[n] = grid.crop(best)
            if need_argmax:
                if not y[n].min() > -np.inf:
                    _settle_infinities(grid, x[n], best, where)
                argmax[n] = grid.crop(where)

    parallel.run(images, parallel.image_ranges(x))
    return y, argmax


def _maximum(grid, phases, best, where):
    for tap, values in grid.taps(phases):
        if tap == 0:
            best[...] = values
            if where is not None:
                where[...] = 0
            continue
        if where is not None:
            larger = np.greater(values, best, out=parallel.scratch("pool larger", values.shape, np.bool_))
            number = parallel.scratch("pool number", values.shape, where.dtype)
            np.multiply(larger.view(np.uint8), where.dtype.type(tap), out=number)
            np.maximum(where, number, out=where)  # = tap where strictly larger: the first maximum keeps a tie
        np.maximum(best, values, out=best)  # NaN wins here, but is not 'larger'


def _settle_infinities(grid, image, best, where):
    """Where no comparison tells the maximum: a NaN wins, and an image of −∞ wins over the padding of −∞."""
    on_image = [values == 0 for _, values in grid.taps(grid.split(np.zeros_like(image), -np.inf))]
    nothing = best == -np.inf
    phases = grid.split(image, -np.inf)
    for tap, values in reversed(grid.taps(phases)):
        np.copyto(where, tap, where=np.isnan(values) | (nothing & on_image[tap]))


def max_pool2d_backward(dy, argmax, shape, window):
    """dx (N, C, H, W): each dy goes to the pixel that was the maximum; overlapping windows add up."""
    grid = _Grid(shape, window)
    dx = empty(shape, dy.dtype)

    def images(start, stop):
        for n in range(start, stop):
            phases = parallel.scratch("pool phases", grid.phases_shape, dy.dtype)
            phases[...] = 0
            g = grid.spread(dy[n], "pool dy")
            where = grid.spread(argmax[n], "pool where")
            for tap, target in grid.taps(phases):
                chosen = np.equal(where, tap, out=parallel.scratch("pool chosen", where.shape, np.bool_))
                target += parallel.keep_where(chosen, g, parallel.scratch("pool part", g.shape, dy.dtype))
            grid.join(phases, dx[n])

    parallel.run(images, parallel.image_ranges(dx))
    return dx


def avg_pool2d(x, window, count_include_pad):
    """y[n, c, p, q] = sum over the window / number of its pixels that count."""
    grid = _Grid(x.shape, window)
    y = empty((*x.shape[:2], *grid.output), x.dtype)
    share = grid.shares(count_include_pad).astype(x.dtype)

    def images(start, stop):
        for n in range(start, stop):
            total = parallel.scratch("pool best", (grid.length,), x.dtype)
            total[...] = 0
            for _, values in grid.taps(grid.split(x[n], 0)):
                total += values
            np.multiply(grid.crop(total), share, out=y[n])

    parallel.run(images, parallel.image_ranges(x))
    return y


def avg_pool2d_backward(dy, shape, window, count_include_pad):
    """dx (N, C, H, W): each pixel of a window receives dy / number of pixels that count."""
    grid = _Grid(shape, window)
    dx = empty(shape, dy.dtype)
    share = grid.shares(count_include_pad).astype(dy.dtype)

    def images(start, stop):
        for n in range(start, stop):
            phases = parallel.scratch("pool phases", grid.phases_shape, dy.dtype)
            phases[...] = 0
            g = grid.spread(dy[n] * share, "pool dy")
            for _, target in grid.taps(phases):
                target += g
            grid.join(phases, dx[n])

    parallel.run(images, parallel.image_ranges(dx))
    return dx


def pool2d_workspace(shape, window, itemsize):
    """Bytes of the buffers that one thread holds in the backward pass of max-pooling: phases, dy and masks of one image."""
    grid = _Grid(shape, window)
    return (math.prod(grid.phases_shape) + 3 * grid.length) * itemsize + grid.length * (grid.tap_dtype.itemsize + 1)


class _Grid:
    """Where the pixels and taps of one image (C, H, W) lie among the phases.

    The phases of an image are an array (SH, SW, C·GH·GW + a margin): GH × GW places a map, enough for the padded image
    and for the outermost taps of every window.
    """

    def __init__(self, shape, window):
        self.channels, *self.size = shape[1:]
        self.window, self.output = window, window.output_size(shape[2:])
        axes = window.rows, window.columns
        needed = [max(size + a.before, (out - 1) * a.stride + a.extent)
                  for size, out, a in zip(self.size, self.output, axes)]
        self.places = tuple(-(-n // a.stride) for n, a in zip(needed, axes))  # (GH, GW)
        self.length = self.channels * self.places[0] * self.places[1]
        self.shifts = [self._shift(i, j) for i in range(window.kernel[0]) for j in range(window.kernel[1])]
        margin = max(shift for _, shift in self.shifts)
        self.phases_shape = (*window.stride, self.length + margin)
        self.tap_dtype = np.min_scalar_type(len(self.shifts))

    def _shift(self, i, j):
        """(phase, offset) of tap (i, j)."""
        (u, a), (v, b) = (divmod(t * axis.dilation, axis.stride)
                          for t, axis in zip((i, j), (self.window.rows, self.window.columns)))
        return (a, b), u * self.places[1] + v

    def taps(self, phases):
        """[(tap, the values under it for every window)]: views of `phases`."""
        return [(tap, phases[phase][offset:offset + self.length]) for tap, (phase, offset) in enumerate(self.shifts)]

    def _views(self, phases, image):
        """Pairs of views with the same pixels: one phase of the maps, and the pixels of `image` that belong there."""
        (sh, sw), rows, columns = self.window.stride, self.window.rows, self.window.columns
        for a in range(sh):
            for b in range(sw):
                top, left = (a - rows.before) % sh, (b - columns.before) % sw  # first pixel of the image in this phase
                pixels = image[:, top::sh, left::sw]
                u, v = (top + rows.before) // sh, (left + columns.before) // sw
                maps = self._maps(phases[a, b])
                yield maps[:, u:u + pixels.shape[1], v:v + pixels.shape[2]], pixels

    def _maps(self, flat):
        return flat[:self.length].reshape(self.channels, *self.places)

    def split(self, image, fill):
        """The phases of `image` (C, H, W), `fill` around it."""
        phases = parallel.scratch("pool phases", self.phases_shape, image.dtype)
        phases[...] = fill
        for maps, pixels in self._views(phases, image):
            maps[...] = pixels
        return phases

    def join(self, phases, image):
        """The inverse of `split`: the pixels back into `image`."""
        for maps, pixels in self._views(phases, image):
            pixels[...] = maps

    def crop(self, flat):
        """(C, OH, OW): the windows that exist."""
        return self._maps(flat)[:, :self.output[0], :self.output[1]]

    def spread(self, values, name):
        """The inverse of `crop`, zero elsewhere."""
        flat = parallel.scratch(name, (self.length,), values.dtype)
        flat[...] = 0
        self.crop(flat)[...] = values
        return flat

    def shares(self, count_include_pad):
        """1 / (pixels that count) for each window (OH, OW): padding counts if asked to, overhang never does."""
        counts = []
        for axis, size in zip((self.window.rows, self.window.columns), self.size):
            low, high = (-axis.before, size + axis.after) if count_include_pad else (0, size)
            counts.append([sum(low <= tap < high for tap in taps) for taps in axis.taps(size)])
        return 1 / np.outer(*counts)

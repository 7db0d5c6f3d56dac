r"""Convolution on the CPU straight from its definition: a product over the channels for each tap of the kernel, no columns.

Write the zero-padded image row behind row, as one line of pixels X (C, L) for each channel. The window at row p and column q
stands at f = p·pitch + q, and sees with its tap (i, j) the pixel f + i·pitch + j: the same line, shifted. A two-dimensional
convolution is so a sum of KH·KW matrix products, on slices that BLAS reads where they lie:

    forward     Y = Σ w[i, j]·X[:, s:s + P] + b                                (O, P),  w[i, j] (O, C),  s = i·pitch + j
    backward    dw[i, j] = dY·X[:, s:s + P]ᵀ,   dX[:, s:s + P] += w[i, j]ᵀ·dY

The windows that begin at the end of a row and go on in the next are computed and dropped, and are zeros in dY; the zeros on
the right of a row are those on the left of the next. A stride (SH, SW) deals the pixels out to SH·SW lines by the remainders
of row and column: windows are neighbours again, and a tap reads one of the lines. Dilation is a longer shift. A 1×1 kernel
without stride and padding is a single product on x itself.

Where every channel is a group of its own (depthwise), the products over channels are products with a number.

Nothing is copied KH·KW times, as im2col does; but each tap adds its product to y, and that is as much work as a product over
several channels. Anderson, Vasudevan, Keane, Gregg 2017, "Low-memory GEMM-based convolution algorithms for deep neural
networks" (kn2row). Sums are those of the definition: Inf and NaN reach the outputs whose windows see them, and no others.
"""

import functools
from dataclasses import dataclass, replace

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.windows import Window

PIECE_BYTES = 4 * 2**20  # of lines and outputs: every tap passes over them
PIECES, PIXELS = 4, 256  # forward cuts a single image into so many bands, for several threads, of at least so many pixels


def refusal(window):
    """Every window is a shift."""
    return ""


def workspace(shape, channels_out, window, itemsize, groups=1):
    """Bytes of the buffers that one thread holds at a time in the larger of the two passes, and of all sums of dw."""
    c, weights = shape[1], shape[1] * channels_out // groups
    taps = weights * window.kernel[0] * window.kernel[1]
    images, line, lines, wide = _buffers(shape, channels_out, window, itemsize, PIECES)
    forward = images * (lines + wide + line.count * channels_out) + taps
    images, line, lines, wide = _buffers(shape, channels_out, window, itemsize)
    sums = 2 if images == shape[0] else 3
    return itemsize * max(forward, images * (2 * lines + wide + max(line.count * c, weights)) + (1 + sums) * taps)


def _buffers(shape, channels_out, window, itemsize, pieces=1):
    """Images in a piece, their line, and how many numbers of x and of y are copied for each."""
    c, *size = shape[1:]
    images, rows = _piece_size(shape, channels_out, window, itemsize, pieces)
    seen = min(size[0], (rows - 1) * window.rows.stride + window.rows.extent)
    line = _Line(window, (seen, size[1]), (rows, window.columns.output_size(size[1])))
    return (images, line, 0 if line.is_image else line.phases * line.length * c,
            0 if line.is_output else rows * line.pitch * channels_out)


@dataclass(frozen=True)
class _Line:
    """How the pixels of images of `size` lie in lines, and where the windows of `outputs` (rows, columns) stand in them."""

    window: Window
    size: tuple
    outputs: tuple

    @functools.cached_property
    def phases(self):
        return self.window.rows.stride * self.window.columns.stride

    @functools.cached_property
    def height(self):
        """Rows in a line: those of the image and those that windows see."""
        rows = self.window.rows
        return max(-(-(rows.before + self.size[0]) // rows.stride), self.outputs[0] + (rows.extent - 1) // rows.stride)

    @functools.cached_property
    def pitch(self):
        """Pixels from row to row: the image, and as much padding as the larger side needs."""
        cols, ow = self.window.columns, self.outputs[1]
        seen = ow + (cols.extent - 1) // cols.stride
        return max(-(-(cols.before + self.size[1]) // cols.stride), ow, seen - cols.before // cols.stride)

    @functools.cached_property
    def length(self):
        """Pixels in a line; the last row has no next one whose left padding could be its right."""
        return self.height * self.pitch + (self.window.columns.extent - 1) // self.window.columns.stride

    @functools.cached_property
    def count(self):
        """P, the windows from the first to the last, those to be dropped included."""
        return (self.outputs[0] - 1) * self.pitch + self.outputs[1]

    @functools.cached_property
    def is_image(self):
        """Is the image, as it lies in memory, its own line?"""
        return self.phases == 1 and (self.height, self.pitch) == self.size

    @functools.cached_property
    def is_output(self):
        """Are the outputs, as they lie in memory, their own line?"""
        return self.pitch == self.outputs[1]

    @functools.cached_property
    def taps(self):
        """For each tap ((i, j), which line, the slice of it that the windows see)."""
        (sh, sw), (dh, dw) = self.window.stride, self.window.dilation
        found = []
        for i, j in np.ndindex(*self.window.kernel):
            (row, a), (column, b) = divmod(i * dh, sh), divmod(j * dw, sw)
            shift = row * self.pitch + column
            found.append(((i, j), a * sw + b, slice(shift, shift + self.count)))
        return found

    def empty(self, x, name):
        """A buffer of lines (phases, N, C, L), all zeros, for images x (N, C, H, W)."""
        lines = parallel.scratch(name, (self.phases, *x.shape[:2], self.length), x.dtype)
        lines[...] = 0
        return lines

    def pixels(self, x, lines):
        """For each line, views (N, C, rows, columns) of the pixels of x that belong to it and of their places in it."""
        (sh, sw), top, left = self.window.stride, self.window.rows.before, self.window.columns.before
        grid = lines[..., :self.height * self.pitch].reshape(*lines.shape[:3], self.height, self.pitch)
        for a, b in np.ndindex(sh, sw):
            part = x[:, :, (a - top) % sh::sh, (b - left) % sw::sw]
            row, column = -(-max(top - a, 0) // sh), -(-max(left - b, 0) // sw)
            yield part, grid[a * sw + b, :, :, row:row + part.shape[2], column:column + part.shape[3]]


def forward(x, w, b, y, window, rectify):
    """y (N, O, OH, OW) ← x (N, C, H, W) ⋆ w (O, C, KH, KW) + b (O,) or None; its positive part if `rectify`.

    Depthwise where w is (C, 1, KH, KW).
    """
    product = np.matmul if x.shape[1] == w.shape[1] else np.multiply
    taps = _taps(w)
    images, rows = _piece_size(x.shape, len(w), window, x.itemsize, PIECES)

    def piece(start, stop, top, bottom):
        seen, line = _band(x[start:stop], window, top, bottom)
        lines = _as_lines(seen, line)
        target = y[start:stop, :, top:bottom]                                                   # (N, O, rows, OW)
        wide = _wide(target, line, "direct y")
        out = wide[..., :line.count]                                                            # (N, O, P)
        spare = parallel.scratch("direct product", out.shape, y.dtype)
        for tap, phase, part in line.taps:
            result = product(taps[tap], lines[phase, :, :, part], out=spare if any(tap) else out)
            if any(tap):
                out += result
        if b is not None:
            out += b[:, None]
        if not line.is_output:
            target[...] = wide.reshape(*target.shape[:3], line.pitch)[..., :target.shape[3]]
        if rectify:
            np.maximum(target, 0, out=target)

    bands = parallel.ranges(y.shape[2], rows)
    parallel.run(piece, [(*n, *band) for n in parallel.ranges(len(x), images) for band in bands])


def backward(dy, x, w, dx, window):
    """dw (O, C, KH, KW); fills dx (N, C, H, W) unless it is None."""
    taps = _taps(w)
    images, rows = _piece_size(x.shape, len(w), window, x.itemsize)

    def piece(start, stop):
        dw = parallel.scratch("direct dw", taps.shape, dy.dtype)
        dw[...] = 0
        if dx is not None:
            dx[start:stop] = 0
        for top, bottom in parallel.ranges(dy.shape[2], rows):
            seen, line = _band(x[start:stop], window, top, bottom)
            g = _wide_gradient(dy[start:stop, :, top:bottom], line)                             # (N, O, P)
            _add_to_dw(g, _as_lines(seen, line), dw, line)
            if dx is not None:
                _add_to_dx(g, taps, _band(dx[start:stop], window, top, bottom)[0], line)
        return dw

    return parallel.run_and_add(piece, len(x), images).transpose(2, 3, 0, 1)


def _add_to_dw(g, lines, dw, line):
    """dw (KH, KW, O, C) += dY·Xᵀ."""
    for tap, phase, part in line.taps:
        if dw.shape[3] == lines.shape[2]:
            dw[tap] += np.matmul(g, lines[phase, :, :, part].transpose(0, 2, 1)).sum(axis=0)
        else:
            dw[tap] += np.vecdot(g, lines[phase, :, :, part]).sum(axis=0)[:, None]


def _add_to_dx(g, taps, dx, line):
    """dx (N, C, H, W) += wᵀ·dY, tap by tap."""
    lines = _image_as_line(dx) if line.is_image else line.empty(dx, "direct dx")
    spare = parallel.scratch("direct product", (*dx.shape[:2], line.count), dx.dtype)
    for tap, phase, part in line.taps:
        if taps.shape[3] == dx.shape[1]:
            lines[phase, :, :, part] += np.matmul(taps[tap].T, g, out=spare)
        else:
            lines[phase, :, :, part] += np.multiply(taps[tap], g, out=spare)
    if not line.is_image:
        for pixels, places in line.pixels(dx, lines):
            pixels += places


def _taps(w):
    """Weights (O, C, KH, KW) → (KH, KW, O, C)."""
    return np.ascontiguousarray(w.transpose(2, 3, 0, 1))


def _piece_size(shape, channels_out, window, itemsize, pieces=1):
    """How many images, and how many output rows of each, make a piece: whole images, or a band of one.

    There are at least so many pieces, if each has enough for a product and for a thread.
    """
    n, c, *size = shape
    oh, ow = window.output_size(size)
    row = max(ow, size[1]) * (c * window.rows.stride + 2 * channels_out)  # numbers that belong to a row of outputs
    least = max(-(-PIXELS // ow), parallel.LEAST // row)
    rows = max(1, min(PIECE_BYTES // (row * itemsize), max(-(-n * oh // pieces), least)))
    if rows < oh:
        return 1, -(-oh // -(-oh // rows))  # bands of nearly equal height
    return max(1, min(rows // oh, parallel.PIECE // (row * oh), parallel.share(n, row * oh))), oh


def _band(x, window, top, bottom):
    """The rows of x that output rows top … bottom see, and how they lie in a line: a band is an image of its own."""
    rows, height = window.rows, x.shape[2]
    first = top * rows.stride - rows.before
    last = first + (bottom - top - 1) * rows.stride + rows.extent
    seen = x[:, :, min(max(first, 0), height):max(last, 0)]
    outputs = bottom - top, window.columns.output_size(x.shape[3])
    return seen, _line(window, max(-first, 0), seen.shape[2:], outputs)


@functools.lru_cache(maxsize=256)
def _line(window, padding_above, size, outputs):
    return _Line(replace(window, rows=replace(window.rows, before=padding_above)), size, outputs)


def _as_lines(x, line):
    """The lines (phases, N, C, L) of images x (N, C, H, W)."""
    if line.is_image:
        return _image_as_line(x)
    lines = line.empty(x, "direct x")
    for pixels, places in line.pixels(x, lines):
        places[...] = pixels
    return lines


def _image_as_line(x):
    return x.reshape(1, *x.shape[:2], -1)


def _wide(y, line, name):
    """Room for the windows' outputs, those to be dropped included: (N, O, rows · pitch), y itself where none is."""
    shape = *y.shape[:2], y.shape[2] * line.pitch
    return y.reshape(shape) if line.is_output else parallel.scratch(name, shape, y.dtype)


def _wide_gradient(dy, line):
    """dY (N, O, P) from dy (N, O, rows, OW): zero where a window is dropped."""
    wide = _wide(dy, line, "direct dy")
    if not line.is_output:
        grid = wide.reshape(*dy.shape[:3], line.pitch)
        grid[..., :dy.shape[3]] = dy
        grid[..., dy.shape[3]:] = 0
    return wide[..., :line.count]

r"""Convolution on the CPU by Winograd's minimal filtering: fewer multiplications, paid with additions.

A row of m neighbouring outputs of a kernel of r taps needs n = m + r − 1 inputs. Correlation is the transpose of a product
of polynomials, and a product with n coefficients is fixed by its values at n points, of which ∞, the leading coefficient,
may be one. With the matrices that evaluate the kernel g (G), the inputs d (Bᵀ) and come back (Aᵀ),

    y = Aᵀ·[(G·g) ⊙ (Bᵀ·d)]

takes n products where the sum takes m·r (Toom 1963, Cook 1966; Winograd 1980, "Arithmetic complexity of computations").
In two dimensions each transform acts on rows and on columns; on a tile laid out as a vector it is a Kronecker product,
Ĝ = G ⊗ G and so on. Over the channels, ⊙ becomes a matrix product for each of the K = n² places in a tile, with all T tiles
of some images side by side (Lavin, Gray 2016, "Fast algorithms for convolutional neural networks"):

    V = B̂ᵀ·d  (K, T, C)      U = Ĝ·g  (K, C, O)      M[k] = V[k]·U[k]  (K, T, O)      y = Âᵀ·M + b

All of it is linear in d and linear in g, so backward is the transposes in reverse order:

    dM = Â·dy      dU[k] = V[k]ᵀ·dM[k],  dg = Ĝᵀ·dU      dV[k] = dM[k]·U[k]ᵀ,  dd = B̂·dV, added where tiles overlap

A 3×3 kernel computes 4×4 outputs of a tile with 36 products in the place of 144, a 5×5 kernel 3×3 outputs with 49 for 225.

V and M take several times the memory of x and y, so they are made for some images at a time, a chunk of one or more. It has
three steps, each spread over the threads: all that comes in is transformed, the products are made place by place, and what
they give is transformed back.

What it costs is rounding, through the size of the matrices' numbers, and that depends on the points. With those below the
error of AlexNet's layers, ‖y − y₆₄‖/‖y₆₄‖ in float32, is 2e-6 for 3×3 and 4e-6 for 5×5 kernels (of dx 3e-6 and 5e-6,
of dw 2e-6 and 7e-6), where im2col has 4e-7; the textbook's 0, ±1, ±2, ∞ for 3×3 kernels give half as much again (Barabasz,
Anderson, Soodhalter, Gregg 2020, "Error analysis and improving the accuracy of Winograd convolution for deep neural
networks"). `benchmarks/convolutions.py` measures it. An Inf or NaN makes the tiles that see it NaN, and in dw every tap.
"""

import functools
import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty
from minicnn.backends.numpy.im2col import columns, padded_shape, scatter
from minicnn.windows import Axis, Window

OUTPUTS = {1: 1, 2: 4, 3: 4, 4: 3, 5: 3}  # m for each r: larger tiles save products and lose digits
POINTS = [Fraction(point) for point in ("0", "1", "-1", "2", "-1/2", "-2")]  # and ∞; a tile takes the first n − 1
CHUNK_BYTES = 64 * 2**20  # of V and M: the longer each of the K products, the less it matters that BLAS repacks U for it
LEAST_TILES, MOST_TILES = 45, 100  # in a piece of the transforms: their passes over fewer are too short, …
PIECES = 4  # … and between the two, there are so many pieces
BAND = 4  # rows of tiles, at least, in a part of an image: backward computes one or two more above each band
PLACES = 3  # of the K products in a piece
SUM = 450  # tiles in one sum of dU: its rounding grows with them, and a sum of sums rounds less
LINE = 64  # bytes of a cache line


def refusal(window):
    if window.stride != (1, 1) or window.dilation != (1, 1):
        return "the windows must be neighbours: stride 1 and dilation 1"
    if not set(window.kernel) <= OUTPUTS.keys():
        return f"kernels larger than {max(OUTPUTS)} lose too many digits"
    return ""


def workspace(shape, channels_out, window, itemsize):
    """Bytes of the buffers in the backward pass: U, dU, V, dM, dg, which all threads share, and what one of them holds.

    But for what it holds of dU and dg, which is little.
    """
    tiles, c = tiles_of(window, shape[2:]), shape[1]
    grid = _images_a_chunk(shape, channels_out, tiles, itemsize), *tiles.output_size(shape[2:])
    places, outputs, taps = (math.prod(sides) for sides in (tiles.kernel, tiles.stride, window.kernel))
    shared = 2 * (places + taps) * c * channels_out + places * math.prod(grid) * (c + channels_out)
    images, rows, _ = (part.stop - part.start for part in _pieces(*grid)[-1])
    rows += min(grid[1] - rows, _overlap(tiles))
    canvas = images * (rows * tiles.rows.stride + tiles.rows.kernel) * padded_shape(shape, tiles)[2] * c
    return itemsize * (shared + 2 * canvas + images * rows * grid[2] * (places * c + outputs * channels_out))


def forward(x, w, b, y, window, rectify):
    """y (N, O, OH, OW) ← x (N, C, H, W) ⋆ w (O, C, KH, KW) + b (O,) or None; its positive part if `rectify`."""
    at, g, bt = _transforms(window.kernel, x.dtype)
    tiles = tiles_of(window, x.shape[2:])
    w = w.transpose(1, 0, 2, 3)                                                                 # (C, O, KH, KW)
    u = _apart((len(g), *w.shape[:2]), x.dtype)                                                 # (K, C, O)

    def chunk(x, y, kernels):
        pieces = _pieces(len(x), *tiles.output_size(x.shape[2:]))
        v, m = (_apart((len(u), pieces[-1].tiles.stop, maps), x.dtype) for maps in w.shape[:2])  # (K, T, C), (K, T, O)

        def products(low, high):
            np.matmul(v[low:high], u[low:high], out=m[low:high])

        parallel.run_calls(kernels + [(_transform_tiles, x, bt, tiles, v, piece) for piece in pieces])
        parallel.run(products, parallel.ranges(len(u), PLACES))
        parallel.run_calls((_outputs, m, at, b, y, tiles, rectify, piece) for piece in pieces)

    kernels = [(_transform_kernels, w, g, u, *channels) for channels in _shares(w)]  # a part of the first chunk's step
    for images in _even_slices(len(x), _images_a_chunk(x.shape, y.shape[1], tiles, x.itemsize)):
        chunk(x[images], y[images], kernels)
        kernels = []


def backward(dy, x, w, dx, window):
    """dw (O, C, KH, KW); fills dx (N, C, H, W) unless it is None."""
    at, g, bt = _transforms(window.kernel, x.dtype)
    tiles = tiles_of(window, x.shape[2:])
    u, du = (_apart((len(g), *w.shape[:2]), x.dtype) for _ in range(2))                         # (K, O, C)
    dg = empty((len(w), g.shape[1], w.shape[1]), x.dtype)                                       # (O, KH·KW, C)
    dg[...] = 0

    def chunk(dy, x, dx, kernels):
        pieces = _pieces(len(x), *tiles.output_size(x.shape[2:]))
        dm, v = (_apart((len(u), pieces[-1].tiles.stop, maps), x.dtype) for maps in w.shape[:2])  # (K, T, O), (K, T, C)

        def products(low, high):
            _sum_of_products(dm[low:high], v[low:high], du[low:high])
            if dx is not None:
                np.matmul(dm[low:high], u[low:high], out=v[low:high])                           # dV

        parallel.run_calls(kernels + [(_transform_tiles, x, bt, tiles, v, piece) for piece in pieces]
                           + [(_transform_outputs, dy, at, tiles, dm, piece) for piece in pieces])
        parallel.run(products, parallel.ranges(len(u), PLACES))
        parallel.run_calls([(_add_tiles, v, bt, dx, tiles, piece) for piece in pieces if dx is not None]
                           + [(_add_taps, du, g, dg, *channels) for channels in _shares(w)])

    kernels = [(_transform_kernels, w, g, u, *channels) for channels in _shares(w)]
    for images in _even_slices(len(x), _images_a_chunk(x.shape, len(w), tiles, x.itemsize)):
        chunk(dy[images], x[images], None if dx is None else dx[images], kernels)
        kernels = []
    return dg.transpose(0, 2, 1).reshape(w.shape)


def tiles_of(window, size):
    """The tiles of images of this size: a window of n × n pixels that moves by m."""
    return Window(*map(_tile, (window.rows, window.columns), size))


def _tile(axis, pixels):
    m = OUTPUTS[axis.kernel]
    n = m + axis.kernel - 1
    count = -(-axis.output_size(pixels) // m)
    return Axis(n, m, axis.before, after=(count - 1) * m + n - axis.before - pixels)


def _images_a_chunk(shape, channels_out, tiles, itemsize):
    """How many images' V and M are held at a time, in the largest of chunks of nearly equal size."""
    elements = math.prod(tiles.kernel) * math.prod(tiles.output_size(shape[2:])) * (shape[1] + channels_out)
    chunks = -(-shape[0] // max(1, CHUNK_BYTES // (elements * itemsize)))
    return -(-shape[0] // chunks) if chunks else 1


def _even_slices(total, most):
    """Slices of nearly equal length, at most `most`, up to `total`."""
    count = -(-total // most)
    return [slice(total * i // count, total * (i + 1) // count) for i in range(count)]


class _Piece(NamedTuple):
    """A few whole images or a band of rows of tiles of one: where they are among the images, the rows, and all T tiles."""

    images: slice
    rows: slice
    tiles: slice


def _pieces(images, rows, columns):
    """The pieces of so many images of rows × columns tiles."""
    count = rows * columns
    wanted = min(max(LEAST_TILES, -(-images * count // PIECES)), MOST_TILES)
    pieces = []
    for start, stop in parallel.ranges(images, max(1, wanted // count)):
        for band in _even_slices(rows, max(BAND, round(wanted / columns))):
            first, last = start * count + band.start * columns, (stop - 1) * count + band.stop * columns
            pieces.append(_Piece(slice(start, stop), band, slice(first, last)))
    return pieces


def _shares(w):
    """Ranges of the first channels of kernels (F, D, KH, KW)."""
    return parallel.ranges(len(w), parallel.share(len(w), w[0].size))


def _apart(shape, dtype):
    """An array (K, rows, columns) whose K matrices begin odd numbers of cache lines apart.

    A transform reads or writes the same spot in all of them. Were they a multiple of a page apart, as they would often be,
    the processor would look for all of these in the same few lines of its cache. Each matrix by itself is contiguous.
    """
    places, *matrix = shape
    size, itemsize = math.prod(matrix), np.dtype(dtype).itemsize
    lines = -(-size * itemsize // LINE) | 1
    return empty((places, lines * LINE // itemsize), dtype)[:, :size].reshape(shape)


def _transform_kernels(w, g, u, start, stop):
    """U = Ĝ·g: (K, F, D) from w (F, D, KH, KW), for some of the F."""
    taps = w[start:stop].reshape(-1, g.shape[1])                                                # (channels·D, KH·KW)
    np.matmul(g, taps.T, out=u[:, start:stop].reshape(len(g), -1))


def _sum_of_products(dm, v, du):
    """du[k] ← Σ dm[k]ᵀ·v[k] over the tiles, in sums of a few: a sum of sums rounds less."""
    for number, part in enumerate(_even_slices(v.shape[1], SUM)):
        out = parallel.scratch("winograd du", du.shape, du.dtype) if number else du
        np.matmul(dm[:, part].transpose(0, 2, 1), v[:, part], out=out)
        if number:
            du += out


def _add_taps(du, g, dg, start, stop):
    """dg (O, KH·KW, C) += Ĝᵀ·dU, for some of the O."""
    part = dg[start:stop]
    part += np.matmul(g.T, du[:, start:stop].transpose(1, 0, 2), out=parallel.scratch("winograd dg", part.shape, dg.dtype))


def _transform_tiles(x, bt, tiles, v, piece):
    """V = B̂ᵀ·d: (K, T, C) from images (N, C, H, W).

    One product for each tile, (K, K)·(K, C): BLAS takes such small ones as they are, and would first copy large ones.
    """
    d = columns(x[piece.images], tiles, piece.rows.start, piece.rows.stop)
    np.matmul(bt, d.reshape(-1, len(bt), x.shape[1]), out=v[:, piece.tiles].transpose(1, 0, 2))


def _add_tiles(dv, bt, dx, tiles, piece):
    """dx (N, C, H, W) ← the pixels of dd = B̂·dV. For each band, the tiles above that reach into it are computed again."""
    (n, m), before, left = (tiles.rows.kernel, tiles.rows.stride), tiles.rows.before, tiles.columns.before
    (_, c, _, width), (total, across) = dx.shape, tiles.output_size(dx.shape[2:])
    images, rows, part = piece
    above = min(rows.start, _overlap(tiles))
    shape = images.stop - images.start, rows.stop - rows.start + above, across, n, tiles.columns.kernel, c
    dd = parallel.scratch("im2col columns", shape, dx.dtype)
    dv = dv[:, part.start - above * across:part.stop]
    np.matmul(bt.T, dv.transpose(1, 0, 2), out=dd.reshape(-1, len(bt), c))
    first = (rows.start - above) * m  # row of the canvas
    canvas = (shape[0], (shape[1] - 1) * m + n, *padded_shape(dx.shape, tiles)[2:])
    canvas = parallel.scratch("winograd canvas", canvas, dx.dtype)
    canvas[...] = 0
    scatter(dd, canvas, tiles)
    top, bottom = (max(0, row * m - before) for row in (rows.start, rows.stop))
    pixels = dx[images, :, top:None if rows.stop == total else bottom]
    start = top + before - first
    pixels[...] = canvas[:, start:start + pixels.shape[2], left:left + width].transpose(0, 3, 1, 2)


def _overlap(tiles):
    """How many rows of tiles reach into the one below them."""
    return -(-tiles.rows.kernel // tiles.rows.stride) - 1


def _outputs(m, at, b, y, tiles, rectify, piece):
    """y (N, O, OH, OW) ← Âᵀ·M + b, or its positive part; what a tile has beyond the edge is dropped."""
    m = m[:, piece.tiles]
    out = parallel.scratch("winograd outputs", (m.shape[1], len(at), m.shape[2]), m.dtype)      # (tiles, m², O)
    np.matmul(at, m.transpose(1, 0, 2), out=out)
    band = _band(y, tiles, piece)
    for pixels, values in _pairs(band, out, tiles):
        np.add(values, 0 if b is None else b, out=pixels)
    if rectify:
        np.maximum(band, 0, out=band)


def _transform_outputs(dy, at, tiles, dm, piece):
    """dM = Â·dy: (K, T, O) from dy (N, O, OH, OW), zero beyond the edge."""
    dm = dm[:, piece.tiles]
    values = parallel.scratch("winograd outputs", (dm.shape[1], len(at), dm.shape[2]), dy.dtype)  # (tiles, m², O)
    values[...] = 0
    for pixels, tile in _pairs(_band(dy, tiles, piece), values, tiles):
        tile[...] = pixels
    np.matmul(at.T, values, out=dm.transpose(1, 0, 2))


def _band(y, tiles, piece):
    """The outputs of a piece."""
    return y[piece.images, :, piece.rows.start * tiles.rows.stride:piece.rows.stop * tiles.rows.stride]


def _pairs(y, values, tiles):
    """For each of the m × m places in a tile, views (N, rows, columns, O) of y (N, O, OH, OW) and of values (T, m², O)."""
    (mh, mw), (n, o, oh, ow) = tiles.stride, y.shape
    pixels = y.transpose(0, 2, 3, 1)
    grid = values.reshape(n, -(-oh // mh), -(-ow // mw), mh, mw, o)
    for i, j in np.ndindex(mh, mw):
        part = pixels[:, i::mh, j::mw]
        yield part, grid[:, :part.shape[1], :part.shape[2], i, j]


@functools.cache
def _transforms(kernel, dtype):
    """Âᵀ (m², K), Ĝ (K, KH·KW) and B̂ᵀ (K, K) of a kernel (KH, KW)."""
    rows, cols = (matrices(OUTPUTS[taps], taps) for taps in kernel)
    return [np.kron(row, col).astype(dtype) for row, col in zip(rows, cols)]


def matrices(m, r):
    """Aᵀ (m, n), G (n, r) and Bᵀ (n, n) of one row of m outputs and r taps, in float64.

    G's rows are the powers of the points, over Π (point − other points): Lagrange's interpolation. Bᵀ's rows are the
    coefficients of Π (x − other points), and of Π (x − points) for ∞.

    Examples
    --------
    >>> at, g, bt = matrices(2, 3)                                # F(2, 3): two outputs, three taps, four products
    >>> kernel, inputs = np.array([1, 2, 3]), np.array([4, 5, 6, 7])
    >>> at @ ((g @ kernel) * (bt @ inputs))                       # 1·4 + 2·5 + 3·6, 1·5 + 2·6 + 3·7
    array([32., 38.])
    """
    points = POINTS[:m + r - 2]
    others = [points[:i] + points[i + 1:] for i in range(len(points))]
    a, g = _powers(points, m), _powers(points, r)
    for i, point in enumerate(points):
        g[i] = [power / math.prod(point - other for other in others[i]) for power in g[i]]
    bt = [[*_polynomial(roots), 0] for roots in others] + [_polynomial(points)]
    return np.array(a, float).T, np.array(g, float), np.array(bt, float)


def _powers(points, count):
    """point⁰ … for each point, and for ∞ the leading one alone."""
    return [[point**j for j in range(count)] for point in points] + [[0] * (count - 1) + [1]]


def _polynomial(roots):
    """The coefficients of Π (x − root), the constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        coefficients = [low - root * high for low, high in zip([0, *coefficients], [*coefficients, 0])]
    return coefficients

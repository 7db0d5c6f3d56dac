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

What it costs is rounding, through the size of the matrices' numbers, and that depends on the points. With those below the
error of AlexNet's layers, ‖y − y₆₄‖/‖y₆₄‖ in float32, is 2e-6 for 3×3 and 4e-6 for 5×5 kernels (of dx 3e-6 and 5e-6),
where im2col has 4e-7; the textbook's 0, ±1, ±2, ∞ for 3×3 kernels give half as much again (Barabasz, Anderson, Soodhalter,
Gregg 2020, "Error analysis and improving the accuracy of Winograd convolution for deep neural networks").
`benchmarks/convolutions.py` measures it. An Inf or NaN makes its whole tile NaN, and in dw every tap.
"""

import functools
import math
from fractions import Fraction

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty
from minicnn.backends.numpy.im2col import columns, interior, padded_shape, scatter
from minicnn.windows import Axis, Window

OUTPUTS = {1: 1, 2: 4, 3: 4, 4: 3, 5: 3}  # m for each r: larger tiles save products and lose digits
POINTS = [Fraction(point) for point in ("0", "1", "-1", "2", "-1/2", "-2")]  # and ∞; a tile takes the first n − 1
PIECE_BYTES = 18 * 2**20  # of V and M: each of their K products wants a hundred tiles or more …
TILES, PIECES = 64, 4  # … and at least so many, if that leaves so many pieces for the threads
LINE = 64  # bytes of a cache line
BAND = 100  # tiles of a piece when there is but one image: its pieces are bands, two at least


def refusal(window):
    if window.stride != (1, 1) or window.dilation != (1, 1):
        return "the windows must be neighbours: stride 1 and dilation 1"
    if not set(window.kernel) <= OUTPUTS.keys():
        return f"kernels larger than {max(OUTPUTS)} lose too many digits"
    return ""


def workspace(shape, channels_out, window, itemsize):
    """Bytes of the buffers in the backward pass (the larger one): U and sums of dg, and what one thread holds at a time."""
    tiles = tiles_of(window, shape[2:])
    images = _images_a_piece(shape, channels_out, tiles, itemsize)
    count = images * math.prod(tiles.output_size(shape[2:]))
    places, outputs, taps = (math.prod(sides) for sides in (tiles.kernel, tiles.stride, window.kernel))
    canvas = math.prod(padded_shape((images, *shape[1:]), tiles))
    return itemsize * (2 * canvas + count * (2 * places * shape[1] + (places + outputs) * channels_out)
                       + (2 * places + 3 * taps) * shape[1] * channels_out)


def forward(x, w, b, y, window, rectify=False):
    """y (N, O, OH, OW) ← x (N, C, H, W) ⋆ w (O, C, KH, KW) + b (O,) or None."""
    at, g, bt = _transforms(window.kernel, x.dtype)
    tiles = tiles_of(window, x.shape[2:])
    u = _transform_kernels(w.transpose(1, 0, 2, 3), g)                                          # (K, C, O)

    def piece(start, stop, top, bottom):
        v = _transform_tiles(x[start:stop], bt, tiles, top, bottom)                             # (K, T, C)
        m = _scratch("winograd m", (*v.shape[:2], len(w)), x.dtype)                             # (K, T, O)
        np.matmul(v, u, out=m)
        band = y[start:stop, :, top * tiles.rows.stride:bottom * tiles.rows.stride]
        _outputs(m, at, b, band, tiles)
        if rectify:
            np.maximum(band, 0, out=band)

    images = parallel.ranges(len(x), _images_a_piece(x.shape, len(w), tiles, x.itemsize))
    bands = parallel.ranges(tiles.rows.output_size(x.shape[2]), _rows_a_piece(x.shape, tiles))
    parallel.run(piece, [(*n, *r) for n in images for r in bands])


def backward(dy, x, w, dx, window):
    """dw (O, C, KH, KW); fills dx (N, C, H, W) unless it is None."""
    at, g, bt = _transforms(window.kernel, x.dtype)
    tiles = tiles_of(window, x.shape[2:])
    u = _transform_kernels(w, g)                                                                # (K, O, C)

    def piece(start, stop):
        v = _transform_tiles(x[start:stop], bt, tiles, 0, tiles.rows.output_size(x.shape[2]))
        dm = _transform_outputs(dy[start:stop], at, tiles)                                      # (K, T, O)
        du = np.matmul(dm.transpose(0, 2, 1), v, out=_scratch("winograd du", u.shape, x.dtype))
        dw = parallel.scratch("winograd dw", (len(w), g.shape[1], x.shape[1]), x.dtype)
        np.matmul(g.T, du.transpose(1, 0, 2), out=dw)
        if dx is not None:
            dv = np.matmul(dm, u, out=v)
            _add_tiles(dv, bt, dx[start:stop], tiles)
        return dw

    images = _images_a_piece(x.shape, len(w), tiles, x.itemsize)
    return parallel.run_and_add(piece, len(x), images).transpose(0, 2, 1).reshape(w.shape)


def tiles_of(window, size):
    """The tiles of images of this size: a window of n × n pixels that moves by m."""
    return Window(*map(_tile, (window.rows, window.columns), size))


def _tile(axis, pixels):
    m = OUTPUTS[axis.kernel]
    n = m + axis.kernel - 1
    count = -(-axis.output_size(pixels) // m)
    return Axis(n, m, axis.before, after=(count - 1) * m + n - axis.before - pixels)


def _images_a_piece(shape, channels_out, tiles, itemsize):
    elements = math.prod(tiles.kernel) * math.prod(tiles.output_size(shape[2:])) * (shape[1] + channels_out)
    return max(1, min(PIECE_BYTES // (elements * itemsize), images_wanted(shape, tiles, elements)))


def _rows_a_piece(shape, tiles):
    """How many rows of tiles make a piece of forward: all of an image, unless there is but one for all the threads."""
    rows, columns = tiles.output_size(shape[2:])
    return rows if shape[0] > 1 else max(-(-rows // PIECES), min(-(-rows // 2), -(-BAND // columns)))


def images_wanted(shape, tiles, elements=parallel.LEAST):
    """How many images (N, C, H, W), of so many numbers each in V and M, fill a piece with tiles, were memory no matter."""
    count = math.prod(tiles.output_size(shape[2:]))
    return max(parallel.share(shape[0], elements), min(-(-TILES // count), -(-shape[0] // PIECES)))


def _transform_kernels(w, g):
    """U = Ĝ·g: (K, F, D) from w (F, D, KH, KW)."""
    u = _places(empty, (len(g), *w.shape[:2]), w.dtype)

    def rows(start, stop):
        taps = w[start:stop].reshape(-1, g.shape[1])                                            # (rows·D, KH·KW)
        np.matmul(g, taps.T, out=_flat(u[:, start:stop]))

    parallel.run(rows, parallel.ranges(len(w), parallel.share(len(w), w[0].size)))
    return u


def _places(make, shape, dtype):
    """An array (K, rows, columns) by `make(shape, dtype)` whose K matrices begin odd numbers of cache lines apart.

    A transform reads or writes the same spot in all of them. Were they a multiple of a page apart, as they would often be,
    the processor would look for all of these in the same few lines of its cache.
    """
    places, *matrix = shape
    size, itemsize = math.prod(matrix), np.dtype(dtype).itemsize
    lines = -(-size * itemsize // LINE) | 1
    return make((places, lines * LINE // itemsize), dtype)[:, :size].reshape(shape)


def _scratch(name, shape, dtype):
    return _places(functools.partial(parallel.scratch, name), shape, dtype)


def _flat(u):
    """(K, rows·columns), a view."""
    return u.reshape(len(u), -1)


def _transform_tiles(x, bt, tiles, top, bottom):
    """V = B̂ᵀ·d: (K, T, C) from rows top … bottom of the tiles of images (N, C, H, W).

    One product for each tile, (K, K)·(K, C): BLAS takes such small ones as they are, and would first copy large ones.
    """
    d = columns(x, tiles, top, bottom).reshape(-1, len(bt), x.shape[1])                         # (T, K, C)
    v = _scratch("winograd v", (len(bt), len(d), x.shape[1]), x.dtype)
    np.matmul(bt, d, out=v.transpose(1, 0, 2))
    return v


def _add_tiles(dv, bt, dx, tiles):
    """dx (N, C, H, W) ← the pixels of dd = B̂·dV."""
    n, c, *size = dx.shape
    shape = (n, *tiles.output_size(size), *tiles.kernel, c)
    dd = parallel.scratch("im2col columns", shape, dx.dtype)
    np.matmul(bt.T, dv.transpose(1, 0, 2), out=dd.reshape(-1, len(bt), c))
    canvas = parallel.scratch("winograd canvas", padded_shape(dx.shape, tiles), dx.dtype)
    canvas[...] = 0
    scatter(dd, canvas, tiles)
    dx[...] = interior(canvas, size, tiles).transpose(0, 3, 1, 2)


def _outputs(m, at, b, y, tiles):
    """y (N, O, OH, OW) ← Âᵀ·M + b; what a tile has beyond the edge is dropped."""
    out = parallel.scratch("winograd outputs", (m.shape[1], len(at), m.shape[2]), m.dtype)      # (T, m², O)
    np.matmul(at, m.transpose(1, 0, 2), out=out)
    for pixels, values in _pairs(y, out, tiles):
        np.add(values, 0 if b is None else b, out=pixels)


def _transform_outputs(dy, at, tiles):
    """dM = Â·dy: (K, T, O) from dy (N, O, OH, OW), zero beyond the edge."""
    count = len(dy) * math.prod(-(-size // m) for size, m in zip(dy.shape[2:], tiles.stride))
    values = parallel.scratch("winograd outputs", (count, len(at), dy.shape[1]), dy.dtype)      # (T, m², O)
    values[...] = 0
    for pixels, tile in _pairs(dy, values, tiles):
        tile[...] = pixels
    dm = _scratch("winograd m", (at.shape[1], count, dy.shape[1]), dy.dtype)
    np.matmul(at.T, values, out=dm.transpose(1, 0, 2))
    return dm


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

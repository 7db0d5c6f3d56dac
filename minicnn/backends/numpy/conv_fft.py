r"""Convolution on the CPU by the Fourier transform: a product of spectra in the place of a sum over taps.

With x̂ = F·x the discrete Fourier transform of a tile of S × S pixels, the correlation theorem says (Cooley, Tukey 1965 made
the transform fast; Mathieu, Henaff, LeCun 2014, "Fast training of convolutional networks through FFTs" used it here)

    y = w ⋆ x      ⇔   ŷ[k] = conj(ŵ[k])·x̂[k]
    dx (the adjoint)   d̂x[k] = ŵ[k]·d̂y[k]
    dw             ⇔   d̂w[k] = x̂[k]·conj(d̂y[k])

The sum over channels, or over tiles, makes of each a complex matrix product for each frequency k, and the spectrum of real
numbers needs half of the frequencies. The number of taps does not matter any more: a 3×3 kernel costs as much as an 11×11
one, save that the tile must hold it.

*Tiles.* A product of spectra is a correlation on a ring, so of the S outputs of a row only those are right whose windows end
within the tile. Tiles overlap by the others (overlap-save; in dx, overlap-add). Small tiles waste pixels at their edges;
large ones have more frequencies, and each needs its spectra of all kernels. `_tiles` weighs this.

*Stride* keeps every s-th output, and puts zeros between in backward; *dilation* puts the taps further apart. Both cost what
the full convolution does.

*Kernels.* Few of a tile's pixels are taps, so ŵ is no FFT but the definition, a product with the matrix e^(−2πi·k·j/S) of
frequencies and taps. Each thread makes it for a few frequencies at a time, multiplies, and forgets it; so is d̂w brought back
to taps at once. No spectrum of the kernels is ever kept, and those of the images are of a chunk of the batch.

*Rounding.* The transform is orthogonal and its sums are short: ‖y − y₆₄‖/‖y₆₄‖ is 2e-7 to 4e-7 in float32 for AlexNet's
layers, in forward as in both gradients, as with im2col. But an output is off by a share of the largest in its tile, not of
its own; and an Inf or NaN makes its whole tile NaN, in dw every tap. `benchmarks/convolutions.py` measures it.
"""

import functools
import math

import numpy as np

from minicnn.backends.numpy import parallel
from minicnn.backends.numpy.arrays import empty
from minicnn.backends.numpy.im2col import columns, interior, padded_shape
from minicnn.windows import Axis, Window

CHUNK_BYTES = 48 * 2**20  # of the spectra of some images and their outputs
FREQUENCIES = 8  # that a thread multiplies at a time
# NumPy's default norm multiplies by an integer, and so takes float32 through float64, up to five times slower (NumPy 2.4).
# This one multiplies by 1/√S, a float32; F⁻¹(conj(ŵ)·F·x) and x̂·conj(d̂y) have two such factors: the 1/S that they need.
NORM = "ortho"


def refusal(window):
    """Every window's outputs are among those of its full convolution."""
    return ""


def workspace(shape, channels_out, window, itemsize):
    """Bytes of the buffers in the backward pass: the spectra, which all threads share, and what one of them holds."""
    n, c, *size = shape
    tiles = _tiles(window, n, *size)
    rows, cols, height, half, _ = _grid(tiles, size, c)
    images, most = _images_a_chunk(shape, channels_out, tiles, itemsize), max(c, channels_out)
    canvas = math.prod(padded_shape((1, c, *size), tiles))
    outputs = math.prod(_kept(tiles, window)) * channels_out
    a_row = cols * (2 * height * half * most + 2 * height * tiles.kernel[1] * c + outputs)
    taps, weights = math.prod(window.kernel), c * channels_out
    product = 2 * min(FREQUENCIES, height * half) * (images * rows * cols * channels_out + weights) + 2 * taps * weights
    spectra = 2 * images * rows * cols * height * half * (c + channels_out) + 4 * taps * weights
    return itemsize * (spectra + product + a_row + canvas * (rows + 1) // rows)


def forward(x, w, b, y, window, rectify):
    """y (N, O, OH, OW) ← x (N, C, H, W) ⋆ w (O, C, KH, KW) + b (O,) or None; its positive part if `rectify`."""
    tiles = _tiles(window, len(x), *x.shape[2:])
    waves, _ = _waves(tiles.kernel, window, x.dtype)
    taps = _taps(w.transpose(1, 0, 2, 3))                                                       # (KH·KW, C·O)
    for start, stop in parallel.ranges(len(x), _images_a_chunk(x.shape, len(w), tiles, x.itemsize)):
        xs = _spectra_of_tiles(x[start:stop], tiles)                                            # (T, K, C)
        ys = empty((*xs.shape[:2], len(w)), xs.dtype)                                           # (T, K, O)

        def product(low, high, xs=xs, ys=ys):
            ws = _spectra_of_kernels(waves[low:high].conj(), taps, xs.shape[2])                 # (k, C, O)
            np.matmul(_frequencies(xs, low, high), ws, out=_frequencies(ys, low, high))

        parallel.run(product, parallel.ranges(len(waves), FREQUENCIES))
        _outputs(ys, b, y[start:stop], tiles, window, x.shape[2:], rectify)


def backward(dy, x, w, dx, window):
    """dw (O, C, KH, KW); fills dx (N, C, H, W) unless it is None."""
    tiles = _tiles(window, len(x), *x.shape[2:])
    waves, back = _waves(tiles.kernel, window, x.dtype)
    taps, total = _taps(w), None                                                                # (KH·KW, O·C)
    for start, stop in parallel.ranges(len(x), _images_a_chunk(x.shape, len(w), tiles, x.itemsize)):
        xs = _spectra_of_tiles(x[start:stop], tiles)                                            # (T, K, C)
        dys = _spectra_of_gradients(dy[start:stop], tiles, window, x.shape[2:])                   # (T, K, O)

        def product(low, high, xs=xs, dys=dys):
            x_part, dy_part = _frequencies(xs, low, high), _frequencies(dys, low, high)         # (k, T, C), (k, T, O)
            dw = _taps_of_spectra(x_part, dy_part, back[:, low:high])                           # (KH·KW, O·C)
            if dx is not None:
                np.matmul(dy_part, _spectra_of_kernels(waves[low:high], taps, len(w)), out=x_part)
            return dw

        total = parallel.add(total, parallel.run_and_add(product, len(waves), FREQUENCIES))
        if dx is not None:
            _add_tiles(xs, dx[start:stop], tiles)
    return total.reshape(*window.kernel, *w.shape[:2]).transpose(2, 3, 0, 1)


@functools.lru_cache(maxsize=256)
def _tiles(window, images, height, width):
    """The tiles of such images: a window of S × S pixels that moves by as many as its outputs cover.

    Spectra and products cost T·S², the kernels' spectra (KH·KW + 4)·S² in the same unit, and every transform as much as for
    two pixels more: measured.
    """
    def cost(rows, columns):
        tiles = images * rows.output_size(height) * columns.output_size(width)
        return (tiles + window.kernel[0] * window.kernel[1] + 4) * (rows.kernel + 2) * (columns.kernel + 2)

    pairs = [(rows, columns) for rows in _tile_sizes(window.rows, height) for columns in _tile_sizes(window.columns, width)]
    return Window(*min(pairs, key=lambda pair: cost(*pair)))


def _tile_sizes(axis, pixels):
    """Tiles of every good size from that of one window to that of the image."""
    outputs = axis.output_size(pixels)
    whole = (outputs - 1) * axis.stride + axis.extent
    sizes = [size for size in range(axis.extent, 2 * whole + 1) if _is_good(size)]
    enough = next(size for size in sizes if size >= whole)
    for size in sizes[:sizes.index(enough) + 1]:
        each = min(outputs, (size - axis.extent) // axis.stride + 1)
        count, step = -(-outputs // each), each * axis.stride
        yield Axis(size, step, axis.before, after=(count - 1) * step + size - axis.before - pixels)


def _is_good(size):
    """Is `size` a product of 2, 3, 5 and 7, for which the transform is fast?"""
    for factor in (2, 3, 5, 7):
        while size % factor == 0:
            size //= factor
    return size == 1


def _images_a_chunk(shape, channels_out, tiles, itemsize):
    """How many images' spectra are held at a time."""
    count = math.prod(tiles.output_size(shape[2:])) * tiles.kernel[0] * (tiles.kernel[1] // 2 + 1)
    return max(1, min(CHUNK_BYTES // (2 * itemsize * count * (shape[1] + channels_out)), shape[0]))


@functools.lru_cache(maxsize=64)
def _waves(sizes, window, dtype):
    """e^(−2πi·k·j/S) (K, KH·KW), and what brings half a spectrum back to the taps (KH·KW, K).

    Each frequency stands for its mirror image too, whose number is the conjugate; those of the first column and, if S is
    even, of the last are in the half themselves.
    """
    (height, width), half = sizes, sizes[1] // 2 + 1
    rows, columns = (np.exp(-2j * np.pi * (np.outer(np.arange(count), np.arange(axis.kernel) * axis.dilation) % size) / size)
                     for axis, size, count in ((window.rows, height, height), (window.columns, width, half)))
    waves = np.kron(rows, columns)
    twice = np.where(np.arange(half) * 2 % width == 0, 1, 2)
    back = (waves.conj() * np.tile(twice, height)[:, None]).T
    return waves.astype(np.result_type(dtype, 1j)), back.astype(np.result_type(dtype, 1j))


def _taps(w):
    """(KH·KW, F·D) from weights (F, D, KH, KW), complex."""
    return w.transpose(2, 3, 0, 1).reshape(w.shape[2] * w.shape[3], -1).astype(np.result_type(w.dtype, 1j))


def _spectra_of_kernels(waves, taps, first):
    """(k, F, D) for a few frequencies, from waves (k, KH·KW) and taps (KH·KW, F·D)."""
    out = parallel.scratch("fft kernels", (len(waves), taps.shape[1]), taps.dtype)
    return np.matmul(waves, taps, out=out).reshape(len(waves), first, -1)


def _taps_of_spectra(xs, dys, back):
    """Σ x̂·conj(d̂y) of a few frequencies (k, T, C), (k, T, O), and what it adds to the taps: (KH·KW, O·C)."""
    conj = np.conjugate(dys, out=parallel.scratch("fft conj", dys.shape, dys.dtype))
    shape = len(dys), dys.shape[2], xs.shape[2]
    dws = np.matmul(conj.transpose(0, 2, 1), xs, out=parallel.scratch("fft kernels", shape, dys.dtype))
    taps = parallel.scratch("fft taps", (len(back), shape[1] * shape[2]), dys.dtype)
    return np.matmul(back, dws.reshape(len(dws), -1), out=taps).real


def _frequencies(spectra, low, high):
    """The view (k, T, C) of spectra (T, K, C)."""
    return spectra[:, low:high].transpose(1, 0, 2)


def _grid(tiles, size, channels):
    """Shape (rows, columns, S, S/2 + 1, C) of the spectra of an image, tile by tile."""
    height, width = tiles.kernel
    return *tiles.output_size(size), height, width // 2 + 1, channels


def _rows_of_tiles(images, grid):
    """Pieces of work: (image, row of tiles)."""
    return [(image, row) for image in range(images) for row in range(grid[0])]


def _spectra_of_tiles(x, tiles):
    """x̂ (T, K, C) of images (N, C, H, W)."""
    grid = _grid(tiles, x.shape[2:], x.shape[1])
    spectra = empty((len(x), *grid), np.result_type(x.dtype, 1j))

    def transform(image, row):
        d = columns(x[image:image + 1], tiles, row, row + 1)[0, 0]                              # (columns, S, S, C)
        half = np.fft.rfft(d, axis=2, norm=NORM, out=parallel.scratch("fft half", grid[1:], spectra.dtype))
        np.fft.fft(half, axis=1, norm=NORM, out=spectra[image, row])

    parallel.run(transform, _rows_of_tiles(len(x), grid))
    return spectra.reshape(-1, math.prod(grid[2:4]), grid[4])


def _spectra_of_gradients(dy, tiles, window, size):
    """d̂y (T, K, O) of dy (N, O, OH, OW): of each tile, its outputs with zeros between and behind."""
    grid, (sh, sw) = _grid(tiles, size, dy.shape[1]), window.stride
    height, width = _kept(tiles, window)
    spectra = empty((len(dy), *grid), np.result_type(dy.dtype, 1j))

    def transform(image, row):
        g = parallel.scratch("fft dy", (grid[1], height, width, dy.shape[1]), dy.dtype)
        half = parallel.scratch("fft half", (grid[1], height, *grid[3:]), spectra.dtype)
        g[...] = 0
        for pixels, values in _pairs(dy[image], g[:, ::sh, ::sw], row):
            values[...] = pixels
        np.fft.rfft(g, n=tiles.kernel[1], axis=2, norm=NORM, out=half)
        np.fft.fft(half, n=tiles.kernel[0], axis=1, norm=NORM, out=spectra[image, row])

    parallel.run(transform, _rows_of_tiles(len(dy), grid))
    return spectra.reshape(-1, math.prod(grid[2:4]), grid[4])


def _outputs(spectra, b, y, tiles, window, size, rectify):
    """y (N, O, OH, OW) ← the outputs that the stride keeps, + b; what a tile has beyond the edge is dropped."""
    grid, (sh, sw) = _grid(tiles, size, y.shape[1]), window.stride
    height, width = _kept(tiles, window)
    spectra = spectra.reshape(len(y), *grid)

    def transform(image, row):
        out = _inverse(spectra[image, row], slice(0, height, sh), tiles.kernel[1])
        for pixels, values in _pairs(y[image], out[:, :, :width:sw], row):
            np.add(values, 0 if b is None else b, out=pixels)
            if rectify:
                np.maximum(pixels, 0, out=pixels)

    parallel.run(transform, _rows_of_tiles(len(y), grid))


def _add_tiles(spectra, dx, tiles):
    """dx (N, C, H, W) ← F⁻¹·d̂x, added where tiles overlap."""
    grid, (step_h, step_w), (height, width) = _grid(tiles, dx.shape[2:], dx.shape[1]), tiles.stride, tiles.kernel
    spectra = spectra.reshape(len(dx), *grid)

    def transform(image):
        canvas = parallel.scratch("fft canvas", padded_shape((1, *dx.shape[1:]), tiles)[1:], dx.dtype)
        canvas[...] = 0
        for row in range(grid[0]):
            for column, tile in enumerate(_inverse(spectra[image, row], slice(None), width)):
                canvas[row * step_h:row * step_h + height, column * step_w:column * step_w + width] += tile
        dx[image] = interior(canvas[None], dx.shape[2:], tiles)[0].transpose(2, 0, 1)

    parallel.run(transform, [(image,) for image in range(len(dx))])


def _kept(tiles, window):
    """How many rows and columns of a tile reach from its first output to its last."""
    return tuple(step - stride + 1 for step, stride in zip(tiles.stride, window.stride))


def _inverse(spectra, rows, width):
    """F⁻¹ of a row of tiles (columns, S, S/2 + 1, C): these rows of theirs, (columns, rows, S, C)."""
    half = parallel.scratch("fft half", spectra.shape, spectra.dtype)
    half = np.fft.ifft(spectra, axis=1, norm=NORM, out=half)[:, rows]
    shape = (*half.shape[:2], width, half.shape[3])
    return np.fft.irfft(half, n=width, axis=2, norm=NORM, out=parallel.scratch("fft pixels", shape, half.real.dtype))


def _pairs(y, values, row):
    """For each tile of a row, views (rows, columns, O) of y (O, OH, OW) and of values (tiles, rows, columns, O)."""
    height, width = values.shape[1:3]
    pixels = y[:, row * height:(row + 1) * height].transpose(1, 2, 0)
    for column, tile in enumerate(values):
        part = pixels[:, column * width:(column + 1) * width]
        yield part, tile[:part.shape[0], :part.shape[1]]

"""A convolution by Fourier transform: pixels, spectra, and what a ring of pixels does at the border."""

import numpy as np

from minicnn.errors import ShapeError
from minicnn.plots.style import FAINT, INK, ORANGE, WIDTH, finish, new_figure, outline

DECADES, SHADES = 3, 4  # of a spectrum that are told apart, and how many colours each has; what is weaker is black


def fourier(image, kernel, padding=0, *, path=None):
    """An image, a kernel and their convolution in pixels (above), and the spectra of the three (below).

    Above, every output is a sum of products; below, every frequency is one product. The transform takes the image for a
    ring, where the last pixel is followed by the first: the dashed window hangs over the right edge, reads the left one,
    and its output (dashed) is not one of the convolution's. Those inside the solid line are.

    Parameters
    ----------
    image : NumPy array (H, W)
    kernel : NumPy array (KH, KW)
        As in `Conv2d`: not flipped.
    padding : int
        Zeros around the image, which windows read before they come round to the other side. With (K − 1)/2 there are as
        many right outputs as pixels.
    path : str or Path, optional
        A PNG to write.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ShapeError
        Image or kernel is no matrix, or the kernel is larger than the padded image.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import plots
    >>> figure = plots.fourier(np.eye(16), np.ones((5, 5)))
    >>> figure.axes[2].get_title(loc="left"), figure.axes[2].get_xlabel()
    ('y = w ⋆ x on the ring', '12 × 12 of 16 × 16 are the convolution')
    """
    x, w = np.asarray(image, np.float64), np.asarray(kernel, np.float64)
    if x.ndim != 2 or w.ndim != 2 or not x.size or not w.size or padding < 0 \
            or any(size + 2 * padding < taps for size, taps in zip(x.shape, w.shape)):
        raise ShapeError(f"fourier: got an image of shape {x.shape}, a kernel of {w.shape} and padding {padding!r}, wanted "
                         "(H, W), (KH, KW) no larger than the padded image, and 0 or more")
    x = np.pad(x, padding)
    filled = np.zeros_like(x)
    filled[:w.shape[0], :w.shape[1]] = w
    spectra = np.fft.fft2(x), np.conj(np.fft.fft2(filled))
    y = np.fft.ifft2(spectra[0] * spectra[1]).real
    right = [size - taps + 1 for size, taps in zip(x.shape, w.shape)]
    return finish(_draw((x, filled, y), (*spectra, spectra[0] * spectra[1]), w.shape, right), path)


def _draw(pixels, spectra, taps, right):
    (height, width), (kh, kw) = pixels[0].shape, taps
    figure = new_figure((WIDTH, 2 * min(WIDTH / 3 * height / width, 4) + 0.9))
    above, below = figure.subplots(2, 3)
    titles = "image x", "kernel w, filled up with zeros", "y = w ⋆ x on the ring"
    remarks = (_times(height, width), _times(kh, kw), f"{_times(*right)} of {_times(height, width)} are the convolution")
    for axes, values, title, remark in zip(above, pixels, titles, remarks):
        _dress(axes, values, "gray", title, remark)
    names = "x̂ = F x", "conj ŵ", "ŷ = conj ŵ · x̂, frequency by frequency"
    for axes, spectrum, name in zip(below, spectra, names):
        size = np.fft.fftshift(np.abs(spectrum))
        size = np.log10(np.maximum(size / (size.max() or 1), 10.0**-DECADES))
        _dress(axes, np.round(size * SHADES) / SHADES, "viridis", name, "")
    below[1].set_xlabel(f"how strong each wave is, over {DECADES} powers of ten; the longest waves are in the middle",
                        fontsize=8, color=FAINT)
    row, column = right[0] // 2, width - kw // 2
    for axes in above[::2]:
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    outline(above[0], 0, 0, kw, kh, (ORANGE, "-"))
    for left in (column, column - width):  # the window that hangs over, and where the ring brings it back
        _window(above[0], left, row, kw, kh)
    outline(above[2], 0, 0, *right[::-1], (ORANGE, "-"))
    _window(above[2], column, row, 1, 1)
    return figure


def _window(axes, left, top, width, height):
    """A dashed outline, of which the axes show what lies within them."""
    outline(axes, left, top, width, height, (INK, "--"))
    for patch in axes.patches[-2:]:
        patch.set_clip_on(True)


def _dress(axes, values, colours, title, remark):
    axes.imshow(values, cmap=colours, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xlabel(remark, fontsize=8, color=FAINT)


def _times(*sizes):
    return " × ".join(map(str, sizes))

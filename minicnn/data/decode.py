"""From an image file to pixels: any picture becomes a square of 8-bit RGB, or one error that names it."""

import os
import threading
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from minicnn.data.describe import describe_head, printable
from minicnn.errors import DataError

PIXEL_LIMIT = 128_000_000  # width·height above which a file is refused before anything is decoded; phones make 108

# Only plain picture formats: Pillow would hand an EPS to Ghostscript whatever its suffix says.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

ORIENTATION = 0x0112  # the EXIF tag; its values 2-8 and what undoes each (Exif 2.32, section 4.6.4)
BITS_PER_SAMPLE, MAX_SAMPLE_VALUE = 258, 281  # tags of TIFF 6.0, section 8
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def prepare(image, size=256):
    """Turn a picture upright, make it RGB, scale its shorter side to `size` and keep the central square.

    Alpha and transparent colours are laid on white. 16-bit grey keeps its high byte, as Pillow does for 16-bit RGB, so
    that a gradient stays a gradient; of a TIFF that states fewer bits, such as 12, it keeps the highest eight of
    those. CMYK is converted without a colour profile. Of an animation the first frame counts. Scaling is bilinear with
    anti-aliasing.

    Parameters
    ----------
    image : PIL.Image.Image
        Left as it is, apart from being loaded.
    size : int
        Side of the result.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)

    Raises
    ------
    DataError
        No pixels, more than `PIXEL_LIMIT` of them, or numbers that have no agreed meaning as brightness.

    References
    ----------
    Krizhevsky et al., ImageNet Classification with Deep CNNs, NIPS 2012, section 2: "rescaled the image such that the
    shorter side was of length 256, and then cropped out the central 256×256 patch".

    Examples
    --------
    >>> from PIL import Image
    >>> prepare(Image.new("L", (640, 480), 7), size=4)[0, 0].tolist()
    [7, 7, 7]
    """
    _check_size(image)
    image.load()  # before the orientation is read: a TIFF turns itself upright while loading
    image = to_rgb(_upright(image))
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side)
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR, box=box))


def read_image(path, size=256):
    """`prepare` a file; whatever is wrong with it becomes one `DataError` that names the file and the reason.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)

    Examples
    --------
    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile(suffix=".png") as file:
    ...     Image.new("RGB", (640, 480), (9, 8, 7)).save(file, "PNG")
    ...     file.flush()
    ...     read_image(file.name, size=4)[0, 0].tolist()
    [9, 8, 7]
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # opening a pipe would wait for ever
            raise DataError("not a regular file")
        with _quiet, Image.open(path, formats=FORMATS) as image:
            _check_size(image)
            image.draft(None, (2 * size, 2 * size))  # a JPEG far larger than needed is decoded at a fraction
            return prepare(image, size)
    except Exception as error:  # Pillow's parsers raise nearly every type there is when a file is malformed
        raise DataError(f"{printable(path)}: {_reason(error, path)}") from error


def to_rgb(image):
    """Convert a loaded image of any mode to RGB, laying transparency on white."""
    if image.mode.startswith("I;16"):
        return _from_16_bit(image)
    if image.mode in ("I", "F"):
        return _from_wide(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _from_16_bit(image):
    values = np.asarray(image)
    grey = (values >> (_stated_bits(image, values.max()) - 8)).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _stated_bits(image, highest):
    """Bits that a sample of 16 makes use of: fewer than 16 if a TIFF says so, and no value belies it.

    A MaxSampleValue of 4095 states 12 bits; one of 3017 is the brightest value of this one picture and states nothing.
    """
    tags = getattr(image, "tag_v2", {})
    bits, tops = (np.atleast_1d(tags.get(tag, 0)).tolist() for tag in (BITS_PER_SAMPLE, MAX_SAMPLE_VALUE))
    stated = bits + [top.bit_length() for top in tops if isinstance(top, int) and top & (top + 1) == 0]
    return next((count for count in range(8, 16) if count in stated and highest < 2**count), 16)


def _from_wide(image):
    """32-bit integers count as 16-bit values (that is how Pillow opens a 16-bit PGM), floats as [0, 1]."""
    values = np.asarray(image)
    top = 65535 if image.mode == "I" else 1
    if not (values.min() >= 0 and values.max() <= top):  # so written, NaN is refused too
        raise DataError(f"mode {image.mode} with values from {values.min()} to {values.max()}; wanted 0 to {top}")
    grey = values >> 8 if image.mode == "I" else np.rint(values * 255)
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _upright(image):
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # a damaged EXIF block says nothing about the pixels, which are whole
        return image
    turn = UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _check_size(image):
    width, height = image.size
    if width < 1 or height < 1:
        raise DataError(f"has no pixels ({width}×{height})")
    if width * height > PIXEL_LIMIT:
        raise DataError(f"{width}×{height} pixels are more than the limit of {PIXEL_LIMIT // 10**6} million")


def _reason(error, path):
    if isinstance(error, UnidentifiedImageError):
        return f"not an image in a format read here ({', '.join(FORMATS)}): {describe_head(path)}"
    if isinstance(error, Image.DecompressionBombError):
        return f"claims far more pixels than the limit of {PIXEL_LIMIT // 10**6} million"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return printable(str(error)) or type(error).__name__


class _QuietPillow:
    """Silences Pillow's own warnings while at least one thread is decoding.

    `warnings.catch_warnings` alone is not enough: threads that enter and leave it in turn restore each other's filters.
    Here the first thread in sets the filter and the last one out restores it.
    """

    def __init__(self):
        self._lock, self._inside, self._caught = threading.Lock(), 0, None

    def __enter__(self):
        with self._lock:
            if self._inside == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *exception):
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


_quiet = _QuietPillow()

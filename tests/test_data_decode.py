"""Any picture becomes upright 8-bit RGB of the right colours, or a DataError that names the file."""

import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from minicnn.data import decode, prepare, read_image
from minicnn.errors import DataError

# EXIF orientation: which side of the upright picture the stored row 0 and column 0 are (Exif 2.32, section 4.6.4).
ROW_AND_COLUMN = {1: "top left", 2: "top right", 3: "bottom right", 4: "bottom left",
                  5: "left top", 6: "right top", 7: "right bottom", 8: "left bottom"}


def picture(height=48, width=64, seed=0):
    """Smooth, asymmetric, in colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def as_stored(upright, orientation):
    """The array that a camera would store for this upright picture, pixel by pixel from the definition."""
    height, width = upright.shape[:2]
    row, column = ROW_AND_COLUMN[orientation].split()
    rows, columns = (height, width) if row in ("top", "bottom") else (width, height)
    stored = np.empty((rows, columns, 3), np.uint8)
    for r in range(rows):
        for c in range(columns):
            place = {row: r, column: c}
            y = place["top"] if "top" in place else height - 1 - place["bottom"]
            x = place["left"] if "left" in place else width - 1 - place["right"]
            stored[r, c] = upright[y, x]
    return Image.fromarray(stored)


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def png_header(width, height):
    """A PNG that claims a size and hardly holds anything."""
    head, data = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"")
    chunks = (struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in (head, data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("orientation", ROW_AND_COLUMN)
def test_exif_rotation_is_undone(tmp_path, orientation):
    upright = picture()
    as_stored(upright, orientation).save(tmp_path / "a.png", exif=exif(orientation))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", 24), prepare(Image.fromarray(upright), 24))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_rotated_tiff_is_turned_once(tmp_path, orientation):
    upright = picture()
    as_stored(upright, orientation).save(tmp_path / "a.tif", tiffinfo={0x0112: orientation})
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", 24), prepare(Image.fromarray(upright), 24))


def test_an_impossible_orientation_is_passed_over(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png", exif=exif(77))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", 24), prepare(Image.fromarray(picture()), 24))


@pytest.mark.parametrize("height,width", [(48, 64), (64, 48), (50, 50), (31, 97), (113, 75)])
def test_shorter_side_is_scaled_and_the_centre_kept(height, width):
    """On a ramp, bilinear scaling is exact: the pixel at j shows what lay at (j + ½)·side/size − ½ of the square."""
    size, side = 40, min(height, width)
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = 2 * np.arange(width), 2 * np.arange(height)[:, None]
    result = prepare(Image.fromarray(ramp), size).astype(int)
    inner = np.arange(2, size - 2)
    place = (inner + 0.5) * side / size - 0.5
    across, down = 2 * (place + (width - side) // 2), 2 * (place + (height - side) // 2)
    np.testing.assert_allclose(result[2:-2, 2:-2, 0], np.tile(across, (len(inner), 1)), atol=1)
    np.testing.assert_allclose(result[2:-2, 2:-2, 1], np.tile(down[:, None], (1, len(inner))), atol=1)


def test_centre_of_an_image_of_the_right_height_is_cut_without_loss():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 33, 3), np.uint8)
    np.testing.assert_array_equal(prepare(Image.fromarray(pixels), 20), pixels[:, 6:26])


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 2)])
def test_tiny_and_thin_images(size):
    assert prepare(Image.new("RGB", size, (9, 8, 7)), 32).reshape(-1, 3).tolist() == [[9, 8, 7]] * 1024


def test_prepare_leaves_the_image_alone():
    image = as_stored(picture(), 6)
    image.getexif()[0x0112] = 6
    before = image.tobytes()
    prepare(image, 16)
    assert (image.tobytes(), image.size, image.getexif()[0x0112]) == (before, (48, 64), 6)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "LA", "RGBA", "PA", "YCbCr", "HSV", "CMYK"])
def test_modes_keep_their_colour(mode):
    grey = mode in ("1", "L", "LA")
    colour = (255, 255, 255) if grey else (255, 0, 0)
    image = Image.new("RGB", (6, 5), colour).convert(mode)
    np.testing.assert_allclose(prepare(image, 4).reshape(-1, 3), [colour] * 16, atol=2)


def test_grey_is_the_same_in_every_channel():
    grey = picture()[..., 0]
    result = prepare(Image.fromarray(grey), 48)
    np.testing.assert_array_equal(result, np.repeat(grey[:, 8:56, None], 3, 2))


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("top", [65535, 4095])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, suffix, top):
    values = np.linspace(0, top, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    result = read_image(tmp_path / f"a.{suffix}", 64)[..., 1]
    np.testing.assert_array_equal(result, values // 256)
    assert (result == 255).mean() < 0.01


def test_sixteen_bit_transparency_is_white(tmp_path):
    values = np.full((8, 8), 1000, np.uint16)
    values[:, 4:] = 2000
    Image.fromarray(values).save(tmp_path / "a.png", transparency=2000)
    assert read_image(tmp_path / "a.png", 8)[0, :, 0].tolist() == [3] * 4 + [255] * 4


def test_sixteen_bit_pgm(tmp_path):
    values = np.linspace(0, 65535, 256).astype(">u2").reshape(16, 16)
    (tmp_path / "a.pgm").write_bytes(b"P5 16 16 65535\n" + values.tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "a.pgm", 16)[..., 0], values // 256)


def test_floating_point_counts_from_zero_to_one(tmp_path):
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    np.testing.assert_array_equal(prepare(Image.fromarray(values), 16)[..., 2].ravel(), np.arange(256))
    for wrong in (values * 200, values - 1, np.full_like(values, np.nan)):
        Image.fromarray(wrong).save(tmp_path / "a.tif")
        with pytest.raises(DataError, match=r"a\.tif.*wanted 0 to 1"):
            read_image(tmp_path / "a.tif")


def test_alpha_is_laid_on_white():
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 0] = 200
    pixels[:, :, 3] = [0, 51, 102, 255]
    expected = [255 - a / 255 * (255 - np.array([200, 0, 0])) for a in (0, 51, 102, 255)]
    np.testing.assert_allclose(prepare(Image.fromarray(pixels), 4)[0], expected, atol=1)


def test_transparent_palette_colour_is_white(tmp_path):
    image = Image.fromarray(np.tile(np.array([0, 1], np.uint8), (2, 1))).convert("P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    for name in ("a.png", "a.gif"):
        image.save(tmp_path / name, transparency=0)
        assert read_image(tmp_path / name, 2)[0].tolist() == [[255, 255, 255], [0, 0, 255]]
    image.save(tmp_path / "opaque.png")
    assert read_image(tmp_path / "opaque.png", 2)[0].tolist() == [[255, 0, 0], [0, 0, 255]]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])  # the JPEG stores ink inverted, as Adobe does; the TIFF does not
def test_cmyk_files(tmp_path, suffix):
    cmyk = np.zeros((32, 64, 4), np.uint8)
    cmyk[:, :32, 1:3] = 255  # magenta and yellow make red
    cmyk[:, 32:, 3] = 102  # black ink alone
    Image.fromarray(cmyk, "CMYK").save(tmp_path / f"a.{suffix}", quality=95)
    result = read_image(tmp_path / f"a.{suffix}", 32)
    np.testing.assert_allclose(result[:, 4], [[255, 0, 0]] * 32, atol=6)
    np.testing.assert_allclose(result[:, 27], [[153, 153, 153]] * 32, atol=6)


def test_first_frame_of_an_animation(tmp_path):
    red, green = Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), (0, 255, 0))
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        red.save(tmp_path / name, save_all=True, append_images=[green], lossless=True)
        np.testing.assert_allclose(read_image(tmp_path / name, 3)[1, 1], [255, 0, 0], atol=2, err_msg=name)


def test_a_jpeg_that_carries_a_second_picture(tmp_path):
    red, green = Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), (0, 255, 0))
    red.save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[green])
    np.testing.assert_allclose(read_image(tmp_path / "phone.jpg", 3)[1, 1], [255, 0, 0], atol=2)


def test_a_large_jpeg_looks_the_same_decoded_at_a_fraction(tmp_path):
    pixels = picture(1500, 2000)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    difference = np.abs(read_image(tmp_path / "a.jpg", 128).astype(int) - prepare(Image.fromarray(pixels), 128))
    assert difference.mean() < 1.5 and difference.max() < 12


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "tif", "webp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=rf"cut\.{suffix}: "):
        read_image(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_truncated_photograph_is_refused_at_a_fraction_too(tmp_path, progressive, share):
    path = tmp_path / "cut.jpg"
    Image.fromarray(picture(700, 900)).save(path, quality=95, progressive=progressive)
    assert read_image(path, 32).shape == (32, 32, 3)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match="truncated"):
        read_image(path, 32)


@pytest.mark.parametrize("content,words", [
    (b"", "an empty file"),
    (b"plain text, not a picture", "plain"),
    (b"<!DOCTYPE html><html>404</html>", "HTML"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git-lfs"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    (b"GIF89a\0\0\0\0\0\0\0;", "GIF89a"),
])
def test_what_is_no_image_is_described(tmp_path, content, words):
    (tmp_path / "odd.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"odd\.jpg: not an image in a format read here") as caught:
        read_image(tmp_path / "odd.jpg")
    assert words in str(caught.value)


@pytest.mark.parametrize("side", [11_400, 14_000, 100_000])  # below Pillow's error, above it, far above
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    with warnings.catch_warnings(), pytest.raises(DataError, match=r"bomb\.png: .*limit of 128 million"):
        warnings.simplefilter("error")
        read_image(tmp_path / "bomb.png")


def test_the_pixel_limit_is_inclusive(monkeypatch):
    monkeypatch.setattr(decode, "PIXEL_LIMIT", 1_000_000)
    assert prepare(Image.new("RGB", (1000, 1000)), 2).shape == (2, 2, 3)
    with pytest.raises(DataError, match="1000×1001 pixels are more than the limit of 1 million"):
        prepare(Image.new("RGB", (1000, 1001)), 2)


def test_what_is_no_file(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(DataError, match="not a regular file"):
        read_image(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        with pytest.raises(DataError, match="not a regular file"):
            read_image(tmp_path / "pipe.jpg")


def test_messages_hold_no_control_characters(tmp_path):
    path = tmp_path / "\x1b[31mred\n.jpg"
    path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert str(caught.value).isprintable()


def test_a_damaged_exif_block_costs_neither_the_image_nor_a_warning(tmp_path):
    damaged = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01"
    Image.fromarray(picture()).save(tmp_path / "a.png")
    Image.fromarray(picture()).save(tmp_path / "b.png", exif=damaged)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_image(tmp_path / "b.png", 9), read_image(tmp_path / "a.png", 9))


def test_warning_filters_survive_threads(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_header(11_400, 11_400))  # Pillow warns of each
    before = list(warnings.filters)

    def read(_):
        with pytest.raises(DataError):
            read_image(tmp_path / "bomb.png")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(200)))
    assert warnings.filters == before


def test_pillow_is_quiet_until_the_last_thread_has_left():
    before = list(warnings.filters)
    decode._quiet.__enter__()
    decode._quiet.__enter__()  # a second thread comes, the first one goes
    decode._quiet.__exit__(None, None, None)
    warnings.warn_explicit("corrupt", UserWarning, "Image.py", 1, module="PIL.Image")  # would be an error
    with pytest.raises(UserWarning):
        warnings.warn_explicit("ours", UserWarning, "other.py", 1, module="other")
    decode._quiet.__exit__(None, None, None)
    assert warnings.filters == before

"""What cameras and phones make: very many pixels, and 12 bits in 16."""

import struct

import numpy as np
import pytest
from PIL import Image

from minicnn.data import decode, prepare, read_image
from minicnn.errors import DataError

MAX_SAMPLE_VALUE, ORIENTATION = 281, 0x0112


def large_jpeg(path, width, height):
    """Dark left of the middle, bright right of it."""
    image = Image.new("L", (width, height), 40)
    image.paste(200, (width // 2, 0, width, height))
    image.save(path, quality=60)


def test_108_megapixels_are_read(tmp_path):
    large_jpeg(tmp_path / "phone.jpg", 12_032, 9_024)
    result = read_image(tmp_path / "phone.jpg", 64)
    np.testing.assert_allclose(result[:, :31], 40, atol=2)
    np.testing.assert_allclose(result[:, 33:], 200, atol=2)


@pytest.mark.parametrize("format", ["JPEG", "MPO"])  # phones put a second picture into an MPO
def test_a_jpeg_is_decoded_at_a_fraction_only_if_far_larger_than_needed(tmp_path, monkeypatch, format):
    decoded, real = [], prepare
    monkeypatch.setattr(decode, "prepare", lambda image, size: decoded.append(image.size) or real(image, size))
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    for height in (127, 128, 512):
        image = Image.fromarray(pixels).resize((height * 4 // 3, height), Image.Resampling.BICUBIC)
        image.save(tmp_path / "a.jpg", format, **({"append_images": [image]} if format == "MPO" else {}))
        result = read_image(tmp_path / "a.jpg", 32)
        if height == 127:
            with Image.open(tmp_path / "a.jpg") as whole:
                np.testing.assert_array_equal(result, real(whole, 32))
    assert decoded == [(169, 127), (85, 64), (86, 64)]


def test_a_jpeg_beyond_the_limit_is_refused_though_a_fraction_would_fit(tmp_path):
    large_jpeg(tmp_path / "a.jpg", 16, 16)
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    frame = content.index(b"\xff\xc0")  # start of frame: marker, length, precision, height, width
    content[frame + 5 : frame + 9] = struct.pack(">HH", 10_000, 12_801)
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.jpg: 12801×10000 pixels are more than the limit of 128 million"):
        read_image(tmp_path / "a.jpg", 32)


def ramp(top):
    return np.linspace(0, top, 64 * 64).astype(np.uint16).reshape(64, 64)


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
def test_a_tiff_that_states_its_highest_value_is_scaled_by_it(tmp_path, bits):
    Image.fromarray(ramp(2**bits - 1)).save(tmp_path / "a.tif", tiffinfo={MAX_SAMPLE_VALUE: 2**bits - 1})
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", 64)[..., 1], ramp(2**bits - 1) >> (bits - 8))


def test_so_is_one_that_lies_on_its_side(tmp_path):
    Image.fromarray(ramp(4095)).save(tmp_path / "a.tif", tiffinfo={MAX_SAMPLE_VALUE: 4095, ORIENTATION: 3})
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", 64)[..., 1], ramp(4095)[::-1, ::-1] >> 4)


@pytest.mark.parametrize("stated,top", [(3017, 3017), (4095, 4096), (0, 4095), (255, 65535)])
def test_what_states_no_number_of_bits_or_is_not_true_changes_nothing(tmp_path, stated, top):
    """The brightest value of this one picture would make equal greys of two pictures differ."""
    Image.fromarray(ramp(top)).save(tmp_path / "a.tif", tiffinfo={MAX_SAMPLE_VALUE: stated})
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", 64)[..., 1], ramp(top) >> 8)


def test_twelve_bits_a_sample(tmp_path):
    """Two samples in three bytes, as scanners pack them."""
    values = ramp(4095)
    even, odd = values.ravel()[::2], values.ravel()[1::2]
    packed = np.stack([even >> 4, (even & 15) << 4 | odd >> 8, odd & 255], 1).astype(np.uint8).tobytes()
    tags = {256: 64, 257: 64, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 64, 279: len(packed)}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    header = b"II*\0" + struct.pack("<I", 8 + len(packed))
    (tmp_path / "a.tif").write_bytes(header + packed + struct.pack("<H", len(tags)) + directory + bytes(4))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", 64)[..., 1], values >> 4)

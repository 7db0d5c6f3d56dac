"""The members of an .npz archive, read with suspicion: weight files and checkpoints come from strangers too.

An .npz is a zip archive of .npy members. Nothing in it is ever unpickled, and no memory is asked for before the sizes
in the zip's directory, in each header and in the file itself have been compared.
"""

import math
import tokenize
import zipfile
import zlib

import numpy as np

NUMBERS = "fiub"  # the kinds of dtype that are read and written
MAX_HEADER = 10_000  # bytes of an array's header; NumPy's own limit
DENSEST = 100  # how many times smaller than its content a compressed member may be, from a megabyte of content on

# What zipfile and NumPy raise at bytes that are not what they should be.
UNREADABLE = (ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError, EOFError, OSError,
              NotImplementedError, RuntimeError, OverflowError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)


def write_member(archive, name, array):
    """Add an array to an open ZipFile, uncompressed. The date is fixed: the same arrays give the same bytes."""
    with archive.open(zipfile.ZipInfo(name + ".npy"), "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def members(archive, size):
    """{name: ZipInfo} of an open ZipFile of `size` bytes.

    Raises
    ------
    ValueError
        Names that are wrong or come twice, encryption, compression beyond reason, or more data than the file has.
    """
    found = archive.infolist()
    names = {member.filename for member in found}
    if len(names) != len(found) or not all(name.endswith(".npy") for name in names):
        raise ValueError("its members have wrong names")
    if any(member.flag_bits & 1 for member in found):
        raise ValueError("it has encrypted members")
    for member in found:
        densest = 1 if member.compress_type == zipfile.ZIP_STORED else DENSEST
        if member.file_size > max(densest * member.compress_size, 10**6 if densest > 1 else 0):
            raise ValueError(f"{member.filename} claims {member.file_size} bytes, compressed to {member.compress_size}")
    if sum(member.compress_size for member in found) > size:
        raise ValueError("its members are larger than the file")
    return {member.filename.removesuffix(".npy"): member for member in found}


def read_header(archive, member):
    """(shape, dtype) of a member."""
    with archive.open(member) as file:
        shape, _, dtype = _checked_header(file, member)
    return shape, dtype


def read_member(archive, member):
    """The array of a member."""
    with archive.open(member) as file:
        shape, fortran, dtype = _checked_header(file, member)
        array = np.empty(shape, dtype, order="F" if fortran else "C")
        content = array.reshape(-1, order="A").view(np.uint8)
        if file.readinto(content) != array.nbytes or file.read(1):  # reading past the end compares the CRC
            raise ValueError(f"{member.filename} does not have the {array.nbytes} bytes of its shape {shape}")
        return array


def _checked_header(file, member):
    """(shape, fortran, dtype), after checking that the member is exactly as long as they promise."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"{member.filename} has an unknown version {version}")
    shape, fortran, dtype = read(file, max_header_size=MAX_HEADER)
    if dtype.hasobject or dtype.kind not in NUMBERS:
        raise ValueError(f"{member.filename} holds {dtype}, not numbers")
    if min(shape, default=0) < 0 or file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
        raise ValueError(f"{member.filename} claims the shape {shape}, which is not what it holds")
    return shape, fortran, dtype

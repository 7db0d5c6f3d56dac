"""Words for messages: names that are safe to print, and what a file that cannot be read looks like."""

import unicodedata

_HEADS = (  # first bytes, in lower case, and what they give away
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself (run `git lfs pull`)"),
    (b"<!doctype html", "an HTML page (a failed download?)"),
    (b"<html", "an HTML page (a failed download?)"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"pk\x03\x04", "a zip archive"),
    (b"%!ps", "PostScript"),
    (b"%pdf", "a PDF"),
)


def printable(name):
    """A name or message as one line of text: composed Unicode; undecodable bytes and control characters become �."""
    return "".join(c if c.isprintable() else "�" for c in unicodedata.normalize("NFC", str(name)))


def describe_head(path):
    """What the file's first bytes look like, for an error message.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.gz")
    ...     _ = path.write_bytes(b"<!DOCTYPE html><html>")
    ...     print(describe_head(path))
    an HTML page (a failed download?)
    """
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except OSError as error:
        return error.strerror or "a file that cannot be opened"
    return describe_bytes(head)


def describe_bytes(head):
    """`describe_head` of bytes already read."""
    if not head:
        return "an empty file"
    lowered = head.lstrip().lower()
    for start, meaning in _HEADS:
        if lowered.startswith(start):
            return meaning
    return f"a file that begins with {head[:8]!r}"

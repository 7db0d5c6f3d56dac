"""Checks of settings that several modules take."""

from numbers import Integral

from minicnn.errors import DataError


def check_whole(owner, least=None, **settings):
    """Raise `DataError` unless each setting is a whole number, of `least` or more where that is given.

    Examples
    --------
    >>> check_whole("Batches", 1, workers=0)
    Traceback (most recent call last):
        ...
    minicnn.errors.DataError: Batches: workers must be a whole number, at least 1, not 0
    """
    for name, value in settings.items():
        if not isinstance(value, Integral) or (least is not None and value < least):
            bound = "" if least is None else f", at least {least}"
            raise DataError(f"{owner}: {name} must be a whole number{bound}, not {value!r}")

"""What every command of minicnn has in common: one line instead of a traceback, and exit codes that a script can use."""

import argparse
import math
import sys

from minicnn.errors import BackendError, DataError, MinicnnError
from minicnn.training.checkpoint import NotSaved
from minicnn.training.stopping import Interrupted
from minicnn.training.trainer import Diverged

EXIT_CODES = """exit codes:
  0    finished
  1    an error, such as a damaged checkpoint
  2    wrong usage, missing data or checkpoint, or no usable GPU for --backend cupy
  3    diverged: the loss or a weight is not finite; the last good checkpoint is kept
  4    a checkpoint could not be written; the one before is intact
  130  interrupted (Ctrl-C) after saving; a second Ctrl-C aborts at once
  143  terminated (SIGTERM) after saving"""


class UsageError(MinicnnError, ValueError):
    """Options that are wrong, or do not go together."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and whose namespace holds only what the user gave."""

    def __init__(self, **settings):
        super().__init__(argument_default=argparse.SUPPRESS, allow_abbrev=False,
                         formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


def number(kind, low, below=math.inf, above=False):
    """A type for argparse: a finite int or float from `low` on (or above it), and less than `below`.

    Examples
    --------
    >>> number(int, 1)("0")
    Traceback (most recent call last):
        ...
    argparse.ArgumentTypeError: 0 is not an integer of at least 1
    """
    wanted = f"{'an integer' if kind is int else 'a number'} {'above' if above else 'of at least'} {low}"
    wanted += f" and less than {below}" if below < math.inf else ""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (low < value if above else low <= value) or not value < below:
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
        return value

    return parse


def run(main):
    """Call `main()` and return the exit code of what happened; an error becomes one line on stderr."""
    try:
        main()
    except KeyboardInterrupt:
        return _complain("aborted", 130)
    except Interrupted as error:
        return _complain(error, 128 + error.signal)
    except Diverged as error:
        return _complain(error, 3)
    except NotSaved as error:
        return _complain(error, 4)
    except (UsageError, DataError, BackendError) as error:
        return _complain(error, 2)
    except MinicnnError as error:
        return _complain(error, 1)
    except MemoryError as error:
        return _complain(f"out of memory ({error}): a smaller --batch-size or --width needs less", 1)
    return 0


def _complain(message, code):
    print(" ".join(str(message).split()), file=sys.stderr, flush=True)
    return code

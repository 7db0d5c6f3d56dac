"""What every command of minicnn has in common: one line instead of a traceback, and exit codes that a script can use."""

import argparse
import contextlib
import math
import os
import sys

from minicnn.errors import BackendError, DataError, MinicnnError, OutOfMemory
from minicnn.training.checkpoint import NotSaved
from minicnn.training.stopping import Interrupted, StopAtOnce
from minicnn.training.trainer import Diverged

EXIT_CODES = """exit codes:
  0    finished
  1    an error, such as a damaged checkpoint, or an output that cannot be written to
  2    wrong usage, missing or changed data, missing checkpoint, or no usable GPU for --backend cupy
  3    diverged: the loss or a weight is not finite; the last good checkpoint is kept
  4    a checkpoint, or another file of the run, could not be written; what was there before is intact
  129  hung up (SIGHUP), after saving if training had begun
  130  interrupted (Ctrl-C), after saving if training had begun; a second Ctrl-C aborts at once
  143  terminated (SIGTERM), after saving if training had begun"""


class UsageError(MinicnnError, ValueError):
    """Options that are wrong, or do not go together."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and whose namespace holds only what the user gave."""

    def __init__(self, **settings):
        super().__init__(argument_default=argparse.SUPPRESS, allow_abbrev=False,
                         formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


def number(kind, low, below=math.inf, most=math.inf, above=False):
    """A type for argparse: a finite int or float from `low` on (or above it), less than `below` and at most `most`.

    Examples
    --------
    >>> number(int, 1)("0")
    Traceback (most recent call last):
        ...
    argparse.ArgumentTypeError: 0 is not an integer of at least 1
    """
    wanted = f"{'an integer' if kind is int else 'a number'} {'above' if above else 'of at least'} {low}"
    wanted += f" and less than {below}" if below < math.inf else f" and at most {most}" if most < math.inf else ""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (low < value if above else low <= value) or not value < below or not value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
        return value

    return parse


def counted(count, noun):
    """
    >>> counted(1, "thread"), counted(2000, "image")
    ('1 thread', '2,000 images')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def run(main):
    """Call `main()` and return the exit code of what happened; an error becomes one line on stderr."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with contextlib.suppress(AttributeError, OSError):  # where somebody has put another object
            stream.reconfigure(errors="replace")  # a terminal without × or a letter of a file's name
    try:
        with StopAtOnce():
            return _run(main)
    except KeyboardInterrupt as error:
        return _complain(error.args[0] if error.args else "aborted", 128 + getattr(error, "signal", 2))


def _run(main):
    try:
        _flushed(main)
    except Interrupted as error:
        return _complain(error, 128 + error.signal)
    except Diverged as error:
        return _complain(error, 3)
    except NotSaved as error:
        return _complain(error, 4)
    except OutOfMemory as error:
        return _complain(f"{error} (--batch-size)", 1)
    except (UsageError, DataError, BackendError) as error:
        return _complain(error, 2)
    except MinicnnError as error:
        return _complain(error, 1)
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        return 1
    except OSError as error:
        return _complain(f"{error.filename or 'cannot write the output'}: {error.strerror or error}", 1)
    except MemoryError as error:
        return _complain(f"out of memory ({error}): a smaller --batch-size or --width needs less", 1)
    return 0


def _flushed(main):
    """Call `main()`. What its output cannot take is an error now, and not a traceback when Python ends."""
    try:
        main()
    finally:
        if sys.stdout is not None:
            try:
                sys.stdout.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise


def warn(message):
    """One line on stderr; whether somebody reads it is not the run's concern."""
    with contextlib.suppress(OSError):
        print(" ".join(str(message).split()), file=sys.stderr, flush=True)


def _complain(message, code):
    warn(message)
    return code

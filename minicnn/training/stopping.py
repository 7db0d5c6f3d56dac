"""Ctrl-C, SIGTERM and SIGHUP: at once where nothing can be lost, and in training as requests, obeyed after a save."""

import signal
import threading

from minicnn.errors import MinicnnError

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(MinicnnError):
    """A signal asked the run to stop; it was saved.

    Attributes
    ----------
    signal : int
        One of `SIGNALS`. By convention a program ends with 128 + signal.

    Examples
    --------
    >>> Interrupted(signal.SIGTERM, "stopped at epoch 3, batch 7 of 85").signal
    15
    """

    def __init__(self, number, message):
        super().__init__(message)
        self.signal = int(number)


class Stopped(KeyboardInterrupt):
    """A signal came while there was nothing to save. Like Ctrl-C, no `except Exception` holds it up."""

    def __init__(self, number):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = int(number)


class _Handlers:
    """While entered, SIGINT, SIGTERM and SIGHUP call `_handle`; one that is ignored (nohup) stays so.

    Python delivers signals to the main thread only; in any other thread nothing is installed.
    """

    def __init__(self):
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            previous = {number: signal.getsignal(number) for number in SIGNALS}
            self._previous = {number: old for number, old in previous.items() if old not in (signal.SIG_IGN, None)}
            for number in self._previous:
                signal.signal(number, self._handle)
        return self

    def __exit__(self, *error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)


class StopAtOnce(_Handlers):
    """While entered, a signal raises `Stopped`, so that a command ends with a line and its files closed."""

    def _handle(self, number, frame):
        raise Stopped(number)


class StopRequest(_Handlers):
    """While entered, the first signal only sets `signal`; a Ctrl-C after that aborts at once.

    Examples
    --------
    >>> import os
    >>> with StopRequest() as stop:
    ...     os.kill(os.getpid(), signal.SIGTERM)
    ...     stop.signal == signal.SIGTERM
    True
    """

    def __init__(self):
        super().__init__()
        self.signal = None

    def _handle(self, number, frame):
        self.signal = self.signal or number
        if signal.SIGINT in self._previous:
            signal.signal(signal.SIGINT, signal.default_int_handler)

"""Ctrl-C and SIGTERM as requests: the trainer finishes its batch, saves, and only then stops."""

import signal
import threading

from minicnn.errors import MinicnnError


class Interrupted(MinicnnError):
    """A signal asked the run to stop; it was saved.

    Attributes
    ----------
    signal : int
        SIGINT or SIGTERM. By convention a program ends with 128 + signal.
    """

    def __init__(self, number, message):
        super().__init__(message)
        self.signal = int(number)


class StopRequest:
    """While entered, the first SIGINT or SIGTERM only sets `signal`; a Ctrl-C after that aborts at once.

    Python delivers signals to the main thread only; in any other thread nothing is installed.

    Examples
    --------
    >>> import os
    >>> with StopRequest() as stop:
    ...     os.kill(os.getpid(), signal.SIGTERM)
    ...     stop.signal == signal.SIGTERM
    True
    """

    def __init__(self):
        self.signal = None
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number, frame):
        self.signal = self.signal or number
        signal.signal(signal.SIGINT, signal.default_int_handler)

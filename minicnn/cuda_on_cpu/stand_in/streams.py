"""`cupy.cuda.Stream` and `cupy.cuda.Event`.

Kernels, and all else on the default stream, have happened when a call returns. A copy on a stream of its own has not: it is
made when somebody waits for it, by `synchronize`, or by `wait_event` on an event that was recorded behind it. Until then the
array on the device holds garbage, and the memory of the host must not be used again: who forgets to wait is wrong each time,
not only on a fast GPU.
"""

import time
import weakref

_all = weakref.WeakSet()


class Stream:
    """Work in order; copies on a stream with `non_blocking` are made when somebody waits for them."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else id(self)
        self._waits, self._copies, self._made = non_blocking and not null, [], 0
        _all.add(self)

    def _copy(self, make):
        self._copies.append(make)
        if not self._waits:
            self._finish(len(self._copies))

    def _finish(self, count):
        """Make the first `count` of all copies that were ever asked for."""
        while self._made < count:
            make, self._copies[self._made] = self._copies[self._made], None
            make()
            self._made += 1

    @property
    def done(self):
        return self._made == len(self._copies)

    def synchronize(self):
        self._finish(len(self._copies))

    def record(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event):
        event.synchronize()

    def use(self):
        _current.append(self)
        return self

    def __enter__(self):
        return self.use()

    def __exit__(self, *error):
        _current.pop()


class Event:
    """A place in a stream; it has come when all copies before it are made."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self._stream, self._count, self._time = None, 0, None

    @property
    def done(self):
        return self._stream is None or self._stream._made >= self._count

    def record(self, stream=None):
        self._stream = stream or _current[-1]
        self._count, self._time = len(self._stream._copies), time.perf_counter()

    def synchronize(self):
        if self._stream is not None:
            self._stream._finish(self._count)


Stream.null = Stream(null=True)
_current = [Stream.null]


def get_current_stream():
    return _current[-1]


def get_elapsed_time(start_event, end_event):
    return 1e3 * (end_event._time - start_event._time)


def synchronize_all():
    for stream in _all:
        stream.synchronize()

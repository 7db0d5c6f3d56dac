"""Work done by background threads ahead of the consumer, in order."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from minicnn.data.checks import check_whole


def available_cores():
    """Cores that this process may use, which in a container or under `taskset` are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(function, items, workers=2, ahead=2):
    """Yield `function(item)` for each item, in the order of the items, computed by threads ahead of the consumer.

    At most `ahead` results wait while the consumer is busy. An exception in `function` is raised at its place in the
    order. However the generator ends (exhausted, closed, an exception, Ctrl-C), its threads have ended when it has:
    work not yet begun is dropped, work in hand is awaited.

    Parameters
    ----------
    function : callable
        Called in the threads.
    items : iterable
    workers : int
        Number of threads.
    ahead : int
        Results computed or in hand beyond the one that the consumer holds.

    Examples
    --------
    >>> list(ordered_map(str.upper, "abc"))
    ['A', 'B', 'C']
    """
    check_whole("background threads", 1, workers=workers)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="minicnn-data")
    pending = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

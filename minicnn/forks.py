"""Locks that a forked child finds free."""

import os
import threading


def lock(in_child=None):
    """A lock that nobody else holds while the process forks.

    A child has but the thread that forked: what another one held would stay locked for ever, and what it guards could be
    half done. `in_child()` is called there with the lock held.
    """
    made = threading.Lock()

    def after_in_child():
        try:
            if in_child is not None:
                in_child()
        finally:
            made.release()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=made.acquire, after_in_parent=made.release, after_in_child=after_in_child)
    return made

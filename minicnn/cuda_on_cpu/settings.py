"""How kernels run, in this process and for now: `pretend` and `record` set it."""

reverse = False  # the last thread of the last block comes first
sanitizer = None
launches = None  # the list to which launches are added while they are recorded


def variant():
    """What kernels are compiled for."""
    return "record" if launches is not None else sanitizer or "plain"

"""Random numbers by key: the stream of (seed, word, substream), whatever was drawn elsewhere."""

import numpy as np

_WORD = 2**64


def stream(seed, word, substream=0):
    """A generator whose numbers are a function of the three integers.

    Philox is a counter encrypted under a 128-bit key. The key is (seed, word), each modulo 2⁶⁴, so that a negative seed
    will do; substreams begin 2¹⁹² numbers apart.

    References
    ----------
    Salmon, Moraes, Dror, Shaw, Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011.

    Examples
    --------
    >>> stream(-1, 5).integers(100, size=3).tolist() == stream(-1, 5).integers(100, size=3).tolist()
    True
    """
    key = seed % _WORD + int(word) % _WORD * _WORD
    return np.random.Generator(np.random.Philox(key=key, counter=int(substream) % _WORD << 192))

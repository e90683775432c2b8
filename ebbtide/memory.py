"""Fits the process's memory to what a gateway does with it; for `main` functions alone.

Rule 1: what bodies pass through, pieces of up to 256 KiB, stays with the process. glibc would give
        each piece back to the kernel and take it anew, which costs more than moving its bytes.
Rule 2: what there is once all parts run, stays: the garbage collector need not look at it again,
        which would halt requests for tens of milliseconds. Nor at a cluster that was read after
        that, at which it would look for longer.
"""

import ctypes
import gc

__all__ = ["keep", "keep_pieces", "settle"]

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEPT = 8 * 2**20
"""At most this much stays unused at the end of the heap."""
_LARGE = 4 * 2**20
"""What is larger has its own pages, and gives them back at once."""


def keep_pieces() -> None:
    """Set glibc's allocator; another C library is left as it is."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
    mallopt(_M_MMAP_THRESHOLD, _LARGE)


def settle() -> None:
    """All parts run: collect what starting left, and look at the rest no more."""
    gc.collect()
    gc.freeze()


def keep() -> None:
    """Keep all there is by now, the little garbage among it too: nobody may wait for a look."""
    gc.freeze()

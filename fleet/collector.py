"""Keeps Python's garbage collector from looking at what cannot be garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collecting_later"]


@contextmanager
def collecting_later() -> Iterator[None]:
    """While a large document is read: it has no cycles, and to look for some in each part of it as
    it comes to be takes as long as reading it. Nothing in between may wait for anything."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()

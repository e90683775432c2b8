"""Waits for what no event tells of: asked again and again, and never for ever."""

import time
from collections.abc import Callable
from typing import TypeVar

from bench.process import DiedError

__all__ = ["until"]

_T = TypeVar("_T")
_EVERY_S = 0.02


def until(
    found: Callable[[], _T | None], *, what: str, seconds: float, every: float = _EVERY_S
) -> _T:
    """What `found()` gives as soon as that is anything. Raises `DiedError` after `seconds`."""
    end = time.monotonic() + seconds
    while (value := found()) is None:
        if time.monotonic() > end:
            msg = f"{what}: not within {seconds:g} s"
            raise DiedError(msg)
        time.sleep(every)
    return value

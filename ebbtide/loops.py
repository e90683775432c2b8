"""The event loop that serving processes run on: uvloop's where there is one."""

import asyncio
from collections.abc import Callable

__all__ = ["new_event_loop"]

_make: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
try:
    import uvloop
except ImportError:
    pass  # it is made for CPython alone
else:
    _make = uvloop.new_event_loop


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop for `asyncio.Runner`."""
    return _make()

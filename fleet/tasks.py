"""Endless tasks: named, guarded, and never silently dead.

Rule: a loop that dies ends the process. A task started here that raises, or returns although it
should not, is logged with its name and cancels its `TaskGroup`, which brings the process down.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from fleet.errors import LoopDiedError
from fleet.telemetry import log

__all__ = ["endless"]

_log = log(__name__)


def endless(
    group: asyncio.TaskGroup, coroutine: Coroutine[Any, Any, None], *, name: str
) -> asyncio.Task[None]:
    """Run `coroutine` in `group` for as long as the group lives."""
    task = group.create_task(_guard(coroutine, name), name=name)
    # One cancelled before its first step never awaits it.
    task.add_done_callback(lambda _: coroutine.close())
    return task


async def _guard(coroutine: Coroutine[Any, Any, None], name: str) -> None:
    try:
        await coroutine
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        _log("loop_died", level=logging.CRITICAL, loop=name, error=repr(error))
        raise
    _log("loop_died", level=logging.CRITICAL, loop=name, error="returned")
    raise LoopDiedError(name)

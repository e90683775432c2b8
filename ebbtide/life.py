"""The life of a process that serves, from its first signal to its exit code. All of them have it.

Rule 1: SIGTERM or Ctrl-C lets it finish what it has, a second one ends it at once; SIGHUP has it
        read its settings again.
Rule 2: what is wrong from outside is said on standard error, a line each, and the exit code is 1;
        a defect of ours is in the log with its traceback.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ebbtide.files import raise_open_files
from ebbtide.loops import new_event_loop
from ebbtide.memory import keep_pieces, settle
from ebbtide.reloading import Reloading
from ebbtide.serving import Serving
from ebbtide.signals import Stop, signals
from fleet.errors import EbbtideError
from fleet.settings import Settings
from fleet.telemetry import configure_logging, log

__all__ = ["Life", "live"]

_log = log(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What a serving command was called with, as far as all of them are."""

    command: str
    settings: Settings
    settings_file: Path | None
    environ: Mapping[str, str]


def live(life: Life, compose: Callable[[], AbstractAsyncContextManager[Serving]]) -> int:
    """Start what `compose` makes, serve until told to stop; returns the exit code."""
    configure_logging(life.settings.log_level)
    keep_pieces()
    raise_open_files()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_live(life, compose))


async def _live(life: Life, compose: Callable[[], AbstractAsyncContextManager[Serving]]) -> int:
    stop = Stop()
    code = 0
    try:
        reloading = Reloading(life.settings, life.settings_file, life.environ)
        with signals(stop, reloading.reload):
            async with compose() as serving:
                reloading.on_change(serving.reload)
                _greet(serving.greeting)
                settle()
                await stop.asked.wait()
                settings = reloading.settings
                _log("stopping", delay=settings.shutdown_delay, grace=settings.shutdown_grace)
                await serving.leave(stop, settings)
    except* EbbtideError as errors:
        code = 1
        for error in _leaves(errors):
            for line in str(error).splitlines():
                sys.stderr.write(f"ebbtide {life.command}: {line}\n")
    except* Exception as errors:
        code = 1
        logging.getLogger("ebbtide").critical("broken", exc_info=errors)
    _log("stopped", code=code)
    return code


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The errors in nested groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _greet(greeting: Mapping[str, str]) -> None:
    width = max(map(len, greeting), default=0)
    lines = (
        f"ebbtide {version('ebbtide')}",
        *(f"  {what:<{width}}  {told}" for what, told in greeting.items()),
        "Ctrl-C stops it when what runs is finished; a second one at once.",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()

"""Asks a new replica until its *model* answers, and makes the first inference when nobody waits.

A replica's address is in the snapshot before the model is loaded; only the model's own answer opens
its seat. The pace is quick, since somebody waits, and slows down for loads that take long.

Rule 1: of a server with many models a few are asked in each round, and what has answered is not
        asked again: however slow the answers are, one round more makes one step more.
Rule 2: all probes of a process together ask a bounded number of times a second, and none asks for
        longer than it pauses. Where many begin together they take turns.
"""

import asyncio
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from activator.turns import Turns
from fleet.clock import Clock
from fleet.errors import UnavailableError
from fleet.model import Revision, WarmUp
from fleet.runtimes import Endpoint, ModelServer
from fleet.telemetry import log

__all__ = ["Pace", "sequence_idle_of", "served_names", "slots_of", "until_ready", "warm_up"]

_log = log(__name__)

_QUICK_S = 0.01
_SLOW_S = 0.02
_QUICK_FOR_S = 5.0
_SHARE_S = 0.005
_LONGEST_S = 1.0
_ASK_TIMEOUT_S = 2.0
_EACH_S = 0.05
_NAMES = 8
_WARM_UP_TIMEOUT_S = 60.0
_DEFAULT_SLOTS = 16
_MOST_BYTES = 16 * 2**20
"""Of the file with the first request."""


def served_names(revision: Revision) -> tuple[str, ...]:
    """The names of its models on their server, each once: ready means all of them."""
    return tuple(dict.fromkeys(served.served for served in revision.models))


class Pace:
    """How often the probes of one process ask."""

    def __init__(self) -> None:
        self._asking = 0
        self._turns = Turns()

    async def begin(self) -> None:
        """Returns when one more probe may begin."""
        await self._turns.take()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """One more probe asks for as long as this lasts."""
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1

    def pause(self, *, since: float, took: float) -> float:
        """Seconds until the next round of one that began `since` seconds ago.

        `took`: how long the last round was.
        """
        base = _QUICK_S if since < _QUICK_FOR_S else _SLOW_S
        return max(base, min(took, _LONGEST_S), _SHARE_S * self._asking)


async def until_ready(
    server: ModelServer, endpoint: Endpoint, models: Sequence[str], *, clock: Clock, pace: Pace
) -> bool:
    """Return once every one of `models` has answered; ask for ever until then.

    Whether it took more than the first answer of each: one was not ready when it was first asked.
    """
    await pace.begin()
    begun, left, waited = clock.now(), tuple(models), False
    with pace.asking():
        while True:
            asked = clock.now()
            if await server.ready(endpoint, left[:_NAMES], timeout=_ASK_TIMEOUT_S):
                left = left[_NAMES:]
                if not left:
                    return waited
            else:
                now, waited = clock.now(), True
                await clock.sleep(pace.pause(since=now - begun, took=now - asked))


def _patience(models: Sequence[str]) -> float:
    return _ASK_TIMEOUT_S + _EACH_S * len(models)


async def slots_of(revision: Revision, server: ModelServer, endpoint: Endpoint) -> int:
    """How many requests the replica takes at once: the policy's number, else the model's own."""
    if revision.policy.slots is not None:
        return revision.policy.slots
    try:
        names = served_names(revision)
        return await server.slots(endpoint, names, timeout=_patience(names))
    except UnavailableError as error:
        _log(
            "slots_unknown",
            level=logging.WARNING,
            model=revision.model,
            assumed=_DEFAULT_SLOTS,
            error=str(error),
        )
        return _DEFAULT_SLOTS


async def sequence_idle_of(
    revision: Revision, server: ModelServer, endpoint: Endpoint, *, known: float | None
) -> float | None:
    """How long a sequence may rest there; None: none are served. `known`: what was said before."""
    try:
        names = served_names(revision)
        return await server.sequence_idle(endpoint, names, timeout=_patience(names))
    except UnavailableError as error:
        _log(
            "sequences_unknown",
            level=logging.WARNING,
            model=revision.model,
            assumed=known,
            error=str(error),
        )
        return known


async def warm_up(revision: Revision, server: ModelServer, endpoint: Endpoint) -> None:
    """The first inference, made up or from the file named; its failure is only logged."""
    policy = revision.policy
    try:
        request = None
        if policy.warm_up is WarmUp.FILE and policy.warm_up_file is not None:
            request = await asyncio.to_thread(_read, policy.warm_up_file)
        await server.warm_up(
            endpoint, revision.models[0].served, request=request, timeout=_WARM_UP_TIMEOUT_S
        )
    except (UnavailableError, OSError) as error:
        _log("warm_up_failed", level=logging.WARNING, model=revision.model, error=str(error))


def _read(path: str) -> bytes:
    # Opening a pipe would wait for its writer.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            msg = f"{path}: not a regular file"
            raise OSError(msg)
        found = file.read(_MOST_BYTES + 1)
    if len(found) > _MOST_BYTES:
        msg = f"{path}: at most {_MOST_BYTES} bytes"
        raise OSError(msg)
    return found

"""Asks a new replica until its *model* answers, and makes the first inference when nobody waits.

A replica's address is in the snapshot before the model is loaded; only the model's own answer opens
its seat. The pace is quick, since somebody waits, and slows down for loads that take long.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from fleet.clock import Clock
from fleet.errors import UnavailableError
from fleet.model import Revision, WarmUp
from fleet.runtimes import Endpoint, ModelServer
from fleet.telemetry import log

__all__ = ["sequence_idle_of", "served_names", "slots_of", "until_ready", "warm_up"]

_log = log(__name__)

_QUICK_S = 0.01
_SLOW_S = 0.05
_QUICK_FOR_S = 5.0
_ASK_TIMEOUT_S = 2.0
_WARM_UP_TIMEOUT_S = 60.0
_DEFAULT_SLOTS = 16


def served_names(revision: Revision) -> tuple[str, ...]:
    """The names of its models on their server, each once: ready means all of them."""
    return tuple(dict.fromkeys(served.served for served in revision.models))


async def until_ready(
    server: ModelServer, endpoint: Endpoint, models: Sequence[str], *, clock: Clock
) -> None:
    """Return once every one of `models` answers; ask for ever until then."""
    begun = clock.now()
    while not await server.ready(endpoint, models, timeout=_ASK_TIMEOUT_S):
        quick = clock.now() - begun < _QUICK_FOR_S
        await clock.sleep(_QUICK_S if quick else _SLOW_S)


async def slots_of(revision: Revision, server: ModelServer, endpoint: Endpoint) -> int:
    """How many requests the replica takes at once: the policy's number, else the model's own."""
    if revision.policy.slots is not None:
        return revision.policy.slots
    try:
        return await server.slots(endpoint, served_names(revision), timeout=_ASK_TIMEOUT_S)
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
        return await server.sequence_idle(endpoint, served_names(revision), timeout=_ASK_TIMEOUT_S)
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
            request = _read(policy.warm_up_file)
        await server.warm_up(
            endpoint, revision.models[0].served, request=request, timeout=_WARM_UP_TIMEOUT_S
        )
    except (UnavailableError, OSError) as error:
        _log("warm_up_failed", level=logging.WARNING, model=revision.model, error=str(error))


def _read(path: str) -> bytes:
    return Path(path).read_bytes()

"""Asks the model servers for their load, side by side, each with a short patience.

Rule: a server that fails, or takes too long, is UNKNOWN this time; it holds up nobody else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType

from autoscaler.core.seen import ServerSeen
from fleet.clock import Clock
from fleet.model import Fleet, Mode, Phase, Replica, Revision, RuntimeName
from fleet.names import ReplicaName
from fleet.runtimes import Endpoint, ModelServer
from fleet.telemetry import log

__all__ = ["TIMEOUT", "read_servers"]

TIMEOUT = 0.5
"""Seconds a model server has for its answer."""
_AT_ONCE = 2
"""Questions that begin without a pause."""

_log = log(__name__)


async def read_servers(
    fleet: Fleet,
    ready: Iterable[ReplicaName],
    *,
    servers: Callable[[RuntimeName], ModelServer],
    clock: Clock,
    breathe: Callable[[], Awaitable[None]],
) -> Mapping[ReplicaName, ServerSeen]:
    """The answers of the servers of `ready` replicas; who gave none is not in it.

    `breathe` lets others go on in between.
    """
    wanted = frozenset(ready)
    asked = [
        (revision, replica)
        for name, replicas in fleet.replicas.items()
        if (revision := fleet.revisions.get(name)) is not None
        and revision.policy.mode is not Mode.OFF
        for replica in replicas
        if replica.name in wanted and replica.phase is not Phase.DRAINING
    ]
    questions: list[asyncio.Task[ServerSeen | None]] = []
    async with asyncio.TaskGroup() as group:
        for number, (revision, replica) in enumerate(asked, 1):
            question = _ask(revision, replica, servers(revision.runtime), clock)
            questions.append(group.create_task(question))
            if number % _AT_ONCE == 0:
                await breathe()
    answers = [question.result() for question in questions]
    return MappingProxyType(
        {
            replica.name: answer
            for (_, replica), answer in zip(asked, answers, strict=True)
            if answer is not None
        }
    )


async def _ask(
    revision: Revision, replica: Replica, server: ModelServer, clock: Clock
) -> ServerSeen | None:
    if replica.address is None:
        return None
    endpoint = Endpoint(address=replica.address, ports=revision.ports, tls=revision.policy.http_tls)
    models = [served.served for served in revision.models]
    try:
        async with asyncio.timeout(2 * TIMEOUT):
            reading = await server.read(endpoint, models, timeout=TIMEOUT)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this server's alone
        _log("server_unread", replica=replica.name, error=repr(error))
        return None
    return ServerSeen(
        at=clock.now(),
        pending=reading.pending,
        gpu_use=reading.gpu_use,
        compute_s=reading.compute_s,
        completions=reading.completions,
    )

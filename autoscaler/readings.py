"""Asks the model servers for their load, side by side, each with a short patience.

Rule 1: a server that fails, or takes too long, is UNKNOWN for a while; it holds up nobody else.
Rule 2: every look asks all servers of models that are in use, or were a few seconds ago: what they
        counted by then shows later who called them past the gateways. Of the others it asks a few,
        in turn: with thousands at rest their answers cost more than anything else.
Rule 3: an answer stands for a while; then the server counts as not asked. Nothing is taken away on
        that alone: whoever is to lose replicas is asked first (`Readings.confirm`).
Rule 4: one that goes on to give no answer is logged once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain
from types import MappingProxyType

from autoscaler.core.seen import ServerSeen
from autoscaler.core.servers import busy
from autoscaler.core.window import UNKNOWN, Unknown
from autoscaler.observe import Servers
from fleet.aged import as_made
from fleet.clock import Clock
from fleet.messages import Received
from fleet.model import Fleet, Mode, Phase, Replica, Revision, RuntimeName
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.runtimes import Endpoint, ModelServer
from fleet.telemetry import log

__all__ = ["AT_REST", "TIMEOUT", "Readings"]

TIMEOUT = 0.5
"""Seconds a model server has for its answer."""
AT_REST = 16
"""Servers at rest that one look asks."""
_STANDS_S, _BUSY_STANDS_S = 10.0, 1.0
"""For how long an answer is taken for the state of things; one that holds its replica, for less."""
_USED_S = 6.0
"""Seconds after its last use for which a model still counts as in use."""
_AT_ONCE = 2
"""Questions that begin without a pause."""

_Asked = tuple[Revision, Replica]
_Samples = Mapping[GatewayName, Received]

_log = log(__name__)


class Readings:
    """What the servers said last. `breathe` lets others go on between questions."""

    def __init__(
        self,
        servers: Callable[[RuntimeName], ModelServer],
        clock: Clock,
        breathe: Callable[[], Awaitable[None]],
    ) -> None:
        self._servers, self._clock, self._breathe = servers, clock, breathe
        self._began = clock.now()
        """When the look that goes on began."""
        self._said: dict[ReplicaName, tuple[float, ServerSeen | Unknown]] = {}
        """What each answered, and when it was asked."""
        self._used: dict[RevisionName, float] = {}
        """Models that were in use of late: until when they count so."""
        self._last: RevisionName | None = None
        """Whose turn it was last."""
        self._silent: set[ReplicaName] = set()
        """Those that gave no answer when they were asked last."""

    async def look(self, fleet: Fleet, received: _Samples) -> None:
        """Begin a look, and ask whom it asks."""
        self._began = now = self._clock.now()
        self._said = {
            name: (at, answer)
            for name, (at, answer) in self._said.items()
            if now - at < (_STANDS_S if _calm(answer) else _BUSY_STANDS_S)
        }
        if self._silent:
            self._silent &= {one.name for replicas in fleet.replicas.values() for one in replicas}
        self._use(fleet, received)
        used = chain.from_iterable(_askable(fleet, received, name) for name in self._used)
        await self._ask([*used, *self._in_turn(fleet, received)])

    async def confirm(
        self, revisions: Iterable[RevisionName], fleet: Fleet, received: _Samples
    ) -> bool:
        """Ask those servers of `revisions` that this look has not asked; whether there are any."""
        wanted = [
            (revision, replica)
            for name in revisions
            for revision, replica in _askable(fleet, received, name)
            if not self._asked(replica.name)
        ]
        await self._ask(wanted)
        return bool(wanted)

    def said(self) -> Servers:
        """The answers that stand."""
        return MappingProxyType({name: answer for name, (_, answer) in self._said.items()})

    def _asked(self, name: ReplicaName) -> bool:
        known = self._said.get(name)
        return known is not None and known[0] >= self._began

    def _use(self, fleet: Fleet, received: _Samples) -> None:
        now = self._began
        self._used = {
            name: until
            for name, until in self._used.items()
            if now < until and name in fleet.revisions
        }
        for got in received.values():
            for name in fleet.revisions:
                sample = as_made(got.sample.revisions, name)
                if sample is not None and (sample.waiting or sample.running):
                    self._used[name] = now + _USED_S

    def _in_turn(self, fleet: Fleet, received: _Samples) -> list[_Asked]:
        """The next few of those that are at rest; each of them once."""
        found: list[_Asked] = []
        for name in _from(list(fleet.revisions), self._last):
            if len(found) >= AT_REST:
                break
            self._last = name
            if name not in self._used:
                found += _askable(fleet, received, name)
        return found

    async def _ask(self, asked: Collection[_Asked]) -> None:
        now = self._clock.now()
        questions: list[asyncio.Task[ServerSeen | Unknown]] = []
        async with asyncio.TaskGroup() as group:
            for number, (revision, replica) in enumerate(asked, 1):
                questions.append(group.create_task(self._answer(revision, replica)))
                if number % _AT_ONCE == 0:
                    await self._breathe()
        for (_, replica), question in zip(asked, questions, strict=True):
            self._said[replica.name] = (now, question.result())

    async def _answer(self, revision: Revision, replica: Replica) -> ServerSeen | Unknown:
        if replica.address is None:
            return UNKNOWN
        address, tls = replica.address, revision.policy.http_tls
        endpoint = Endpoint(address=address, ports=revision.ports, tls=tls)
        models = [served.served for served in revision.models]
        server = self._servers(revision.runtime)
        try:
            async with asyncio.timeout(2 * TIMEOUT):
                reading = await server.read(endpoint, models, timeout=TIMEOUT)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this server's alone
            if replica.name not in self._silent:
                _log("server_unread", replica=replica.name, error=repr(error))
            self._silent.add(replica.name)
            return UNKNOWN
        self._silent.discard(replica.name)
        return ServerSeen(
            at=self._clock.now(),
            pending=reading.pending,
            gpu_use=reading.gpu_use,
            compute_s=reading.compute_s,
            completions=reading.completions,
        )


def _calm(answer: ServerSeen | Unknown) -> bool:
    return isinstance(answer, ServerSeen) and not busy(answer)


def _from(names: list[RevisionName], last: RevisionName | None) -> Iterator[RevisionName]:
    """All of them once, the one after `last` first."""
    first = names.index(last) + 1 if last in names else 0
    return chain(names[first:], names[:first])


def _askable(fleet: Fleet, received: _Samples, name: RevisionName) -> list[_Asked]:
    """The replicas of a model whose servers can be asked: some gateway's probe got an answer."""
    revision = fleet.revisions.get(name)
    if revision is None or revision.policy.mode is Mode.OFF:
        return []
    samples = [as_made(got.sample.revisions, name) for got in received.values()]
    ready = {
        replica.name
        for sample in samples
        if sample is not None
        for replica in sample.replicas
        if replica.ready_for is not None
    }
    return [
        (revision, replica)
        for replica in fleet.of(name)
        if replica.name in ready and replica.phase is not Phase.DRAINING
    ]

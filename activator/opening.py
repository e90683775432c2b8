"""Opens the seats of one revision: follows its replicas, probes them, warms them up. A shell.

Rule 1: a seat opens when the replica's own model answers the probe, never on the cluster's word.
Rule 2: the first held request is the first inference and goes alone; the other slots open at its
        first byte or after a second. With nobody waiting a made-up inference goes instead.
Rule 3: a seat on which a request broke takes nothing until its model answers again; one whose
        answers fail while others are fine takes nothing for a while before
        (`activator.core.outliers`).
Rule 4: an error that nobody foresaw concerns that one replica: it takes nothing until it answers
        again, and is asked again after a while.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from activator.core.ledger import Ledger, Seat
from activator.core.outliers import come_back, is_outlier, put_out
from activator.probe import sequence_idle_of, served_names, slots_of, until_ready, warm_up
from activator.wiring import Wiring
from fleet.model import Phase, Replica, Revision, WarmUp
from fleet.names import ReplicaName
from fleet.runtimes import Endpoint, ModelServer
from fleet.telemetry import log

__all__ = ["Opening"]

_log = log(__name__)

_ALONE_S = 1.0
_DOUBT_S = 0.005
_LONGEST_DOUBT_S = 1.0
_SOON_S = 1.0
"""Whoever is asked so soon after it got its GPU was not ready long before."""
_AGAIN_S = 1.0
"""After an error that nobody foresaw."""


_Work = Callable[[], Coroutine[Any, Any, None]]


class Opening:
    """The probes of one revision's replicas, and what becomes of their seats."""

    def __init__(
        self,
        ledger: Ledger,
        wiring: Wiring,
        *,
        ready: Callable[[Seat], None],
        release: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._wiring = wiring
        self._ready = ready
        self._release = release
        self._probes: dict[ReplicaName, asyncio.Task[None]] = {}
        self._addresses: dict[ReplicaName, str | None] = {}
        """What each is probed or seated at."""
        self._closed = False
        self._coming: frozenset[ReplicaName] = frozenset()
        """Those that were seen when nobody could ask them yet."""
        self._revision: Revision | None = None
        """The newest: its policy may change while a replica loads."""

    def follow(self, revision: Revision, replicas: tuple[Replica, ...], now: float) -> None:
        """Probe what has an address and no seat yet; unseat what is gone, going or elsewhere."""
        here = {r.name: r for r in replicas if r.phase is Phase.LOADING and r.address is not None}
        self._coming = frozenset(
            r.name for r in replicas if r.address is None or r.name in self._coming
        )
        before, self._revision = self._revision, revision
        stay = {n for n, r in here.items() if self._holds(r, before or revision, revision)}
        self._addresses = {n: r.address for n, r in here.items()}
        for name in [name for name in self._probes if name not in stay]:
            self._probes.pop(name).cancel()
        for name in [name for name in self._ledger.seats if name not in stay]:
            seat = self._ledger.unseat(name, now)
            if seat is not None:
                self._close(seat)
        for name, replica in here.items():
            if name not in self._ledger.seats and name not in self._probes:
                self._start(name, partial(self._open, revision, replica))
        for seat in self._ledger.seats.values():
            # Connections that are made from now on.
            seat.tls, seat.grpc_tls = revision.policy.http_tls, revision.policy.grpc_tls
        if before is not None and before.policy.slots != revision.policy.slots:
            self._count_slots_again(revision)
        self._ledger.drain(revision.drain.replicas if revision.drain else ())

    def close(self) -> None:
        """Ask no more: a probe of what never gets ready would never end."""
        self._closed = True
        for probe in tuple(self._probes.values()):
            probe.cancel()

    def doubt(self, seat: Seat) -> None:
        """A request broke there: nothing new until its model answers."""
        if not seat.doubtful and seat.name in self._ledger.seats:
            seat.turn(doubtful=True)
            seat.doubts += 1
            self._probe_doubtful(seat.name)

    def allot(self) -> None:
        """Other parts of the slots may be this gateway's now."""
        for seat in tuple(self._ledger.seats.values()):
            seat.allotted = self._wiring.outside.allotted(seat.name)
            if seat.proved:
                self.widen(seat)

    def failed(self, seat: Seat) -> bool:
        """An answer failed there. True: from now on it takes nothing for a while."""
        seat.failures += 1
        if not is_outlier(seat, self._ledger.seats.values()):
            return False
        now = self._wiring.outside.clock.now()
        put_out(seat, now)
        _log(
            "replica_put_out",
            level=logging.WARNING,
            replica=seat.name,
            failures=seat.failures,
            seconds=seat.out_until - now,
        )
        self._probe_doubtful(seat.name)
        return True

    def widen(self, seat: Seat) -> None:
        """The seat has proved itself: all its slots are open."""
        seat.proved = True
        seat.limit = seat.room
        self._release()

    def _holds(self, replica: Replica, before: Revision, revision: Revision) -> bool:
        """Whether it is asked, or has answered, where and how it is to be."""
        if self._addresses.get(replica.name, replica.address) != replica.address:
            # It is another process, and at the old address there is nobody, or somebody else's pod.
            return False
        if replica.name not in self._ledger.seats:
            # What was a slip would be asked for ever.
            return _question(before) == _question(revision)
        # With another template the ports are those of pods to come; this one answered at its own.
        rolls = before.template != revision.template or replica.template != revision.template
        return rolls or _spoken(before) == _spoken(revision)

    def _count_slots_again(self, revision: Revision) -> None:
        """The policy says another number, or leaves it to the model now."""
        given = revision.policy.slots
        for seat in tuple(self._ledger.seats.values()):
            if given is not None:
                self._give_slots(seat, given)
            elif seat.name not in self._probes:
                self._start(seat.name, partial(self._recount, revision, seat))

    async def _recount(self, revision: Revision, seat: Seat) -> None:
        endpoint = _endpoint(revision, seat.host)
        server = self._wiring.outside.servers(revision.runtime)
        self._give_slots(seat, await slots_of(revision, server, endpoint))

    def _give_slots(self, seat: Seat, slots: int) -> None:
        newest = None if self._revision is None else self._revision.policy.slots
        seat.slots = slots if newest is None else newest
        if seat.proved:
            self.widen(seat)

    def _start(self, name: ReplicaName, work: _Work) -> None:
        if self._closed:
            return
        task = self._wiring.outside.group.create_task(
            self._guarded(name, work), name=f"probe {name}"
        )
        self._probes[name] = task
        task.add_done_callback(lambda done: self._ended(name, done))

    async def _guarded(self, name: ReplicaName, work: _Work) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - one replica's, and not the process's end
                _log("probe_failed", level=logging.ERROR, replica=name, error=repr(error))
            else:
                return
            seat = self._ledger.seats.get(name)
            if seat is not None:
                seat.warming = False
                seat.turn(doubtful=True)
            await self._wiring.outside.clock.sleep(_AGAIN_S)
            if seat is not None:
                # Its end begins a probe of what is doubtful.
                return

    def _ended(self, name: ReplicaName, done: asyncio.Task[None]) -> None:
        if self._probes.get(name) is done:
            del self._probes[name]
            if not done.cancelled():
                self._probe_doubtful(name)

    def _probe_doubtful(self, name: ReplicaName) -> None:
        seat, revision = self._ledger.seats.get(name), self._revision
        busy = name in self._probes
        if seat is not None and seat.doubtful and revision is not None and not busy:
            self._start(name, partial(self._trust_again, revision, seat))

    def _close(self, seat: Seat) -> None:
        if seat.link is not None:
            seat.link.close()
        if not seat.running:
            self._wiring.quiet(seat.name)

    async def _open(self, revision: Revision, replica: Replica) -> None:
        server = self._wiring.outside.servers(revision.runtime)
        endpoint = _endpoint(revision, replica.address or "")
        clock = self._wiring.outside.clock
        names, pace = served_names(revision), self._wiring.pace
        started = clock.now() if replica.started is None else replica.started
        watched = replica.name in self._coming or clock.now() - started < _SOON_S
        waited = await until_ready(server, endpoint, names, clock=clock, pace=pace)
        await self._learn_sequences(revision, server, endpoint)
        now = clock.now()
        revision = self._revision or revision
        seat = self._made(revision, replica, endpoint.address, now)
        # What the cluster held ready already may only have missed one question.
        if watched or (waited and not replica.available):
            seat.ready_after = now - started
        somebody_waits = self._ledger.waiting > 0
        seat.limit = 1 if somebody_waits else 0
        self._ledger.seat(seat)
        alone = asyncio.get_running_loop().call_later(_ALONE_S, self._narrow_no_more, seat)
        try:
            # Tells the line, which releases the first in line onto it.
            self._ready(seat)
            self._give_slots(seat, await slots_of(revision, server, endpoint))
            if not somebody_waits and revision.policy.warm_up is not WarmUp.NONE:
                seat.warming = True
                await warm_up(revision, server, endpoint)
                seat.warming = False
            if seat.proved or not somebody_waits:
                self.widen(seat)
        except asyncio.CancelledError:
            alone.cancel()
            raise

    def _made(self, revision: Revision, replica: Replica, host: str, now: float) -> Seat:
        """A seat that nobody has."""
        seat = Seat(
            replica.name,
            host=host,
            port=revision.ports.http,
            slots=revision.policy.slots or 1,
        )
        seat.allotted = self._wiring.outside.allotted(seat.name)
        seat.tls, seat.grpc_tls = revision.policy.http_tls, revision.policy.grpc_tls
        # A server that says nothing of a port of its own for gRPC takes it on the one it has.
        seat.grpc_port = revision.ports.grpc or revision.ports.http
        seat.ready_at = now
        # The drain may be older than the seat, and acknowledged by now.
        drain = revision.drain
        seat.turn(draining=drain is not None and seat.name in drain.replicas)
        return seat

    async def _learn_sequences(
        self, revision: Revision, server: ModelServer, endpoint: Endpoint
    ) -> None:
        # Before the first request goes: it may be the first step of one.
        sequences = self._ledger.sequences
        known = None if sequences is None else sequences.idle_s
        idle_s = await sequence_idle_of(revision, server, endpoint, known=known)
        self._ledger.serve_sequences(idle_s)

    def _narrow_no_more(self, seat: Seat) -> None:
        if not seat.proved:
            self.widen(seat)

    async def _trust_again(self, revision: Revision, seat: Seat) -> None:
        server = self._wiring.outside.servers(revision.runtime)
        endpoint = _endpoint(revision, seat.host)
        clock = self._wiring.outside.clock
        after = seat.out_until - clock.now()
        if seat.doubts > 1:
            # It answers the probe and breaks what is sent: trying faster does not help.
            after = max(after, min(_LONGEST_DOUBT_S, _DOUBT_S * 2 ** min(seat.doubts, 16)))
        if after > 0:
            await clock.sleep(after)
        names, pace = served_names(revision), self._wiring.pace
        await until_ready(server, endpoint, names, clock=clock, pace=pace)
        come_back(seat, clock.now())
        self._release()


def _spoken(revision: Revision) -> tuple[object, ...]:
    """Where, and how, its replicas are spoken to."""
    return revision.runtime, revision.ports.http, revision.ports.grpc


def _question(revision: Revision) -> tuple[object, ...]:
    """What its replicas are asked until they answer."""
    return *_spoken(revision), served_names(revision), revision.policy.http_tls


def _endpoint(revision: Revision, address: str) -> Endpoint:
    return Endpoint(address=address, ports=revision.ports, tls=revision.policy.http_tls)

"""Shares of slots among the gateways of a cluster: over the bus, by the autoscaler that leads.

Rule 1: whoever gets to lead first hears which gateways there are, and gives nobody more of a
        replica's slots before each of them has said what it takes up.
Rule 2: a gateway that is not a member any more has given back all that it had. One that comes back
        is not given more, and nobody else what it may have, before it has said what it takes up.
Rule 3: without Redis, or without a leader, everybody goes by what he was told last.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from activator.hall import Hall
from ebbtide.sharing.sharing import Sharing
from fleet.bus.redis.bus import RedisBus
from fleet.bus.redis.gatewaylog import Reported
from fleet.clock import Clock
from fleet.errors import UnavailableError
from fleet.leases import Lease, Members
from fleet.messages import Allot, Held, Received, RevisionSample
from fleet.names import GatewayName, ReplicaName
from fleet.telemetry import log

__all__ = ["BusSharer", "LeaderBus", "SlotLeader", "Turn"]

_log = log(__name__)
_EVERY_S = 0.5
"""How often it is looked who leads and who is a member."""


class BusSharer:
    """Who shares out the slots, as a gateway speaks with it."""

    def __init__(self, bus: RedisBus) -> None:
        self._bus = bus

    def on_allot(self, listener: Callable[[Allot], None]) -> object:
        return self._bus.on_allot(listener)

    def hold(self, held: Held) -> None:
        self._bus.hold(held)

    def lack(self, hall: Hall, _samples: Sequence[RevisionSample]) -> None:
        # What waits is in the sample, which goes out at once.
        hall.publish()


class LeaderBus(Protocol):
    """What of the bus a leader shares out slots with."""

    def lead(self, term: int) -> str: ...
    def allot(self, gateway: GatewayName, allot: Allot) -> bool: ...
    def drop(
        self, replicas: Collection[ReplicaName] = (), gateways: Collection[GatewayName] = ()
    ) -> None: ...
    def samples(self) -> Mapping[GatewayName, Received]: ...


class _BusShares:
    """Where the leader tells shares."""

    def __init__(self, bus: LeaderBus) -> None:
        self._bus = bus

    def tell(self, member: GatewayName, allot: Allot) -> bool:
        return self._bus.allot(member, allot)

    def drop(self, replicas: Collection[ReplicaName]) -> None:
        self._bus.drop(replicas=replicas)


class Turn:
    """One time of leading."""

    def __init__(
        self, bus: LeaderBus, term: int, members: Collection[GatewayName], now: float
    ) -> None:
        self.term = term
        self.life = bus.lead(term)
        self._bus = bus
        self._met = set(members)
        self.sharing = Sharing(members, _BusShares(bus), strangers=members, began=now)
        self._held: dict[GatewayName, Held] = {}
        """What each takes up, members or not."""
        for name, got in bus.samples().items():
            self.sharing.report(name, got.sample.revisions, at=got.at)

    def take(self, told: Reported) -> None:
        """A gateway said something."""
        if told.held is not None and told.held.leader == self.life:
            self._held[told.gateway] = told.held
            self.sharing.held(told.gateway, told.held)
        self.sharing.report(told.gateway, told.revisions, gone=told.gone, at=told.at)

    def meet(self, members: Collection[GatewayName]) -> None:
        """Who is a member now."""
        gone = self.sharing.members() - set(members)
        back = set(members) & self._met - self.sharing.members()
        self._met |= set(members)
        self.sharing.meet(members, strangers=back)
        self._bus.drop(gateways=gone)
        for name in back & self._held.keys():
            self.sharing.held(name, self._held[name])
        known = set(members) | self._bus.samples().keys()
        for name in self._held.keys() - known:
            del self._held[name]


class SlotLeader:
    """Shares out the slots among the member gateways while this process leads."""

    def __init__(self, bus: RedisBus, lease: Lease, members: Members, clock: Clock) -> None:
        self._bus, self._lease, self._members, self._clock = bus, lease, members, clock
        self._turn: Turn | None = None
        self._turned = asyncio.Event()

    async def run(self) -> None:
        """Endless."""
        ends = (
            self._bus.on_report(self._take),
            self._lease.subscribe(self._turns),
        )
        try:
            while True:
                self._turned.clear()
                await self._look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_EVERY_S):
                        await self._turned.wait()
        finally:
            for end in ends:
                end()
            self._stand_back()

    async def _look(self) -> None:
        if not self._lease.held():
            self._stand_back()
        elif self._turn is None or self._turn.term != self._lease.term:
            await self._begin()
        else:
            members = self._members.names()
            if members:
                self._turn.meet(members)

    async def _begin(self) -> None:
        term = self._lease.term
        try:
            members = await self._members.confirm()
        except UnavailableError as error:
            # The shares stay as they are until it is known whom they are among.
            _log("slots_not_shared", level=logging.DEBUG, error=str(error))
            return
        if self._lease.held() and self._lease.term == term:
            self._turn = Turn(self._bus, term, members, self._clock.now())
            _log("slots_shared", term=term, gateways=len(members))

    def _turns(self, held: bool) -> None:  # noqa: FBT001 - a `Lease` tells it so
        if not held:
            self._stand_back()
        self._turned.set()

    def _stand_back(self) -> None:
        if self._turn is not None:
            self._turn = None
            self._bus.follow()

    def _take(self, told: Reported) -> None:
        if self._turn is not None and self._lease.held():
            self._turn.take(told)

"""Who waits, who runs, and on which seat. Pure: the shell is `activator.line`.

A *ticket* is one request's identity. It makes four moves: arrive, dispatch, leave, or it is
refused; every gauge is the size of a set of tickets, so none can drift.

Rule 1: first come, first served. A ticket whose replica broke goes back to the place that its
        arrival gives it, before everyone who came later.
Rule 2: nobody waits while a seat has room; `release` is called after every change that makes room.
Rule 3: a seat never has more running than its `limit`: 0 while it warms up, 1 until its first
        inference answers, then its slots. While it drains or is in doubt it takes nothing new.
Rule 4: leaving twice is leaving once.
"""

from bisect import insort
from collections import OrderedDict
from collections.abc import Collection
from enum import Enum
from typing import Protocol

from fleet.names import ReplicaName
from fleet.reasons import Reason

__all__ = ["Ledger", "Link", "Seat", "State", "Ticket"]


class State(Enum):
    """Where a ticket stands."""

    NEW = "new"
    WAITING = "waiting"
    RUNNING = "running"
    LEFT = "left"


class Link(Protocol):
    """What the request path keeps with a seat: its connections."""

    def close(self) -> None:
        """The seat is gone."""
        ...


class Ticket:
    """One request in the ledger. `guest` is the shell's; the ledger never looks at it."""

    __slots__ = (
        "announced",
        "arrived",
        "cold",
        "crashes",
        "dispatched",
        "guest",
        "number",
        "seat",
        "since",
        "size",
        "state",
        "waited",
    )

    def __init__(self, guest: object, size: int) -> None:
        self.guest = guest
        self.size = size
        """Bytes buffered for it while it waits."""
        self.state = State.NEW
        self.seat: Seat | None = None
        self.arrived = 0.0
        self.since = 0.0
        """When it began to wait: at its arrival, or when its replica broke."""
        self.waited = 0.0
        """Seconds it has waited until its latest dispatch, those before a broken one included."""
        self.dispatched = 0.0
        self.number = 0
        self.crashes = 0
        """How often a replica broke while this ran on it."""
        self.cold = False
        """Whether nothing was ready when it arrived."""
        self.announced = False
        """Whether its guest was told of the latest dispatch."""


class Seat:
    """One ready replica: where requests are sent, and who runs there."""

    __slots__ = (
        "busy_s",
        "doubtful",
        "doubts",
        "draining",
        "host",
        "limit",
        "link",
        "name",
        "open",
        "port",
        "proved",
        "ready_after",
        "ready_at",
        "running",
        "slots",
        "warming",
    )

    def __init__(self, name: ReplicaName, *, host: str, port: int, slots: int) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.slots = slots
        self.limit = 0
        """How many may run now: 0, 1, or `slots`."""
        self.proved = False
        """Whether an inference has answered here, or had its second to."""
        self.draining = False
        """It is to take nothing new, or is gone."""
        self.doubtful = False
        """A request broke on it and its model has not answered since."""
        self.doubts = 0
        """How often it came into doubt since it last answered."""
        self.open = True
        """Neither draining nor doubtful."""
        self.running: set[Ticket] = set()
        self.busy_s = 0.0
        """Seconds with at least one running. Only grows."""
        self.warming = False
        """A made-up inference runs on it."""
        self.ready_at = 0.0
        self.ready_after = 0.0
        self.link: Link | None = None

    def turn(self, *, draining: bool | None = None, doubtful: bool | None = None) -> None:
        """Change whether it takes anything new."""
        self.draining = self.draining if draining is None else draining
        self.doubtful = self.doubtful if doubtful is None else doubtful
        self.open = not (self.draining or self.doubtful)


class Ledger:
    """The tickets and seats of one revision."""

    __slots__ = (
        "_again",
        "_at",
        "_line",
        "_numbers",
        "arrivals",
        "completions",
        "last_end",
        "limit",
        "limit_bytes",
        "longest_s",
        "running",
        "running_s",
        "seats",
        "service_s",
        "waiting_bytes",
        "waiting_s",
    )

    def __init__(self, *, limit: int, limit_bytes: int) -> None:
        self.limit = limit
        self.limit_bytes = limit_bytes
        self.seats: dict[ReplicaName, Seat] = {}
        self.running: set[Ticket] = set()
        self.waiting_bytes = 0
        self.arrivals = 0
        self.completions = 0
        self.waiting_s = 0.0
        self.running_s = 0.0
        self.service_s = 0.0
        self.longest_s = 0.0
        self.last_end: float | None = None
        """When the last running ticket left."""
        self._again: list[Ticket] = []
        self._line: OrderedDict[Ticket, None] = OrderedDict()
        self._numbers = 0
        self._at: float | None = None

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line) + len(self._again)

    @property
    def first(self) -> Ticket | None:
        """The next in line: of all that wait, the one that arrived first."""
        if self._again:
            return self._again[0]
        return next(iter(self._line), None)

    def arrive(self, ticket: Ticket, now: float) -> Seat | Reason | None:
        """Dispatched at once (its seat), refused (the reason), or parked (None)."""
        self.tick(now)
        ticket.arrived = ticket.since = now
        self._numbers += 1
        ticket.number = self._numbers
        self.arrivals += 1
        if not self._line and not self._again:
            seat = self._roomiest()
            if seat is not None:
                self._start(ticket, seat, now)
                return seat
        if self.waiting >= self.limit:
            ticket.state = State.LEFT
            return Reason.QUEUE_FULL
        if self.waiting_bytes + ticket.size > self.limit_bytes:
            ticket.state = State.LEFT
            return Reason.QUEUE_BYTES_FULL
        ticket.state = State.WAITING
        self._line[ticket] = None
        self.waiting_bytes += ticket.size
        return None

    def release(self, now: float) -> list[Ticket]:
        """Dispatch as many as there is room for, in order; returns them."""
        freed: list[Ticket] = []
        if not self._line and not self._again:
            return freed
        self.tick(now)
        while (ticket := self.first) is not None:
            seat = self._roomiest()
            if seat is None:
                break
            self._unpark(ticket)
            self._start(ticket, seat, now)
            freed.append(ticket)
        return freed

    def leave(self, ticket: Ticket, now: float) -> bool:
        """Its place or slot is free; True when that may make room for someone who waits."""
        if ticket.state is State.RUNNING:
            self.tick(now)
            self._stop(ticket)
            took = now - ticket.dispatched
            self.completions += 1
            self.service_s += took
            self.longest_s = max(self.longest_s, took)
            self.last_end = now
            ticket.state = State.LEFT
            return bool(self._line or self._again)
        if ticket.state is State.WAITING:
            self.tick(now)
            self._unpark(ticket)
        ticket.state = State.LEFT
        return False

    def again(self, ticket: Ticket, now: float, *, since: float) -> None:
        """Its replica broke: it waits again, in the place its arrival gives it.

        `since`: from when on that counts as waiting.
        """
        self.tick(now)
        self._stop(ticket)
        ticket.state = State.WAITING
        ticket.since = since
        self.waiting_bytes += ticket.size
        insort(self._again, ticket, key=lambda one: one.number)

    def refuse_all(self, now: float) -> list[Ticket]:
        """Everyone who waits leaves; returns them in order."""
        self.tick(now)
        refused = [*self._again, *self._line]
        self._again.clear()
        self._line.clear()
        self.waiting_bytes = 0
        for ticket in refused:
            ticket.state = State.LEFT
        return refused

    @property
    def waits_since(self) -> float | None:
        """When whoever has waited longest began to; None when nobody waits."""
        begun = [ticket.since for ticket in self._again]
        eldest = next(iter(self._line), None)
        if eldest is not None:
            begun.append(eldest.since)
        return min(begun, default=None)

    def expire(self, before: float, now: float) -> list[Ticket]:
        """Everyone who has waited since `before` or longer leaves; returns them in order."""
        expired = [ticket for ticket in self._again if ticket.since <= before]
        for ticket in self._line:
            if ticket.since > before:
                break
            expired.append(ticket)
        for ticket in expired:
            self.leave(ticket, now)
        return expired

    def seat(self, seat: Seat) -> None:
        """A replica got ready."""
        self.seats[seat.name] = seat

    def unseat(self, name: ReplicaName, now: float) -> Seat | None:
        """A replica is gone or going; those who still run there leave on their own."""
        self.tick(now)
        seat = self.seats.pop(name, None)
        if seat is not None:
            seat.turn(draining=True)
        return seat

    def drain(self, names: Collection[ReplicaName]) -> None:
        """Exactly these take nothing new from now on."""
        for seat in self.seats.values():
            seat.turn(draining=seat.name in names)

    def running_on(self, names: Collection[ReplicaName]) -> int:
        """How many run on these replicas, gone ones included."""
        return sum(t.seat is not None and t.seat.name in names for t in self.running)

    def tick(self, now: float) -> None:
        """Bring the integrals up to `now`."""
        at = self._at
        self._at = now
        if at is None or now <= at:
            return
        passed = now - at
        if self.running:
            self.running_s += passed * len(self.running)
            for seat in self.seats.values():
                if seat.running:
                    seat.busy_s += passed
        waiting = self.waiting
        if waiting:
            self.waiting_s += passed * waiting

    def _roomiest(self) -> Seat | None:
        """The seat with room that has the fewest running; the eldest of equals."""
        best = None
        least = 0
        for seat in self.seats.values():
            running = len(seat.running)
            if seat.open and running < seat.limit and (best is None or running < least):
                best, least = seat, running
        return best

    def _start(self, ticket: Ticket, seat: Seat, now: float) -> None:
        ticket.state = State.RUNNING
        ticket.seat = seat
        ticket.dispatched = now
        ticket.waited += now - ticket.since
        ticket.announced = False
        seat.running.add(ticket)
        self.running.add(ticket)

    def _stop(self, ticket: Ticket) -> None:
        self.running.discard(ticket)
        if ticket.seat is not None:
            ticket.seat.running.discard(ticket)
            ticket.seat = None

    def _unpark(self, ticket: Ticket) -> None:
        if ticket in self._line:
            del self._line[ticket]
        else:
            self._again.remove(ticket)
        self.waiting_bytes -= ticket.size

"""Who waits, who runs, and on which seat. Pure: the shell is `activator.line`.

Rule 1: callers take turns, and within one caller it is first come, first served
        (`activator.core.turns`).
Rule 2: nobody waits while a seat has room; `release` is called after every change that makes room.
Rule 3: a seat never has more running than its `limit`: 0 while it warms up, 1 until its first
        inference answers, then its slots. While it drains or is in doubt it takes nothing new.
Rule 4: leaving twice is leaving once.
"""

from collections.abc import Callable, Collection
from dataclasses import replace

from activator.core.balance import MANY, Choosing, choose, roomiest
from activator.core.room import Room
from activator.core.seats import Link, Seat, State, Step, Ticket
from activator.core.sequences import Sequences
from activator.core.turns import Turns
from fleet.names import ReplicaName
from fleet.reasons import Reason

__all__ = ["Ledger", "Link", "Seat", "State", "Ticket"]

# Asked for with every request, and a member of an Enum costs a search each time.
_WAITING, _RUNNING, _LEFT = State.WAITING, State.RUNNING, State.LEFT


class Ledger:
    """The tickets and seats of one revision."""

    __slots__ = (
        "_at",
        "_choosing",
        "_numbers",
        "_order",
        "_parked",
        "_room",
        "_simple",
        "_turns",
        "arrivals",
        "completions",
        "last_end",
        "limit",
        "limit_bytes",
        "longest_s",
        "running",
        "running_s",
        "seats",
        "sequences",
        "service_s",
        "waiting_bytes",
        "waiting_s",
    )

    def __init__(
        self, *, limit: int, limit_bytes: int, choosing: Choosing, room: Room | None = None
    ) -> None:
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
        self.sequences: Sequences | None = None
        """None: the model knows no sequences."""
        self._parked: dict[Ticket, None] = {}
        """Steps that wait for the seat of their sequence, in order."""
        self._turns = Turns()
        self._room = room or Room()
        self._numbers = 0
        self._at: float | None = None
        self._choosing = choosing
        self._order: tuple[Seat, ...] = ()
        """The seats, eldest first."""
        self._simple = True
        """Few seats, all alike: the roomiest is chosen."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._turns.count + len(self._parked)

    @property
    def quiet(self) -> bool:
        """Nobody is here, and no sequence lives: nothing grows, and nothing ends by itself."""
        return not (self.running or self._turns.count or self._parked or self.sequences)

    @property
    def eldest(self) -> Ticket | None:
        """Of all that wait, the one that arrived first."""
        known = [self._turns.eldest, next(iter(self._parked), None)]
        return min((t for t in known if t is not None), key=lambda t: t.number, default=None)

    def arrive(self, ticket: Ticket, now: float) -> Seat | Reason | None:
        """Dispatched at once (its seat), refused (the reason), or parked (None)."""
        self.tick(now)
        ticket.arrived = ticket.since = now
        self._numbers += 1
        ticket.number = self._numbers
        self.arrivals += 1
        if ticket.step is not None:
            seat = self._step_at_once(ticket, ticket.step, now)
        else:
            seat = None if self._turns.count else self._place(ticket, now)
        if seat is not None:
            self._start(ticket, seat, now)
            return seat
        reason = self._full(ticket.size)
        if reason is not None:
            ticket.state = _LEFT
            self._left(ticket, now, ran=False)
            return reason
        ticket.state = _WAITING
        self._park(ticket)
        self._count(1, ticket.size)
        return None

    def make_way(self, ticket: Ticket, now: float) -> Ticket | None:
        """`ticket` was refused for how many wait; who leaves so that it waits, None: nobody."""
        if ticket.step is not None or not self._holds(ticket.size):
            return None
        other = self._turns.yields(ticket)
        if other is not None:
            self.leave(other, now)
            ticket.state = _WAITING
            self._park(ticket)
            self._count(1, ticket.size)
        return other

    def release(self, now: float) -> list[Ticket]:
        """Dispatch as many as there is room for, in order; returns them."""
        freed: list[Ticket] = []
        turns = self._turns
        if not turns.count and not self._parked:
            return freed
        self.tick(now)
        while (found := self._next(now)) is not None:
            ticket, seat = found
            self._unpark(ticket, turns.take)
            self._start(ticket, seat, now)
            freed.append(ticket)
        return freed

    def leave(self, ticket: Ticket, now: float) -> bool:
        """Its place or slot is free; True when that may make room for someone who waits."""
        if ticket.state is _RUNNING:
            self.tick(now)
            self._stop(ticket)
            took = now - ticket.dispatched
            self.completions += 1
            self.service_s += took
            if took > self.longest_s:
                self.longest_s = took
            self.last_end = now
            ticket.state = _LEFT
            if ticket.step is not None:
                self._left(ticket, now, ran=True)
            return self._turns.count > 0 or bool(self._parked)
        if ticket.state is _WAITING:
            self.tick(now)
            self._unpark(ticket, self._turns.leave)
            self._left(ticket, now, ran=False)
        ticket.state = _LEFT
        return False

    def again(self, ticket: Ticket, now: float, *, since: float) -> None:
        """Its replica broke: it waits again, before all that have not been dispatched yet.

        `since`: from when on that counts as waiting.
        """
        self.tick(now)
        self._stop(ticket)
        ticket.state = _WAITING
        ticket.since = since
        self._turns.rejoin(ticket)
        self._count(1, ticket.size)

    def refuse_all(self, now: float) -> list[Ticket]:
        """Everyone who waits leaves; returns them by arrival."""
        self.tick(now)
        self._count(-self.waiting, -self.waiting_bytes)
        refused = self._turns.clear()
        for ticket in refused:
            _unline(ticket)
        if self._parked:
            refused = sorted([*refused, *self._parked], key=lambda ticket: ticket.number)
            self._parked.clear()
        for ticket in refused:
            ticket.state = _LEFT
            self._left(ticket, now, ran=False)
        return refused

    @property
    def waits_since(self) -> float | None:
        """When whoever has waited longest began to; None when nobody waits."""
        begun = [self._turns.since, *(ticket.since for ticket in self._parked)]
        return min((since for since in begun if since is not None), default=None)

    def expire(self, before: float, now: float) -> list[Ticket]:
        """Everyone who has waited since `before` or longer leaves; returns them by arrival."""
        parked = [ticket for ticket in self._parked if ticket.since <= before]
        expired = self._turns.since_before(before)
        if parked:
            expired = sorted([*expired, *parked], key=lambda ticket: ticket.number)
        for ticket in expired:
            self.leave(ticket, now)
        return expired

    def seat(self, seat: Seat) -> None:
        """A replica got ready."""
        self.seats[seat.name] = seat
        self._reorder()

    def unseat(self, name: ReplicaName, now: float) -> Seat | None:
        """A replica is gone or going; those who still run there leave on their own."""
        self.tick(now)
        seat = self.seats.pop(name, None)
        if seat is not None:
            seat.turn(draining=True)
            self._reorder()
        return seat

    def drain(self, names: Collection[ReplicaName]) -> None:
        """Exactly these take nothing new from now on."""
        for seat in self.seats.values():
            seat.turn(draining=seat.name in names)

    def running_on(self, names: Collection[ReplicaName]) -> int:
        """How many run on these replicas, gone ones included; a resting sequence counts as one."""
        running = sum(t.seat is not None and t.seat.name in names for t in self.running)
        if not self.sequences:
            return running
        resting = self.sequences.resting()
        return running + sum(resting[name] for name in names if name in self.seats)

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
        waiting = self._turns.count + len(self._parked)
        if waiting:
            self.waiting_s += passed * waiting

    def start_slowly(self, seconds: float) -> None:
        """A new seat takes this long to its full share."""
        self._choosing = replace(self._choosing, slow_start=seconds)
        self._reorder()

    def _reorder(self) -> None:
        self._order = tuple(self.seats.values())
        self._simple = len(self._order) <= MANY and not self._choosing.slow_start

    def _place(self, ticket: Ticket, now: float) -> Seat | None:
        """The seat for `ticket`; None when none has room."""
        if self._simple and ticket.key is None:
            return roomiest(self._order)
        return choose(self._order, self._choosing, key=ticket.key, now=now)

    def _start(self, ticket: Ticket, seat: Seat, now: float) -> None:
        ticket.state = _RUNNING
        ticket.seat = seat
        ticket.dispatched = now
        ticket.waited += now - ticket.since
        ticket.announced = False
        seat.running.add(ticket)
        self.running.add(ticket)
        if ticket.sequence is not None:
            ticket.sequence.replica, ticket.sequence.runs = seat.name, True

    def _stop(self, ticket: Ticket) -> None:
        self.running.discard(ticket)
        if ticket.seat is not None:
            ticket.seat.running.discard(ticket)
            ticket.seat = None

    # Steps of sequences.

    def serve_sequences(self, idle_s: float | None) -> None:
        """The model keeps a sequence for so long; None: it knows none."""
        if idle_s is None:
            # Those that live still, of the model before, end as they would have.
            self.sequences = self.sequences if self.sequences else None
        elif self.sequences is None:
            self.sequences = Sequences(idle_s)
        else:
            self.sequences.idle_s = idle_s

    def stranded(self, now: float) -> list[Ticket]:
        """Those who wait for a seat that is gone leave; returns them in order."""
        found = [ticket for ticket in self._parked if _home(ticket) not in self.seats]
        for ticket in found:
            self.leave(ticket, now)
        return found

    def _step_at_once(self, ticket: Ticket, step: Step, now: float) -> Seat | None:
        """The seat for a step that has just come; None: it waits."""
        if self.sequences is not None:
            ticket.sequence = sequence = self.sequences.arrive(step, self.seats)
            if sequence.lined:
                return None
            if sequence.replica is not None:
                return self._own(ticket)
        return None if self._turns.count else self._place(ticket, now)

    def _own(self, ticket: Ticket) -> Seat | None:
        """The seat of its sequence, if it may run there now: draining or not."""
        sequence = ticket.sequence
        if sequence is None or sequence.replica is None or sequence.runs:
            return None
        seat = self.seats.get(sequence.replica)
        if seat is None or seat.doubtful or len(seat.running) >= seat.limit:
            return None
        return seat

    def _park(self, ticket: Ticket) -> None:
        sequence = ticket.sequence
        if sequence is not None and sequence.replica is not None and not sequence.lined:
            self._parked[ticket] = None
            return
        self._turns.join(ticket)
        if sequence is not None:
            sequence.lined += 1

    def _unpark(self, ticket: Ticket, out_of_line: Callable[[Ticket], None]) -> None:
        self._count(-1, -ticket.size)
        if ticket in self._parked:
            del self._parked[ticket]
        else:
            out_of_line(ticket)
            _unline(ticket)

    def _next(self, now: float) -> tuple[Ticket, Seat] | None:
        """Who goes next, and where: whoever has come first of those in line and those parked."""
        turns = self._turns
        while (ticket := turns.next) is not None and _home(ticket) is not None:
            # It stood in line behind the step that has given its sequence a seat by now.
            turns.take(ticket)
            _unline(ticket)
            self._parked[ticket] = None
        seat = None if ticket is None else self._place(ticket, now)
        for parked in self._parked:
            own = self._own(parked)
            if own is not None and (
                ticket is None or seat is None or parked.number < ticket.number
            ):
                return parked, own
        return None if ticket is None or seat is None else (ticket, seat)

    def _left(self, ticket: Ticket, now: float, *, ran: bool) -> None:
        if ticket.step is not None and ticket.sequence is not None and self.sequences is not None:
            self.sequences.leave(ticket.step, ticket.sequence, now, ran=ran)

    # Room.

    def _full(self, size: int) -> Reason | None:
        """Why one more with `size` bytes may not wait."""
        if self.waiting >= self.limit:
            return Reason.QUEUE_FULL
        if self.waiting_bytes + size > self.limit_bytes:
            return Reason.QUEUE_BYTES_FULL
        return self._room.full(size)

    def _holds(self, size: int) -> bool:
        return self.waiting_bytes + size <= self.limit_bytes and self._room.holds(size)

    def _count(self, count: int, size: int) -> None:
        self.waiting_bytes += size
        self._room.add(count, size)


def _home(ticket: Ticket) -> ReplicaName | None:
    """Where its sequence is."""
    return None if ticket.sequence is None else ticket.sequence.replica


def _unline(ticket: Ticket) -> None:
    """It stands in line with everyone else no more."""
    if ticket.sequence is not None:
        ticket.sequence.lined -= 1

"""Sequences as a state machine: one replica each, one step at a time, and nobody is starved."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from activator.core.balance import Choosing
from activator.core.ledger import Ledger
from activator.core.seats import Seat, State, Step, Ticket, key_of
from activator.core.sequences import Sequences
from fleet.names import ReplicaName
from fleet.reasons import Reason

IDLE = 5.0
KEYS = [key_of(b"%d" % number) for number in range(4)]


class SequenceMachine(RuleBasedStateMachine):
    """Drives a ledger with sequences as the line does; knows by itself where each one lives."""

    def __init__(self):
        super().__init__()
        self.ledger = Ledger(limit=8, limit_bytes=100, choosing=Choosing(dice=lambda _: 0))
        self.ledger.sequences = Sequences(IDLE)
        self.now = 0.0
        self.tickets: list[Ticket] = []
        self.seats = 0
        self.named: dict[int, int] = {}
        """Which sequence each correlation ID stands for now."""
        self.sequences: dict[Ticket, int] = {}
        self.homes: dict[int, ReplicaName] = {}
        """Where each sequence that lives has its state."""
        self.rested: dict[int, float] = {}
        self.number = 0

    def _in(self, state: State) -> list[Ticket]:
        return [ticket for ticket in self.tickets if ticket.state is state]

    def _here(self, one: int | None) -> list[Ticket]:
        here = (*self._in(State.WAITING), *self._in(State.RUNNING))
        return [ticket for ticket in here if self.sequences[ticket] == one]

    def _sequence(self, step: Step) -> int:
        """Which one a step belongs to: a first one may begin another."""
        one = self.named.get(step.key)
        home = self.homes.get(one)
        seat = self.ledger.seats.get(home)
        stuck = home is not None and (seat is None or not (seat.open or self._here(one)))
        if one is None or (home is None and not self._here(one)) or (step.start and stuck):
            self.number += 1
            one = self.named[step.key] = self.number
        return one

    def _dispatched(self, ticket: Ticket) -> None:
        seat, one = ticket.seat, self.sequences[ticket]
        assert seat.name in self.ledger.seats
        assert not seat.doubtful
        assert len(seat.running) <= seat.limit
        running = [t for t in self._in(State.RUNNING) if self.sequences[t] == one]
        assert running == [ticket], "two steps of one sequence at once"
        older = [t for t in self._in(State.WAITING) if self.sequences[t] == one]
        assert all(t.number > ticket.number for t in older), "a step overtook another"
        if one in self.homes:
            assert self.homes[one] == seat.name, "a sequence changed its replica"
        else:
            assert seat.open
        self.homes[one] = seat.name

    def _release(self) -> None:
        for ticket in self.ledger.release(self.now):
            self._dispatched(ticket)

    @initialize()
    def seat_first(self):
        self.add_seat(slots=2)

    @rule(key=st.sampled_from(KEYS), start=st.booleans(), end=st.booleans())
    def arrive(self, key, start, end):
        step = Step(key=key, start=start, end=end)
        home = self.homes.get(self.named.get(key))
        lost = self.ledger.sequences.lost(step, self.ledger.seats)
        if start:
            assert not lost
        elif home is not None:
            assert lost == (home not in self.ledger.seats)
        else:
            begun = bool(self._here(self.named.get(key)))
            assert lost == (not begun and not self.ledger.seats)
        if lost:
            return
        ticket = Ticket(object(), 1)
        ticket.step, ticket.key = step, key
        self.sequences[ticket] = self._sequence(step)
        outcome = self.ledger.arrive(ticket, self.now)
        self.tickets.append(ticket)
        if isinstance(outcome, Seat):
            self._dispatched(ticket)
        elif outcome is not None:
            assert outcome is Reason.QUEUE_FULL
            self._forget(ticket, ran=False)

    def _forget(self, ticket: Ticket, *, ran: bool) -> None:
        one = self.sequences[ticket]
        if ran:
            self.rested[one] = self.now
        if not self._here(one) and ran and ticket.step.end:
            self.homes.pop(one, None)

    @rule(slots=st.integers(1, 3))
    def add_seat(self, slots):
        self.seats += 1
        seat = Seat(ReplicaName(f"r{self.seats}"), host="h", port=1, slots=slots)
        seat.limit = slots
        self.ledger.seat(seat)
        self._release()

    @precondition(lambda self: self.ledger.seats)
    @rule(data=st.data())
    def lose_seat(self, data):
        self.ledger.unseat(data.draw(st.sampled_from(list(self.ledger.seats))), self.now)
        for ticket in self.ledger.stranded(self.now):
            assert ticket.state is State.LEFT
            assert self.homes[self.sequences[ticket]] not in self.ledger.seats
        self._release()

    @precondition(lambda self: self.ledger.seats)
    @rule(data=st.data(), doubtful=st.booleans())
    def turn(self, data, doubtful):
        seat = data.draw(st.sampled_from(list(self.ledger.seats.values())))
        seat.turn(doubtful=doubtful, draining=data.draw(st.booleans()))
        self._release()

    @precondition(lambda self: self.tickets)
    @rule(data=st.data())
    def leave(self, data):
        ticket = data.draw(st.sampled_from(self.tickets))
        ran, before = ticket.state is State.RUNNING, ticket.state
        self.ledger.leave(ticket, self.now)
        if before is not State.LEFT:
            self._forget(ticket, ran=ran)
        self._release()

    @rule(passed=st.floats(0, 4))
    def rest(self, passed):
        self.now += passed
        self.ledger.sequences.expire(self.now)
        for one in list(self.homes):
            if not self._here(one) and self.now - self.rested[one] >= IDLE:
                del self.homes[one]

    @rule()
    def refuse_all(self):
        waiting = sorted(self._in(State.WAITING), key=lambda t: t.number)
        assert self.ledger.refuse_all(self.now) == waiting

    @rule()
    def expire(self):
        waiting = sorted(self._in(State.WAITING), key=lambda t: t.number)
        assert self.ledger.expire(self.now, self.now) == waiting

    @invariant()
    def conserves_tickets(self):
        waiting = self._in(State.WAITING)
        assert self.ledger.waiting == len(waiting)
        assert self.ledger.waiting_bytes == len(waiting)
        assert self.ledger.running == set(self._in(State.RUNNING))
        eldest = min(waiting, key=lambda t: t.number, default=None)
        assert self.ledger.eldest is eldest
        assert self.ledger.waits_since == (None if eldest is None else eldest.since)

    @invariant()
    def counts_what_lives_on_each_replica(self):
        busy = {self.sequences[ticket] for ticket in self._in(State.RUNNING)}
        for name in self.ledger.seats:
            live = sum(home == name for one, home in self.homes.items() if one not in busy)
            running = sum(t.seat.name == name for t in self._in(State.RUNNING))
            assert self.ledger.running_on((name,)) == live + running

    @invariant()
    def nobody_waits_for_nothing(self):
        for ticket in self._in(State.WAITING):
            one = self.sequences[ticket]
            if ticket is not min(self._here(one), key=lambda t: t.number):
                continue
            if one in self.homes:
                seat = self.ledger.seats[self.homes[one]]
                assert seat.doubtful or len(seat.running) >= seat.limit
            else:
                assert not [
                    seat
                    for seat in self.ledger.seats.values()
                    if seat.open and len(seat.running) < seat.limit
                ]

    def teardown(self):
        """All that is left can end."""
        for seat in self.ledger.seats.values():
            seat.turn(doubtful=False, draining=False)
        self.add_seat(slots=1)
        while running := self._in(State.RUNNING):
            for ticket in running:
                self.ledger.leave(ticket, self.now)
            self._release()
        assert not self._in(State.WAITING)
        self.ledger.sequences.expire(self.now + 2 * IDLE)
        assert len(self.ledger.sequences) == 0


TestSequences = SequenceMachine.TestCase
TestSequences.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

"""The ledger as a state machine: one outcome per ticket, everyone's turn comes, no idle slot."""

from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from activator.core.balance import Choosing
from activator.core.ledger import Ledger, Seat, State, Ticket
from activator.core.room import Room
from fleet.names import ReplicaName
from fleet.reasons import Reason

LIMIT = 7
LIMIT_BYTES = 90
ANY = Choosing(dice=lambda _: 0)


class LedgerMachine(RuleBasedStateMachine):
    """Drives a ledger as the line does, and keeps its own books beside it."""

    CALLERS: ClassVar = ("",)
    PRECEDENCES: ClassVar = (0,)

    def __init__(self):
        super().__init__()
        self.room = Room()
        self.ledger = Ledger(limit=LIMIT, limit_bytes=LIMIT_BYTES, choosing=ANY, room=self.room)
        self.broken: set[Ticket] = set()
        """Those that wait again."""
        self.passed_by: dict[tuple[str, int], set[str]] = {}
        """By caller and precedence: who had a turn there since it came, or had its own last one."""
        self.now = 0.0
        self.tickets: list[Ticket] = []
        self.dispatched: list[Ticket] = []
        self.outcomes: dict[Ticket, str] = {}
        self.seats = 0
        self.waiting_s = 0.0
        self.running_s = 0.0

    def _pass(self, seconds: float) -> None:
        self.waiting_s += seconds * len(self._in(State.WAITING))
        self.running_s += seconds * len(self._in(State.RUNNING))
        self.now += seconds

    def _in(self, state: State) -> list[Ticket]:
        return [ticket for ticket in self.tickets if ticket.state is state]

    def _release(self) -> None:
        waiting = self._in(State.WAITING)
        for ticket in self.ledger.release(self.now):
            self._take_turn(ticket, waiting)
            waiting.remove(ticket)
        self._forget_who_left()

    def _take_turn(self, ticket: Ticket, waiting: list[Ticket]) -> None:
        """`ticket` was dispatched before all others of `waiting`."""
        self.dispatched.append(ticket)
        assert ticket.precedence == max(t.precedence for t in waiting), "a lower one went first"
        beside = [t for t in waiting if t.precedence == ticket.precedence]
        own = [t for t in beside if t.caller == ticket.caller]
        assert ticket.number == min(t.number for t in own), "not in its caller's order"
        if len(self.CALLERS) == 1:
            assert ticket is min(beside, key=lambda t: t.number), "released out of order"
        broken = self.broken & set(beside)
        self.broken.discard(ticket)
        if broken:
            assert ticket is min(broken, key=lambda t: t.number), "a turn before those that broke"
            return
        for other in {t.caller for t in beside} - {ticket.caller}:
            passed_by = self.passed_by[other, ticket.precedence]
            assert ticket.caller not in passed_by, f"{other} saw {ticket.caller} go twice"
            passed_by.add(ticket.caller)
        self.passed_by[ticket.caller, ticket.precedence] = set()

    def _forget_who_left(self) -> None:
        """Whoever has nothing in turn any more will come anew."""
        here = self._in(State.WAITING)
        self.broken &= set(here)
        in_turn = {(t.caller, t.precedence) for t in here if t not in self.broken}
        self.passed_by = {key: self.passed_by.get(key, set()) for key in in_turn}

    @initialize()
    def seat_first(self):
        self.add_seat(slots=2)

    @rule(data=st.data(), size=st.integers(0, 30), passed=st.floats(0, 2))
    def arrive(self, data, size, passed):
        self._pass(passed)
        ticket = Ticket(
            object(),
            size,
            caller=data.draw(st.sampled_from(self.CALLERS)),
            precedence=data.draw(st.sampled_from(self.PRECEDENCES)),
        )
        waiting = self._in(State.WAITING)
        full = len(waiting) >= LIMIT
        heavy = sum(t.size for t in waiting) + size > LIMIT_BYTES
        outcome = self.ledger.arrive(ticket, self.now)
        self.tickets.append(ticket)
        if isinstance(outcome, Seat):
            assert not waiting, "overtook someone who waits"
            assert ticket.state is State.RUNNING
            self.dispatched.append(ticket)
        elif outcome is None:
            assert ticket.state is State.WAITING
            assert not full
            assert not heavy
        else:
            assert outcome is (Reason.QUEUE_FULL if full else Reason.QUEUE_BYTES_FULL)
            assert full or heavy
            other = self.ledger.make_way(ticket, self.now) if full else None
            self.outcomes[ticket if other is None else other] = "refused"
            if other is not None:
                assert (ticket.state, other.state) == (State.WAITING, State.LEFT)
                assert not heavy
                assert other.precedence <= ticket.precedence
                theirs = [t.number for t in waiting if t.caller == other.caller]
                assert len(theirs) > 1, "it had no more than the one that came"
        self._forget_who_left()

    @rule(slots=st.integers(1, 3))
    def add_seat(self, slots):
        self.seats += 1
        seat = Seat(ReplicaName(f"r{self.seats}"), host="h", port=1, slots=slots)
        seat.limit = 1
        self.ledger.seat(seat)
        self._release()

    @precondition(lambda self: self.ledger.seats)
    @rule(data=st.data())
    def widen(self, data):
        seat = data.draw(st.sampled_from(list(self.ledger.seats.values())))
        seat.limit = seat.slots
        self._release()

    @precondition(lambda self: self.ledger.seats)
    @rule(data=st.data(), passed=st.floats(0, 2))
    def lose_seat(self, data, passed):
        self._pass(passed)
        self.ledger.unseat(data.draw(st.sampled_from(list(self.ledger.seats))), self.now)

    @precondition(lambda self: self.ledger.seats)
    @rule(data=st.data())
    def drain(self, data):
        names = data.draw(st.sets(st.sampled_from(list(self.ledger.seats))))
        self.ledger.drain(names)
        self._release()

    @precondition(lambda self: self.ledger.seats)
    @rule(data=st.data(), doubtful=st.booleans())
    def doubt(self, data, doubtful):
        data.draw(st.sampled_from(list(self.ledger.seats.values()))).turn(doubtful=doubtful)
        self._release()

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), passed=st.floats(0, 2))
    def leave(self, data, passed):
        self._pass(passed)
        ticket = data.draw(st.sampled_from(self.tickets))
        before = ticket.state
        self.ledger.leave(ticket, self.now)
        if before is not State.LEFT:
            assert ticket not in self.outcomes, "two outcomes for one ticket"
            self.outcomes[ticket] = "served" if before is State.RUNNING else "left"
        self._release()

    @precondition(lambda self: self._in(State.RUNNING))
    @rule(data=st.data(), passed=st.floats(0, 2))
    def break_and_wait_again(self, data, passed):
        self._pass(passed)
        ticket = data.draw(st.sampled_from(self._in(State.RUNNING)))
        self.ledger.again(ticket, self.now, since=self.now)
        assert ticket.state is State.WAITING
        self.broken.add(ticket)
        self._release()

    @rule(back=st.floats(0, 5))
    def expire(self, back):
        waiting = self._in(State.WAITING)
        expired = self.ledger.expire(self.now - back, self.now)
        assert set(expired) == {t for t in waiting if t.since <= self.now - back}
        assert expired == sorted(expired, key=lambda t: t.number)
        self.outcomes.update(dict.fromkeys(expired, "expired"))
        self._forget_who_left()

    @rule()
    def refuse_all(self):
        waiting = sorted(self._in(State.WAITING), key=lambda t: t.number)
        assert self.ledger.refuse_all(self.now) == waiting
        self.outcomes.update(dict.fromkeys(waiting, "refused"))
        self._forget_who_left()

    @invariant()
    def conserves_tickets(self):
        waiting, running = self._in(State.WAITING), self._in(State.RUNNING)
        assert self.ledger.waiting == len(waiting)
        assert self.ledger.running == set(running)
        assert self.ledger.arrivals == len(self.tickets)
        assert len(self.outcomes) + len(waiting) + len(running) == len(self.tickets)
        assert self.ledger.waiting_bytes == sum(ticket.size for ticket in waiting)
        assert self.room.waiting == self.ledger.waiting
        assert self.room.waiting_bytes == self.ledger.waiting_bytes

    @invariant()
    def counts_each_seat_by_identity(self):
        on_seats = [t for seat in self.ledger.seats.values() for t in seat.running]
        assert len(on_seats) == len(set(on_seats))
        assert set(on_seats) <= self.ledger.running
        for ticket in self.ledger.running:
            assert ticket.seat is not None
            assert ticket in ticket.seat.running

    @invariant()
    def never_idle_while_someone_waits(self):
        if self.ledger.waiting:
            assert not any(
                seat.open and len(seat.running) < seat.limit for seat in self.ledger.seats.values()
            )

    @invariant()
    def integrals_agree(self):
        self.ledger.tick(self.now)
        assert abs(self.ledger.waiting_s - self.waiting_s) < 1e-6
        assert abs(self.ledger.running_s - self.running_s) < 1e-6


class TurnsMachine(LedgerMachine):
    """The same with callers that take turns, and with precedence."""

    CALLERS = ("a", "b", "c")
    PRECEDENCES = (0, 0, 1)


for machine in (LedgerMachine, TurnsMachine):
    machine.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestLedger = LedgerMachine.TestCase
TestTurns = TurnsMachine.TestCase


def seated(slots: int, *, limit: int | None = None) -> tuple[Ledger, Seat]:
    ledger = Ledger(limit=100, limit_bytes=1000, choosing=ANY)
    seat = Seat(ReplicaName("r"), host="h", port=1, slots=slots)
    seat.limit = slots if limit is None else limit
    ledger.seat(seat)
    return ledger, seat


def test_a_seat_never_has_more_running_than_its_limit():
    ledger, seat = seated(4, limit=1)
    tickets = [Ticket(object(), 0) for _ in range(3)]
    for ticket in tickets:
        ledger.arrive(ticket, 0.0)
    assert seat.running == {tickets[0]}
    seat.limit = seat.slots
    assert ledger.release(1.0) == tickets[1:]


def test_the_seat_with_fewest_running_is_next():
    ledger, first = seated(4)
    second = Seat(ReplicaName("s"), host="h", port=2, slots=4)
    second.limit = 4
    ledger.seat(second)
    seats = [ledger.arrive(Ticket(object(), 0), 0.0) for _ in range(4)]
    assert seats == [first, second, first, second]


def test_those_whose_replica_broke_go_first_in_their_old_order():
    ledger, seat = seated(3)
    tickets = [Ticket(object(), 0) for _ in range(5)]
    for ticket in tickets:
        ledger.arrive(ticket, 0.0)
    seat.turn(doubtful=True)
    for broken in (tickets[2], tickets[0], tickets[1]):
        ledger.again(broken, 1.0, since=1.0)
    assert ledger.release(1.0) == []
    seat.turn(doubtful=False)
    assert ledger.release(2.0) == tickets[:3]


def test_a_doubtful_or_draining_seat_takes_nothing_new():
    ledger, seat = seated(2)
    for change in ({"doubtful": True}, {"draining": True}):
        seat.turn(**change)
        waiting = Ticket(object(), 0)
        assert ledger.arrive(waiting, 0.0) is None
        ledger.leave(waiting, 0.0)
        seat.turn(doubtful=False, draining=False)
    assert ledger.arrive(Ticket(object(), 0), 0.0) is seat


def test_the_bytes_that_wait_may_reach_their_limit_and_not_pass_it():
    ledger = Ledger(limit=10, limit_bytes=10, choosing=ANY)
    assert ledger.arrive(Ticket(object(), 10), 0.0) is None
    assert ledger.arrive(Ticket(object(), 0), 0.0) is None
    assert ledger.arrive(Ticket(object(), 1), 0.0) is Reason.QUEUE_BYTES_FULL


def test_busy_seconds_count_time_with_at_least_one_running():
    ledger, seat = seated(2)
    idle = Seat(ReplicaName("idle"), host="h", port=2, slots=2)
    ledger.seat(idle)
    one, two = Ticket(object(), 0), Ticket(object(), 0)
    ledger.arrive(one, 1.0)
    ledger.arrive(two, 2.0)
    ledger.leave(one, 4.0)
    ledger.leave(two, 5.0)
    ledger.tick(9.0)
    assert (seat.busy_s, idle.busy_s) == (4.0, 0.0)
    assert ledger.running_s == 6.0
    assert ledger.service_s == 6.0
    assert ledger.longest_s == 3.0
    assert ledger.last_end == 5.0
    assert ledger.completions == 2


def test_all_models_together_share_the_room_to_wait():
    room = Room(limit=3, limit_bytes=10)
    one, two = (Ledger(limit=9, limit_bytes=99, choosing=ANY, room=room) for _ in range(2))
    kept = [Ticket(object(), 5), Ticket(object(), 4)]
    assert one.arrive(kept[0], 0.0) is None
    assert two.arrive(kept[1], 0.0) is None
    assert one.arrive(Ticket(object(), 2), 0.0) is Reason.GATEWAY_BYTES_FULL
    assert one.arrive(Ticket(object(), 1), 0.0) is None
    assert two.arrive(Ticket(object(), 0), 0.0) is Reason.GATEWAY_FULL
    assert (room.waiting, room.waiting_bytes) == (3, 10)
    one.leave(kept[0], 1.0)
    assert two.arrive(Ticket(object(), 5), 1.0) is None
    one.refuse_all(2.0)
    two.refuse_all(2.0)
    assert (room.waiting, room.waiting_bytes) == (0, 0)

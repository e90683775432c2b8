"""Whose turn it is in a ledger, by hand; `test_ledger.py` has the state machine."""

from activator.core.ledger import Ledger, Ticket
from fleet.reasons import Reason
from tests.core.test_ledger import ANY, seated


def test_one_callers_burst_lets_others_through():
    ledger, seat = seated(1)
    ledger.arrive(running := Ticket(object(), 0, caller="burst"), 0.0)
    burst = [Ticket(object(), 0, caller="burst") for _ in range(50)]
    for ticket in burst:
        ledger.arrive(ticket, 0.0)
    late = Ticket(object(), 0, caller="late")
    ledger.arrive(late, 1.0)
    ledger.leave(running, 2.0)
    assert ledger.release(2.0) == burst[:1]
    ledger.leave(burst[0], 3.0)
    assert ledger.release(3.0) == [late]
    assert seat.running == {late}


def test_who_leaves_gives_up_no_turn_of_its_caller():
    ledger, _ = seated(1)
    ledger.arrive(running := Ticket(object(), 0), 0.0)
    names = ("a", "b", "a")
    first, other, second = (Ticket(object(), 0, caller=name) for name in names)
    for ticket in (first, other, second):
        ledger.arrive(ticket, 0.0)
    ledger.leave(first, 1.0)
    ledger.leave(running, 1.0)
    assert ledger.release(1.0) == [second]


def test_a_full_queue_makes_way_for_who_has_nobody_in_it():
    ledger = Ledger(limit=4, limit_bytes=1000, choosing=ANY)
    tickets = [Ticket(object(), 0, caller=caller) for caller in "abbbbcdef"]
    first = tickets[:4]
    assert [ledger.arrive(one, 0.0) for one in first] == [None] * 4

    def comes(one: Ticket) -> Ticket | None:
        assert ledger.arrive(one, 0.0) is Reason.QUEUE_FULL
        return ledger.make_way(one, 0.0)

    assert comes(tickets[4]) is None, "its caller has the most itself"
    assert comes(tickets[5]) is tickets[3]
    assert comes(tickets[6]) is tickets[2]
    assert comes(tickets[7]) is None, "everybody has one"
    assert ledger.refuse_all(0.0) == [tickets[number] for number in (0, 1, 5, 6)]
    urgent = [Ticket(object(), 0, caller="b", precedence=1) for _ in range(4)]
    urgent[0] = Ticket(object(), 0, caller="a")
    assert [ledger.arrive(one, 0.0) for one in urgent] == [None] * 4
    assert comes(tickets[8]) is None, "a has one, and b's are more urgent"


def test_a_higher_precedence_goes_first_and_keeps_its_order():
    ledger, seat = seated(1)
    ledger.arrive(running := Ticket(object(), 0), 0.0)
    low, high, higher, high_too = (Ticket(object(), 0, precedence=p) for p in (-1, 2, 3, 2))
    for ticket in (low, high, higher, high_too):
        ledger.arrive(ticket, 0.0)
    seat.limit = 4
    ledger.leave(running, 1.0)
    assert ledger.release(1.0) == [higher, high, high_too, low]


def test_those_whose_replica_broke_keep_their_precedence_and_take_no_new_turn():
    ledger, seat = seated(2)
    broken = [Ticket(object(), 0, caller="a"), Ticket(object(), 0, caller="b", precedence=1)]
    next_of_a, next_of_b = (Ticket(object(), 0, caller=name) for name in "ab")
    for ticket in (*broken, next_of_a, next_of_b):
        ledger.arrive(ticket, 0.0)
    seat.turn(doubtful=True)
    for ticket in broken:
        ledger.again(ticket, 1.0, since=1.0)
    seat.turn(doubtful=False)
    seat.limit = 4
    assert ledger.release(2.0) == [broken[1], broken[0], next_of_a, next_of_b]

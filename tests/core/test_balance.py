"""Choosing a seat: the least busy, two at random among many, by key and within bounds."""

from collections import Counter
from math import ceil
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.core.balance import LEAST_SHARE, MANY, Choosing, choose, rank, share
from activator.core.seats import Seat, Ticket, key_of
from fleet.names import ReplicaName


def seat(name: str, running: int = 0, *, limit: int = 100, ready_at: float = 0.0) -> Seat:
    made = Seat(ReplicaName(name), host="h", port=1, slots=limit)
    made.limit = limit
    made.ready_at = ready_at
    made.running = {Ticket(object(), 0) for _ in range(running)}
    return made


def seats(*running: int, **kwargs) -> list[Seat]:
    return [seat(f"r{index}", count, **kwargs) for index, count in enumerate(running)]


def dice(seed: int = 1) -> Choosing:
    return Choosing(dice=Random(seed).randrange)


KEYS = [key_of(b"%d" % number) for number in range(2000)]
LOADS = st.lists(st.integers(0, 5), min_size=1, max_size=40)


@given(LOADS, st.integers(0, 3), st.one_of(st.none(), st.integers(0, 2**64 - 1)), st.data())
def test_nobody_waits_while_a_seat_has_room_and_no_seat_takes_more(loads, limit, key, data):
    there = seats(*loads, limit=limit)
    for closed in data.draw(st.sets(st.integers(0, len(there) - 1))):
        there[closed].turn(draining=True)
    with_room = [one for one in there if one.open and len(one.running) < limit]
    how = Choosing(
        dice=Random(data.draw(st.integers(0, 9))).randrange,
        slow_start=data.draw(st.sampled_from([0.0, 30.0])),
    )
    found = choose(there, how, key=key, now=10.0)
    assert (found in with_room) if with_room else (found is None)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=MANY))
def test_of_few_the_least_busy_is_chosen_and_the_eldest_of_equals(loads):
    assert choose(seats(*loads), dice()).name == f"r{loads.index(min(loads))}"


def test_of_many_the_better_of_two_different_ones_is_chosen():
    there = seats(*range(MANY + 1))
    drawn = iter([5, 5])
    how = Choosing(dice=lambda below: next(drawn) % below)
    # The second die has one side less and skips the first: 5 and 6.
    assert choose(there, how).name == "r5"
    drawn = iter([5, 5])
    assert choose(seats(*range(MANY + 1, 0, -1)), how).name == "r6"
    drawn = iter([9, 2])
    assert choose(there, how).name == "r2"


def test_of_many_two_choices_keep_the_busiest_close_to_the_average():
    there, how = seats(*[0] * 50), dice()
    for _ in range(50 * 20):
        choose(there, how).running.add(Ticket(object(), 0))
    assert max(len(one.running) for one in there) <= 20 + 4
    assert len({len(one.running) for one in there}) > 1, "not drawn at random"


def home(there: list[Seat], key: int) -> str:
    return choose(there, dice(), key=key).name


@pytest.mark.parametrize("count", [2, 5, 16, 40])
def test_a_seat_that_comes_or_goes_moves_only_its_own_keys(count):
    before = seats(*[0] * count)
    after = [*before, seat("new")]
    homes = {key: home(before, key) for key in KEYS}
    moved = [key for key in KEYS if home(after, key) != homes[key]]
    assert all(home(after, key) == "new" for key in moved)
    # As many as fall to one of count + 1, within five standard deviations.
    fair = len(KEYS) / (count + 1)
    assert abs(len(moved) - fair) <= 5 * fair**0.5
    assert all(home(list(reversed(before)), key) == homes[key] for key in KEYS), "order matters"


def test_keys_are_spread_evenly():
    counts = Counter(home(seats(*[0] * 8), key) for key in KEYS)
    assert len(counts) == 8
    assert max(counts.values()) <= 1.3 * len(KEYS) / 8


def test_a_key_finds_its_seat_again_when_that_takes_requests_again():
    there = seats(0, 0, 0)
    mine = home(there, KEYS[0])
    (own,) = [one for one in there if one.name == mine]
    own.turn(doubtful=True)
    other = home(there, KEYS[0])
    assert other != mine
    own.turn(doubtful=False)
    assert home(there, KEYS[0]) == mine


@given(st.integers(0, 2**64 - 1), st.integers(1, 12), st.integers(1, 120))
def test_one_key_alone_fills_no_seat_beyond_its_bound(key, count, calls):
    there = seats(*[0] * count, limit=1000)
    for done in range(calls):
        found = choose(there, dice(), key=key)
        assert len(found.running) < ceil(1.25 * (done + 1) / count)
        found.running.add(Ticket(object(), 0))


def test_a_key_spills_to_the_next_in_its_own_order():
    there = seats(0, 0, 0, 0)
    key = KEYS[7]
    order = sorted(there, key=lambda one: rank(key, one), reverse=True)
    chosen = []
    for _ in range(4):
        found = choose(there, dice(), key=key)
        found.running.add(Ticket(object(), 0))
        chosen.append(found)
    # Each has its one, until a fourth running makes two of them fair.
    assert chosen == [order[0], order[1], order[2], order[0]]


def test_where_all_that_have_room_are_over_the_bound_the_key_still_decides():
    warming, one, two = there = seats(0, 3, 3, limit=4)
    warming.limit = 0
    for key in KEYS[:50]:
        assert choose(there, dice(), key=key) is max(one, two, key=lambda each: rank(key, each))


def test_the_share_of_a_new_seat_grows():
    new = seat("new", ready_at=100.0)
    ages = [share(new, 100.0 + age, 30.0) for age in (0, 3, 15, 29, 30, 300)]
    assert ages[0] == LEAST_SHARE
    assert ages == sorted(ages)
    assert ages[2] == 0.5
    assert ages[-2:] == [1.0, 1.0]


def test_a_new_seat_takes_its_share_and_no_more():
    def taken(now: float, slow_start: float, key: int | None = None) -> int:
        there = [seat("old"), seat("new", ready_at=100.0)]
        how = Choosing(dice=Random(1).randrange, slow_start=slow_start)
        for _ in range(60):
            choose(there, how, now=now, key=key).running.add(Ticket(object(), 0))
        return len(there[1].running)

    assert taken(100.0, 0.0) == 30
    assert taken(100.0, 30.0) == 5
    assert taken(115.0, 30.0) == 20
    assert taken(130.0, 30.0) == 30
    to_the_new = next(key for key in KEYS if rank(key, seat("new")) > rank(key, seat("old")))
    assert taken(100.0, 30.0, to_the_new) < taken(130.0, 30.0, to_the_new)

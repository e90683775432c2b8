"""Who leads: the steps one by one, and several candidates whose clocks and messages are off."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fleet.leases.election import RENEW_WITHIN, Election, Move
from fleet.leases.record import LASTS, Record

ME, OTHER = "me", "other"


def record(holder=OTHER, renewed="1", *, turns=1, version="1", **changes):
    return Record(holder=holder, renewed=renewed, turns=turns, version=version, **changes)


def test_nothing_is_written_before_it_was_read():
    assert Election(me=ME).move(0.0) is None


def test_one_that_is_not_there_is_made():
    assert Election(me=ME).saw(None, 5.0).move(5.0) == Move(record=None, turn=1)


def test_one_that_was_deleted_is_made_with_the_next_turn():
    election = Election(me=ME).saw(record(turns=7), 0.0).saw(None, 1.0)
    assert election.move(1.0) == Move(record=None, turn=8)


def test_one_that_is_renewed_is_left_to_its_holder():
    election = Election(me=ME)
    for second in range(100):
        election = election.saw(record(renewed=str(second)), float(second))
        assert election.move(float(second)) is None


def test_one_that_is_not_renewed_is_taken_when_it_has_been_seen_to_expire():
    first = record()
    election = Election(me=ME).saw(first, 100.0)
    for at in (102.0, 110.0, 100.0 + LASTS - 0.01):
        election = election.saw(first, at)
        assert election.move(at) is None
    assert election.move(100.0 + LASTS) == Move(record=first, turn=2)


def test_its_own_duration_counts():
    election = Election(me=ME).saw(record(lasts=40.0), 0.0)
    assert election.move(39.9) is None
    assert election.move(40.0) is not None


def test_one_that_was_given_up_is_taken_at_once():
    free = record(holder="", turns=4)
    assert Election(me=ME).saw(free, 0.0).move(0.0) == Move(record=free, turn=5)


def test_an_older_turn_than_one_seen_before_is_not_used_again():
    free = record(holder="", turns=2)
    election = Election(me=ME).saw(record(turns=9), 0.0).saw(free, 1.0)
    assert election.move(1.0).turn == 10


def test_it_is_held_from_the_sending_of_a_renewal_for_as_long_as_promised():
    mine = record(holder=ME, turns=2)
    election = Election(me=ME).saw(None, 0.0).wrote(mine, sent=1.0, now=3.0)
    assert election.term == 2
    assert election.held(1.0 + RENEW_WITHIN - 0.01)
    assert not election.held(1.0 + RENEW_WITHIN)
    assert RENEW_WITHIN < LASTS


def test_reading_that_it_is_mine_renews_nothing():
    mine = record(holder=ME, turns=2)
    election = Election(me=ME).saw(mine, 5.0)
    assert not election.held(5.0)
    assert election.move(5.0) == Move(record=mine, turn=2)


def test_another_holder_ends_it_at_once():
    election = Election(me=ME).saw(None, 0.0).wrote(record(holder=ME), sent=1.0, now=1.0)
    assert not election.saw(record(turns=2), 2.0).held(2.0)


def test_giving_up_is_for_good():
    election = Election(me=ME).saw(None, 0.0).wrote(record(holder=ME), sent=1.0, now=1.0)
    over = election.gives_up()
    assert not over.held(1.0)
    assert over.move(1.0) is None
    assert over.saw(record(holder=""), 2.0).move(2.0) is None


class Candidate:
    def __init__(self, name, *, rate, offset):
        self.name, self.rate, self.offset = name, rate, offset
        self.election = Election(me=name)

    def clock(self, time):
        return self.offset + time * self.rate


class Elections(RuleBasedStateMachine):
    """Three candidates, each with a clock of its own rate; their reads and writes take time.

    What is held: never by two; and nobody writes in a turn that another has had.
    """

    @initialize(
        rates=st.lists(st.floats(0.9, 1.1), min_size=3, max_size=3),
        offsets=st.lists(st.floats(0, 1e6), min_size=3, max_size=3),
    )
    def begin(self, rates, offsets):
        self.time = 0.0
        self.stored: Record | None = None
        self.versions = 0
        self.turns: dict[int, str] = {}
        self.on_the_way: list[tuple[Candidate, str, Move | None, float]] = []
        self.all = [
            Candidate(name, rate=rate, offset=offset)
            for name, rate, offset in zip("abc", rates, offsets, strict=True)
        ]

    @rule(seconds=st.floats(0.01, 20.0))
    def wait(self, seconds):
        self.time += seconds

    @rule(who=st.integers(0, 2))
    def read(self, who):
        one = self.all[who]
        one.election = one.election.saw(self.stored, one.clock(self.time))

    @rule(who=st.integers(0, 2))
    def send(self, who):
        one = self.all[who]
        move = one.election.move(one.clock(self.time))
        if move is not None:
            self.on_the_way.append((one, one.name, move, one.clock(self.time)))

    @rule(number=st.integers(0, 3), lost=st.booleans())
    def arrive(self, number, lost):
        """A write reaches the server, whenever that is; its answer may be lost."""
        if not self.on_the_way:
            return
        one, name, move, sent = self.on_the_way.pop(number % len(self.on_the_way))
        version = None if move.record is None else move.record.version
        if version != (None if self.stored is None else self.stored.version):
            return
        self.versions += 1
        self.stored = Record(
            holder=name,
            renewed=str(self.versions),
            turns=move.turn,
            version=str(self.versions),
        )
        assert self.turns.setdefault(move.turn, name) == name, "a turn was had by two"
        if not lost:
            now = one.clock(self.time)
            one.election = one.election.wrote(self.stored, sent=sent, now=now)

    @rule(who=st.integers(0, 2))
    def start_anew(self, who):
        one = self.all[who]
        one.name += "'"
        one.election = Election(me=one.name)
        self.on_the_way = [sent for sent in self.on_the_way if sent[0] is not one]

    @rule(who=st.integers(0, 2))
    def give_up_and_start_anew(self, who):
        one = self.all[who]
        stored = self.stored
        one.election = one.election.gives_up()
        if stored is not None and stored.holder == one.name:
            self.versions += 1
            self.stored = replace(stored, holder="", version=str(self.versions))
        self.start_anew(who)

    @invariant()
    def never_held_by_two(self):
        if not hasattr(self, "all"):
            return
        holders = [one for one in self.all if one.election.held(one.clock(self.time))]
        assert len(holders) <= 1

    @invariant()
    def the_holder_knows_its_turn(self):
        for one in getattr(self, "all", ()):
            if one.election.held(one.clock(self.time)):
                assert self.turns[one.election.term] == one.name


TestElections = Elections.TestCase
TestElections.settings = settings(max_examples=150, stateful_step_count=40)


@pytest.mark.parametrize("late", [0.0, 3.0, 9.0])
def test_a_stopped_leader_finds_it_lost_before_another_has_it(late):
    """The leader's renewal was sent at 0 and seen by the other as late as its answer."""
    mine = record(holder=ME)
    leader = Election(me=ME).saw(None, 0.0).wrote(mine, sent=0.0, now=late)
    other = Election(me=OTHER).saw(mine, late)
    time = late
    while other.move(time) is None:
        time += 0.1
    assert not leader.held(time)
    assert time - RENEW_WITHIN >= LASTS - RENEW_WITHIN

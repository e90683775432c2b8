"""GPU-seconds by model and state: they add up, and nothing counts twice."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.core.cost import Account, Bill, Change, Holding, State, accrue, lines
from fleet.messages import CostReport
from fleet.names import ModelName, ReplicaName, RevisionName

A = RevisionName("default/a")
ACCOUNT = Account(revision=A, model=ModelName("a"), gpu_class="gpu", price=3.6, always_gpus=1)


def holding(state, *, replica="r1", gpus=1, ready_at=None, busy_s=None):
    return Holding(
        replica=ReplicaName(replica),
        revision=A,
        gpus=gpus,
        state=state,
        ready_at=ready_at,
        busy_s=busy_s,
    )


def bill_of(*moments):
    """A bill from (time, holdings...), the first being when it begins."""
    bill = Bill(since=moments[0][0], until=moments[0][0])
    for now, *held in moments:
        bill = accrue(bill, from_now_on(*held), now)
    return bill


def from_now_on(*held, account=ACCOUNT):
    return {A: Change(holdings=held, account=account)}


def line(bill):
    (only,) = lines(bill)
    return only


def test_a_life():
    bill = bill_of(
        (0.0,),
        (10.0, holding(State.STARTING)),
        (14.0, holding(State.READY, ready_at=13.0, busy_s=0.5)),
        (20.0, holding(State.READY, ready_at=13.0, busy_s=2.5)),
        (21.0, holding(State.DRAINING, busy_s=2.5)),
        (23.0,),
        (100.0,),
    )
    one = line(bill)
    assert (one.starting, one.serving, one.idle, one.draining) == (3.0, 2.5, 5.5, 2.0)
    assert one.allocated == 13.0
    assert (one.always_on, one.released) == (100.0, 87.0)
    assert one.money(one.allocated) == pytest.approx(0.013)
    report = CostReport(currency="USD", seconds=bill.until - bill.since, lines=lines(bill))
    assert report.seconds == 100.0


def test_several_gpus_count_several_times():
    bill = bill_of(
        (0.0, holding(State.READY, gpus=2, busy_s=0.0)),
        (4.0, holding(State.READY, gpus=2, busy_s=1.0)),
    )
    assert (line(bill).serving, line(bill).idle) == (2.0, 6.0)


def test_a_second_call_for_the_same_moment_adds_nothing():
    held = holding(State.READY, busy_s=3.0)
    bill = bill_of((0.0, holding(State.READY, busy_s=0.0)), (10.0, held))
    again = accrue(bill, from_now_on(held), 10.0)
    assert lines(again) == lines(bill)
    assert accrue(again, from_now_on(held), 5.0).until == 10.0


def test_the_past_of_a_replica_that_was_there_before_is_not_ours():
    bill = bill_of(
        (0.0, holding(State.READY, busy_s=None)),
        (10.0, holding(State.READY, busy_s=500.0)),
        (20.0, holding(State.READY, busy_s=504.0)),
    )
    assert (line(bill).serving, line(bill).idle) == (4.0, 16.0)


def test_a_gateway_that_starts_anew_takes_nothing_back():
    bill = bill_of(
        (0.0, holding(State.READY, busy_s=0.0)),
        (10.0, holding(State.READY, busy_s=5.0)),
        (20.0, holding(State.READY, busy_s=1.0)),
        (30.0, holding(State.READY, busy_s=3.0)),
    )
    assert line(bill).serving == 7.0


def test_a_model_that_is_removed_stays_on_the_bill_and_costs_no_more():
    bill = bill_of((0.0, holding(State.STARTING)), (10.0,))
    bill = accrue(bill, from_now_on(account=None), 10.0)
    bill = accrue(bill, {}, 50.0)
    assert (line(bill).allocated, line(bill).always_on) == (10.0, 10.0)


def test_names_that_come_and_go_do_not_pile_up_nor_push_out_what_was_paid_for():
    bill = bill_of((0.0, holding(State.STARTING)), (10.0,))
    bill = accrue(bill, from_now_on(account=None), 10.0)
    free = Account(revision=A, model=ModelName("x"), gpu_class="gpu", price=2.0, always_gpus=0)
    for number in range(1500):
        name = RevisionName(f"a/{number}")
        bill = accrue(bill, {name: Change(account=replace(free, revision=name))}, 11.0 + number)
        bill = accrue(bill, {name: Change()}, 11.5 + number)
    found = {one.revision: one.allocated for one in lines(bill)}
    assert len(found) == 1000
    assert found[A] == 10.0
    assert RevisionName("a/1499") in found


@st.composite
def histories(draw):
    """Steps of (seconds, {replica: (state, gpus, busy so far)}), a state never going back."""
    order = list(State)
    replicas = {f"r{i}": [draw(st.integers(1, 3)), 0, 0.0] for i in range(draw(st.integers(0, 4)))}
    steps = []
    for _ in range(draw(st.integers(1, 8))):
        there = {}
        for name in draw(st.sets(st.sampled_from(sorted(replicas)))) if replicas else ():
            gpus, state, busy = replicas[name]
            state = draw(st.integers(state, 2))
            busy += draw(st.floats(0, 5))
            replicas[name] = [gpus, state, busy]
            there[name] = (order[state], gpus, draw(st.none() | st.just(busy)))
        steps.append((draw(st.floats(0, 5)), there))
    return steps


@given(histories())
@settings(max_examples=200)
def test_the_states_add_up_to_what_was_allocated(steps):
    bill, now, allocated, held = Bill(since=0.0, until=0.0), 0.0, 0.0, 0
    serving = 0.0
    for seconds, there in steps:
        now += seconds
        allocated += held * seconds
        held = sum(gpus for _, gpus, _ in there.values())
        holdings = [
            holding(state, replica=name, gpus=gpus, busy_s=busy, ready_at=now - 1.0)
            for name, (state, gpus, busy) in there.items()
        ]
        for _ in range(2):
            bill = accrue(bill, from_now_on(*holdings), now)
        one = line(bill)
        assert one.allocated == pytest.approx(allocated)
        assert min(one.starting, one.serving, one.idle, one.draining) >= -1e-9
        assert one.serving >= serving - 1e-9, "serving never falls"
        serving = one.serving
    assert one.always_on == pytest.approx(now - steps[0][0])


@given(histories(), st.lists(st.booleans(), min_size=8, max_size=8))
def test_where_nothing_changes_nothing_need_be_said(steps, spoken):
    told = sparing = Bill(since=0.0, until=0.0)
    now, before = 0.0, None
    for (seconds, there), always in zip(steps, spoken, strict=False):
        for part in (0.2, 0.3):
            told = accrue(told, before or {}, now + part * seconds)
        now += seconds
        before = from_now_on(
            *(
                holding(state, replica=name, gpus=gpus, busy_s=busy, ready_at=now - seconds / 2)
                for name, (state, gpus, busy) in there.items()
            ),
            account=ACCOUNT if always else None,
        )
        told, sparing = accrue(told, before, now), accrue(sparing, before, now)
        assert len(lines(told)) == len(lines(sparing)) <= 1
        for one, other in zip(lines(told), lines(sparing), strict=True):
            for state in ("starting", "serving", "idle", "draining", "always_on"):
                assert getattr(one, state) == pytest.approx(getattr(other, state))

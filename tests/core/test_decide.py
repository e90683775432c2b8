"""One revision: windows, the table of queue and GPU, the idle clock, and what holds it all."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.core.decide import decide
from autoscaler.core.memory import Tuning, remember_nothing
from autoscaler.core.panic import Panic, Wanted
from autoscaler.core.seen import Seen, ServerSeen
from autoscaler.core.sizing import replicas_for
from autoscaler.core.window import UNKNOWN
from fleet.model import Mode, Phase, Policy
from fleet.reasons import Reason
from tests.core.autoscaling import AUTO, Story, load, replica

NEVER = replace(AUTO, keep_alive=1e9)


def answer(decision):
    return decision.after, decision.reason


@pytest.mark.parametrize(
    ("requests", "room", "replicas"),
    [(0, 4, 0), (0.01, 4, 1), (2.8, 4 * 0.7, 1), (2.81, 4 * 0.7, 2), (28, 4 * 0.7, 10)],
)
def test_replicas_for_a_load(requests, room, replicas):
    assert replicas_for(requests, room) == replicas


# Asleep: who waits, and the minimum.


@pytest.mark.parametrize(
    ("policy", "waiting", "expected"),
    [
        (Policy(), 0, (0, Reason.IDLE)),
        (Policy(), 1, (1, Reason.DEMAND)),
        (Policy(min_replicas=2), 0, (2, Reason.MINIMUM)),
        (Policy(min_replicas=2), 1, (2, Reason.DEMAND)),
        (Policy(pinned=True), 0, (1, Reason.PINNED)),
        (Policy(max_replicas=0), 5, (0, Reason.DEMAND)),
        (Policy(min_replicas=3, max_replicas=2), 0, (2, Reason.MINIMUM)),
        (Policy(mode=Mode.OFF), 5, (0, Reason.MODE_OFF)),
        (Policy(mode=Mode.ADVISE), 5, (1, Reason.DEMAND)),
    ],
)
def test_asleep(policy, waiting, expected):
    assert answer(Story(ready=0, policy=policy).look(waiting=waiting)) == expected


@pytest.mark.parametrize("replicas", [0, 1, 3])
@pytest.mark.parametrize("blocked", [None, "broken"])
def test_what_something_else_scales_stays_as_it_is(replicas, blocked):
    policy = Policy(min_replicas=2, keep_alive=1.0, max_replicas=2)
    story = Story(ready=replicas, policy=policy)
    story.blocked = blocked
    for known in (True, False):
        seen = {"second_writer": "HorizontalPodAutoscaler demo", "known": known}
        decision = story.look(waiting=9 * known, **seen)
        assert answer(decision) == (replicas, Reason.SECOND_WRITER)
        assert decision.message == "HorizontalPodAutoscaler demo"
    story.policy = replace(policy, mode=Mode.ADVISE)
    assert story.look(waiting=9, **seen).reason is not Reason.SECOND_WRITER


# Unknown.


@pytest.mark.parametrize("replicas", [0, 1, 3, 12])
def test_unknown_holds(replicas):
    story = Story(ready=replicas)
    story.go_on(300, known=False)
    assert answer(story.decision) == (replicas, Reason.UNKNOWN_READING)


def test_unknown_may_still_be_raised_to_the_minimum():
    story = Story(ready=0, policy=Policy(min_replicas=1))
    assert answer(story.look(known=False)) == (1, Reason.MINIMUM)


@pytest.mark.parametrize(
    ("replicas", "blocked", "policy", "expected"),
    [
        (0, None, Policy(), (1, Reason.DEMAND)),
        (0, None, Policy(min_replicas=2), (2, Reason.DEMAND)),
        (0, None, Policy(max_replicas=0), (0, Reason.DEMAND)),
        (0, "broken", Policy(), (0, Reason.UNKNOWN_READING)),
        (2, None, Policy(), (2, Reason.UNKNOWN_READING)),
    ],
)
def test_those_who_are_known_to_wait_are_woken_whoever_else_is_not_heard(
    replicas, blocked, policy, expected
):
    story = Story(ready=replicas, policy=policy)
    seen = replace(story.seen(known=False), waiting=3, blocked=blocked)
    assert answer(decide(story.memory, seen, policy, 0.0)) == expected


def test_unknown_time_counts_as_needed():
    story = Story(ready=3, policy=NEVER)
    story.go_on(50, running=1, rate=1)
    story.go_on(30, known=False)
    assert story.go_on(30, running=1, rate=1).after == 3
    assert story.go_on(40, running=1, rate=1).after < 3


# Windows and panic among 1..n.


def test_a_steady_load_above_the_aim_adds_replicas_by_the_stable_window():
    story = Story(ready=3, policy=NEVER)
    assert answer(story.go_on(60, running=8, rate=4)) == (3, Reason.STABLE)
    decision = story.go_on(60, running=10, rate=4)
    assert answer(decision) == (4, Reason.STABLE), "10 at once, 2.8 is the aim of one"


@pytest.mark.parametrize(("target", "replicas"), [(1.0, 1), (0.7, 2), (0.4, 3), (0.25, 4)])
def test_the_target_is_the_part_of_the_slots_that_a_load_may_fill(target, replicas):
    story = Story(policy=replace(NEVER, target=target))
    assert story.go_on(120, running=4, rate=4).after == replicas, "four at once, on four slots each"


def test_sudden_load_is_seen_on_the_short_window():
    story = Story(policy=NEVER)
    story.go_on(120, running=1, rate=1)
    decision = story.go_on(6, waiting=24, running=4)
    assert answer(decision) == (10, Reason.PANIC)


def test_no_scale_down_in_panic_and_not_before_the_delay_is_over():
    story = Story(policy=NEVER)
    story.go_on(120, running=1, rate=1)
    story.go_on(6, waiting=24, running=4)
    story.carry_out()
    story.go_on(58, running=1, rate=1)
    assert answer(story.decision) == (10, Reason.PANIC)
    story.go_on(120, running=1, rate=1)
    assert answer(story.decision) == (5, Reason.SCALE_DOWN), "at most by half at once"


def test_replicas_still_loading_are_capacity_to_come():
    one = Panic().step(Wanted(stable=1, panic=4, capacity=1), now=0, window=60)
    four = Panic().step(Wanted(stable=1, panic=4, capacity=4), now=0, window=60)
    assert one.on(0, 60)
    assert not four.on(0, 60)


def test_panic_ends_a_stable_window_after_its_cause():
    panic = Panic().step(Wanted(stable=1, panic=8, capacity=2), now=0, window=60)
    calm = Wanted(stable=1, panic=1, capacity=8)
    assert panic.step(calm, now=59.9, window=60).wish(calm) == 8
    assert panic.step(calm, now=60, window=60).wish(calm) == 4


def test_losing_the_memory_holds_what_there_is_for_a_window():
    story = Story(ready=4, policy=NEVER)
    assert answer(story.go_on(58, running=1, rate=1)) == (4, Reason.SCALE_DOWN_DELAY)
    assert story.go_on(6, running=1, rate=1).after < 4


def test_time_without_known_slots_is_no_time_in_which_fewer_would_have_done():
    story = Story(ready=3, policy=replace(NEVER, slots=None))
    for _ in range(40):
        story.now += 2
        story.demand_s += 2
        seen = story.seen(running=1)
        story.look(running=1, load=replace(seen.load, slots=None))
    assert answer(story.decision) == (3, Reason.HOLD)
    assert answer(story.go_on(58, running=1)) == (3, Reason.SCALE_DOWN_DELAY)
    assert story.go_on(6, running=1).after < 3


def test_bounds():
    story = Story(policy=replace(NEVER, max_replicas=3))
    story.go_on(120, running=1, rate=1)
    assert answer(story.go_on(6, waiting=40, running=4)) == (3, Reason.MAXIMUM)
    story = Story(ready=5, policy=replace(NEVER, max_replicas=3))
    assert answer(story.look(running=20)) == (3, Reason.MAXIMUM)
    story = Story(policy=replace(NEVER, min_replicas=2))
    assert answer(story.look(running=1)) == (2, Reason.MINIMUM)


# Queue and GPU together.


@pytest.mark.parametrize(
    ("gpu", "waiting", "running", "expected"),
    [
        (0.9, 1, 12, (5, Reason.QUEUE_AND_GPU)),
        (0.7, 1, 12, (5, Reason.QUEUE_AND_GPU)),
        (None, 1, 12, (5, Reason.QUEUE_ALONE)),
        (0.69, 1, 12, (4, Reason.TRIAL)),
        (0.69, 1, 11, (3, Reason.SLOTS_FREE)),
        (0.9, 0, 12, (5, Reason.STABLE)),
        (None, 0, 12, (5, Reason.STABLE)),
        (0.3, 0, 12, (3, Reason.STABLE)),
        (0.9, 0, 1, (3, Reason.STABLE)),
        (0.3, 0, 1, (2, Reason.SCALE_DOWN)),
        (None, 0, 1, (1, Reason.SCALE_DOWN)),
    ],
)
def test_joint_table(gpu, waiting, running, expected):
    story = Story(ready=3, policy=NEVER, gpu=gpu)
    assert answer(story.go_on(64, waiting=waiting, running=running, rate=2)) == expected


def test_a_queue_that_shrinks_is_neither_added_to_nor_taken_from():
    story = Story(ready=3, policy=NEVER, gpu=0.9)
    story.go_on(200, running=1, rate=1)
    grows = story.go_on(8, waiting=3, running=1, rate=1)
    shrinks = story.go_on(2, waiting=1, running=1, rate=1)
    assert grows.inputs["queue"] == "grows"
    assert shrinks.inputs["queue"] == "shrinks"
    assert shrinks.after == 3


def test_a_busy_gpu_takes_nothing_away_while_others_load():
    story = Story(ready=1, policy=NEVER, gpu=0.9, loading=3)
    assert answer(story.go_on(130, running=1, rate=1)) == (4, Reason.GPU_BUSY)


def test_a_server_that_does_not_answer_takes_nothing_away():
    story = Story(ready=3, policy=NEVER)
    story.go_on(120, running=1, rate=1)
    seen = story.seen(running=1)
    first, *rest = seen.members
    story.now += 2
    decision = story.look(running=1, members=(replica(first.name), *rest))
    assert decision.after < 3
    decision = story.look(running=1, members=(replace(first, server=UNKNOWN), *rest))
    assert answer(decision) == (3, Reason.UNKNOWN_READING)


def test_a_trial_that_helps_stays():
    story = Story(ready=1, policy=NEVER, gpu=0.2)
    story.go_on(60, running=4, rate=4)
    assert answer(story.go_on(2, waiting=5, running=4, rate=4)) == (2, Reason.TRIAL)
    story.carry_out()
    story.go_on(70, waiting=5, running=8, rate=6)
    assert not story.memory.trial.failed
    assert story.memory.trial.base != 1, "it is not on trial any more"
    assert story.decision.after >= 2


def test_a_trial_that_does_not_help_is_taken_back_and_not_repeated_within_the_hour():
    story = Story(ready=1, policy=NEVER, gpu=0.2)
    story.go_on(60, running=4, rate=4)
    story.go_on(2, waiting=5, running=4, rate=4)
    story.carry_out()
    assert answer(story.go_on(20, waiting=9, running=8, rate=4))[0] == 2
    assert story.decision.reason is Reason.GPU_IDLE_QUEUE_GROWS
    assert answer(story.go_on(44, waiting=9, running=8, rate=4)) == (1, Reason.TRIAL_FAILED)
    story.carry_out()
    assert answer(story.go_on(3000, waiting=9, running=4, rate=4))[0] == 1
    assert story.decision.reason is Reason.GPU_IDLE_QUEUE_GROWS
    assert answer(story.go_on(700, waiting=9, running=4, rate=4)) == (2, Reason.TRIAL)


def test_a_trial_without_a_gpu_is_no_trial():
    story = Story(ready=1, policy=NEVER, gpu=0.2)
    story.go_on(60, running=4, rate=4)
    for _ in range(40):
        assert story.go_on(2, waiting=5, running=4, rate=4).after == 2
    assert story.memory.trial.barred_until is None


def test_compute_time_stands_in_for_a_gpu_that_is_not_measured():
    memory = remember_nothing(Tuning())
    shown = []
    for now in range(0, 40, 2):
        server = ServerSeen(at=now, pending=0, completions=0, compute_s=0.9 * min(now, 20))
        running = 1 if now > 30 else 0
        member = replica(server=server, running=running)
        seen = Seen(replicas=1, members=(member,), load=load(now, running=running))
        decision = decide(memory, seen, NEVER, float(now))
        memory = decision.memory
        shown.append(decision.inputs["gpu_use"])
    assert shown[2] is None, "the span is not covered yet"
    assert shown[10] == pytest.approx(0.9)
    assert shown[14] < 0.5
    assert shown[19] > 0.7, "something runs and the counter stands still: busy"


# Starts given up.


def test_a_start_given_up_gives_back_what_is_not_ready():
    story = Story(ready=0, loading=1)
    story.blocked = "exited: no such model"
    decision = story.look(waiting=3)
    assert answer(decision) == (0, Reason.START_FAILED)
    assert "no such model" in decision.message
    story = Story(ready=1, loading=1)
    story.blocked = "exited"
    assert answer(story.look(running=1)) == (1, Reason.START_FAILED)
    assert answer(story.look(known=False)) == (2, Reason.UNKNOWN_READING)


# Properties.

loads = st.tuples(st.integers(0, 30), st.integers(0, 12))
uses = st.sampled_from([None, 0.0, 0.3, 0.69, 0.7, 0.95])


@given(
    ready=st.integers(1, 6),
    gpu=uses,
    past=st.lists(st.tuples(loads, st.integers(1, 20)), max_size=6),
    last=loads,
    more=loads,
)
@settings(max_examples=120, deadline=None)
def test_more_load_never_means_fewer_replicas(ready, gpu, past, last, more):
    after = []
    for extra in (False, True):
        story = Story(ready=ready, policy=NEVER, gpu=gpu)
        for (waiting, running), looks in past:
            story.go_on(2.0 * looks, waiting=waiting, running=running, rate=1)
        waiting, running = last
        if extra:
            waiting, running = waiting + more[0], running + more[1]
        after.append(story.go_on(2, waiting=waiting, running=running, rate=1).after)
    assert after[0] <= after[1]


@given(
    ready=st.integers(0, 6),
    gpu=uses,
    waiting=st.integers(0, 30),
    running=st.integers(0, 12),
    policy=st.builds(
        Policy,
        min_replicas=st.integers(0, 3),
        max_replicas=st.integers(6, 9),
        pinned=st.booleans(),
        keep_alive=st.sampled_from([0.0, 5.0, None]),
        slots=st.sampled_from([None, 1, 4]),
    ),
)
@settings(max_examples=150, deadline=None)
def test_a_restart_never_lowers(ready, gpu, waiting, running, policy):
    story = Story(ready=ready, policy=policy, gpu=gpu)
    story.now = 1000.0
    assert story.look(waiting=waiting, running=running).after >= ready


@given(
    ready=st.integers(1, 6),
    gpu=uses,
    past=st.lists(st.tuples(loads, st.integers(1, 40), st.booleans()), max_size=8),
)
@settings(max_examples=120, deadline=None)
def test_never_below_the_bounds_never_lower_in_panic_or_unknown(ready, gpu, past):
    story = Story(ready=ready, policy=replace(AUTO, min_replicas=1, max_replicas=8), gpu=gpu)
    for (waiting, running), looks, known in past:
        for _ in range(looks):
            story.go_on(2, waiting=waiting, running=running, rate=1, known=known)
            decision = story.decision
            assert 1 <= decision.after <= 8
            if not known or story.memory.panic.on(story.now, 60.0):
                assert decision.after >= decision.before
            if waiting and decision.after < decision.before:
                assert decision.reason is Reason.TRIAL_FAILED
            story.carry_out()


@given(st.sets(st.sampled_from(list(Phase))), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=60)
def test_any_mix_of_phases_gets_an_answer(phases, replicas, waiting):
    members = tuple(replica(phase.value, phase) for phase in phases - {Phase.DRAINING})
    seen = Seen(replicas=replicas, members=members, load=load(1.0, waiting=waiting))
    decision = decide(remember_nothing(Tuning()), seen, AUTO, 1.0)
    assert decision.after >= min(1, replicas)

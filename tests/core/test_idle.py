"""The idle clock: 1 -> 0, when, and what stops it."""

from dataclasses import replace

import pytest

from autoscaler.core.decide import decide
from autoscaler.core.keepalive import keep_alive
from autoscaler.core.memory import Tuning, remember_nothing
from autoscaler.core.seen import Seen, ServerSeen
from fleet.reasons import Reason
from tests.core.autoscaling import AUTO, Story, load, replica


def answer(decision):
    return decision.after, decision.reason


@pytest.mark.parametrize(
    ("fixed", "ready_after", "seconds"),
    [(5.0, 100.0, 5.0), (0.0, 1.0, 0.0), (None, None, 600.0), (None, 2.9, 30.0), (None, 6, 60)],
)
def test_keep_alive(fixed, ready_after, seconds):
    assert keep_alive(fixed, ready_after) == seconds


def test_idle_clock_ends_at_the_keep_alive_not_before():
    story = Story(policy=replace(AUTO, keep_alive=60.0))
    assert answer(story.go_on(58)) == (1, Reason.IDLE)
    assert answer(story.go_on(2)) == (0, Reason.KEEP_ALIVE)


def test_idle_clock_takes_all_replicas_at_once_whatever_the_windows_say():
    story = Story(ready=3, policy=replace(AUTO, keep_alive=10.0))
    assert answer(story.go_on(10)) == (0, Reason.KEEP_ALIVE)


def test_it_runs_from_the_last_end_and_from_the_last_ready():
    story = Story(policy=AUTO)
    story.go_on(20)
    seen = story.seen()
    late = replace(seen, load=replace(seen.load, ended_at=15.0))
    assert late.idle_since == 15.0
    other = replica("r2", at=18.0)
    assert replace(late, members=(*seen.members, other)).idle_since == 18.0
    assert replace(late, load=replace(late.load, running=1)).idle_since is None
    assert replace(late, load=replace(late.load, waiting=1)).idle_since is None


@pytest.mark.parametrize(
    "policy",
    [replace(AUTO, min_replicas=1), replace(AUTO, pinned=True), replace(AUTO, keep_alive=1e6)],
)
def test_what_must_stay_stays(policy):
    assert Story(policy=policy).go_on(1000).after == 1


def test_nothing_sleeps_while_another_replica_loads():
    assert Story(policy=AUTO, loading=1).go_on(200).after >= 1


def test_a_busy_server_stops_the_clock():
    for server, rests in (
        (ServerSeen(at=0, pending=1, completions=0), False),
        (ServerSeen(at=0, pending=0, completions=0, gpu_use=0.05), False),
        (ServerSeen(at=0, pending=0, completions=0, gpu_use=0.04), True),
        (ServerSeen(at=0), True),
    ):
        story = Story(policy=replace(AUTO, keep_alive=10.0))
        for _ in range(10):
            story.now += 2.0
            member = replica(server=replace(server, at=story.now))
            story.look(members=(member,))
        assert (story.decision.after == 0) is rests, server


def test_where_somebody_calls_past_the_gateway_completions_must_stand_still():
    memory = remember_nothing(Tuning())
    policy = replace(AUTO, keep_alive=5.0)
    slept = None
    for now in range(0, 60, 2):
        done = min(now, 10)
        member = replica(server=ServerSeen(at=now, pending=0, completions=done))
        seen = Seen(replicas=1, members=(member,), load=load(now, longest_s=20.0))
        decision = decide(memory, seen, policy, float(now))
        memory = decision.memory
        if decision.after == 0:
            slept = now
            break
        assert decision.reason in (Reason.GPU_BUSY, Reason.IDLE)
    assert slept == 10 + 30


def test_long_requests_through_the_gateway_do_not_prolong_the_keep_alive():
    memory = remember_nothing(Tuning())
    policy = replace(AUTO, keep_alive=4.0)
    slept = None
    for now in range(0, 60, 2):
        # One request of 20 s, by way of the gateway: its end is counted up to a look later.
        done = int(now > 20)
        member = replica(server=ServerSeen(at=now, pending=0, completions=done))
        heard = load(now, running=int(now < 20), longest_s=20.0)
        heard = replace(heard, ended_at=20.0 if now >= 20 else None)
        seen = Seen(replicas=1, members=(member,), load=heard)
        decision = decide(memory, seen, policy, float(now))
        memory = decision.memory
        if decision.after == 0:
            slept = now
            break
    assert slept == 24


def sleeps_at(servers, *, keep_alive=10.0, longest_s=60.0):
    """When a model sleeps whose server is seen as `servers(now)` says: (completions, warming)."""
    memory = remember_nothing(Tuning())
    policy = replace(AUTO, keep_alive=keep_alive)
    for now in range(0, 400, 2):
        done, warming = servers(now)
        member = replica(server=ServerSeen(at=now, pending=0, completions=done))
        member = replace(member, warming=warming)
        seen = Seen(replicas=1, members=(member,), load=load(now, longest_s=longest_s))
        decision = decide(memory, seen, policy, float(now))
        memory = decision.memory
        if decision.after == 0:
            return now
    return None


def test_the_gateways_own_warm_up_is_no_call_past_the_gateway():
    assert sleeps_at(lambda now: (int(now >= 4), now < 4)) == 10
    assert sleeps_at(lambda now: (int(now >= 4), False)) > 60


def test_a_call_past_the_gateway_is_forgotten_after_a_quiet_stable_window():
    # 1.5 x 1,000 s would be 25 minutes.
    assert sleeps_at(lambda now: (int(now >= 4), False), longest_s=1000.0) == 4 + 60


def test_a_look_right_after_another_is_not_a_second_look():
    memory = remember_nothing(Tuning())
    policy = replace(AUTO, keep_alive=1.0)
    for now in (10.0, 10.1, 10.2, 10.3):
        member = replica(server=ServerSeen(at=now, pending=0, completions=3))
        seen = Seen(replicas=1, members=(member,), load=load(now))
        decision = decide(memory, seen, policy, now)
        memory = decision.memory
        assert decision.after == 1

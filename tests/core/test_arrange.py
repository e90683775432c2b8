"""From decisions to targets: newcomers, what is left to the activator, who counts as held."""

from dataclasses import replace

import pytest

from autoscaler.core.arrange import Case, arrange
from autoscaler.core.decide import decide
from autoscaler.core.memory import Tuning, remember_nothing
from autoscaler.core.seen import Seen, ServerSeen
from fleet.model import GpuPool, Mode, Phase, Policy
from fleet.reasons import Reason
from tests.core.autoscaling import load, replica
from tests.fakes.cluster import revision

POLICY = Policy(slots=4, keep_alive=1e6)


def case(name, *phases, waiting=0, waited=0.0, policy=POLICY, gpus=1):
    server = ServerSeen(at=10.0, pending=0)
    members = tuple(
        replica(f"{name}{i}", phase, at=1.0, server=server) for i, phase in enumerate(phases)
    )
    heard = load(10.0, waiting=waiting, oldest_wait=waited if waiting else None)
    seen = Seen(replicas=len(members), members=members, load=heard)
    return Case(
        revision=revision(name, policy=policy, gpus=gpus, replicas=len(members)),
        seen=seen,
        decision=decide(remember_nothing(Tuning()), seen, policy, 10.0),
        waiting=waiting,
    )


def arranged(*cases, total=1, free=0):
    pool = GpuPool(name="gpu", total=total, free=free)
    standings = arrange(cases, [pool], tick=2.0, min_residency=0.0, now=10.0)
    return {standing.revision.partition("/")[2]: standing for standing in standings}


@pytest.mark.parametrize(
    ("waited", "free", "left"), [(0.0, 1, True), (1.9, 1, True), (2.0, 1, False), (0.0, 0, False)]
)
def test_with_a_gpu_really_free_a_wake_is_the_activators_for_one_tick(waited, free, left):
    got = arranged(case("new", waiting=1, waited=waited), free=free)["new"]
    assert (got.target, got.reason, got.left) == (1, Reason.DEMAND, left)


def test_a_minimum_is_nobody_elses_to_write():
    assert not arranged(case("m", policy=replace(POLICY, min_replicas=1)), free=1)["m"].left


def test_a_swap():
    got = arranged(case("old", Phase.READY), case("new", waiting=1))
    assert (got["old"].target, got["old"].reason) == (0, Reason.EVICTED)
    assert got["old"].message == "for new"
    assert (got["new"].target, got["new"].left) == (1, False)
    assert got["new"].victims == ("default/old",)


@pytest.mark.parametrize("mode", [Mode.ADVISE, Mode.OFF])
def test_only_auto_gives_or_takes(mode):
    policy = replace(POLICY, mode=mode)
    got = arranged(case("old", Phase.READY, policy=policy), case("new", waiting=1))
    assert (got["old"].target, got["new"].target) == (1, 0)
    assert got["new"].reason is Reason.NO_FREE_GPU
    got = arranged(case("old", Phase.READY), case("new", waiting=1, policy=policy))
    assert (got["old"].target, got["new"].target) == (1, 0)


def test_a_replica_pending_for_somebody_who_waits_makes_room_like_a_newcomer():
    got = arranged(case("old", Phase.READY), case("new", Phase.PENDING, waiting=1))
    assert (got["old"].target, got["new"].target) == (0, 1)
    got = arranged(case("new", Phase.PENDING, waiting=1))
    assert got["new"].victims == ()
    assert got["new"].reason is not Reason.NO_FREE_GPU, "its GPU is on its way"


def test_a_failed_replica_holds_no_gpu_between_its_tries():
    got = arranged(case("bad", Phase.FAILED, waiting=1), case("new", waiting=1))
    assert (got["bad"].target, got["new"].target) == (1, 1)


def test_an_evicted_model_loses_what_still_waits_for_a_gpu_too():
    got = arranged(case("old", Phase.READY, Phase.PENDING), case("new", waiting=1))
    assert (got["old"].target, got["new"].target) == (0, 1)


def test_a_pinned_model_may_take_a_gpu_and_a_minimum_may_not():
    for policy, target in (
        (replace(POLICY, pinned=True), 1),
        (replace(POLICY, min_replicas=1), 0),
    ):
        got = arranged(case("old", Phase.READY), case("m", policy=policy))
        assert got["m"].target == target
        assert got["old"].target == 1 - target


def test_a_model_without_gpus_needs_no_room():
    got = arranged(case("old", Phase.READY), case("cpu", waiting=1, gpus=0))
    assert (got["old"].target, got["cpu"].target) == (1, 1)


@pytest.mark.parametrize(("first", "last"), [("a", "b"), ("b", "a")])
def test_the_lowest_priority_goes_and_the_highest_comes(first, last):
    high = replace(POLICY, priority=1)
    got = arranged(
        case(first, Phase.READY, policy=high),
        case(last, Phase.READY),
        case("new", waiting=1),
        total=2,
    )
    assert (got[first].target, got[last].target, got["new"].target) == (1, 0, 1)
    got = arranged(
        case("old", Phase.READY),
        case(first, waiting=1, waited=1.0, policy=high),
        case(last, waiting=1, waited=9.0),
    )
    assert (got["old"].target, got[first].target, got[last].target) == (0, 1, 0)

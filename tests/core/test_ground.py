"""Where everything stands: what is free, what is going, who holds what in which place."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from autoscaler.core.ground import Ground
from fleet.model import Drain, Fleet, GpuNode, GpuPool, Phase, Replica
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from tests.fakes.cluster import revision

A = revision("a", replicas=1)


def pod(name, node="n1", phase=Phase.LOADING, **changes):
    made = Replica(name=ReplicaName(name), phase=phase, since=0.0, template="t1", node=node, gpus=1)
    if phase is Phase.PENDING:
        made = replace(made, node=None, gpus=0)
    return replace(made, **changes)


def ground(*pods, rev=A, nodes=("n1", "n2"), free=0, gone=(), usable=True, **pool):
    fleet = Fleet(
        revisions=MappingProxyType({rev.name: rev}),
        replicas=MappingProxyType({rev.name: pods, RevisionName("gone"): gone}),
        gpus=(GpuPool(name="gpu", total=4, free=free, **pool),),
        nodes=tuple(
            GpuNode(name=name, gpu_class="gpu", total=2, free=free, usable=usable) for name in nodes
        ),
    )
    return Ground(fleet)


def coming(made):
    spots = made.supply(grow_first=False).spots
    return {spot.key[1]: spot.coming for spot in spots if spot.coming}


def at(made, rev=A, held=1):
    return {key[1]: count for key, count in made.at(rev, held).items()}


OLD = pod("old", template="t0")
NEW = pod("new", "n2", since=9.0)


@pytest.mark.parametrize(
    ("pods", "rev", "on_the_way", "held"),
    [
        ([pod("r")], A, {}, {"n1": 1}),
        ([pod("r", phase=Phase.DRAINING)], A, {"n1": 1}, {}),
        ([pod("r", phase=Phase.DRAINING, reason=Reason.STUCK_TERMINATING)], A, {}, {}),
        ([pod("r", phase=Phase.PENDING)], A, {}, {}),
        # In its restarts a pod keeps its GPU; a process of this machine gives it back.
        ([pod("r", phase=Phase.FAILED)], A, {}, {"n1": 1}),
        ([pod("r", phase=Phase.FAILED, gpus=0)], A, {}, {}),
        # Written, and not done yet.
        ([pod("r")], replace(A, replicas=0, enacted=False), {"n1": 1}, {}),
        (
            [pod("r"), pod("s", "n2")],
            replace(A, enacted=False, drain=Drain(number=1, replicas=frozenset({"r"}))),
            {"n1": 1},
            {"n2": 1},
        ),
        ([pod("r"), pod("s", "n2", since=5.0)], replace(A, enacted=False), {"n2": 1}, {"n1": 1}),
        # A rollout: the old one goes as soon as the new one is ready, and stays if that fails.
        ([OLD, NEW], A, {"n1": 1}, {"n2": 1}),
        ([OLD, NEW], replace(A, enacted=False), {"n1": 1}, {"n2": 1}),
        ([OLD, replace(NEW, phase=Phase.FAILED)], A, {}, {"n1": 1, "n2": 1}),
        (
            [OLD, replace(NEW, phase=Phase.FAILED)],
            replace(A, enacted=False),
            {},
            {"n1": 1, "n2": 1},
        ),
        (
            [OLD, replace(NEW, phase=Phase.FAILED)],
            replace(A, enacted=False, replicas=0),
            {"n1": 1, "n2": 1},
            {},
        ),
        ([OLD, pod("s", phase=Phase.PENDING)], A, {}, {"n1": 1}),
        ([OLD, NEW], replace(A, replicas=2), {}, {"n1": 1, "n2": 1}),
        ([pod("r"), pod("s", "n2")], A, {}, {"n1": 1, "n2": 1}),
    ],
)
def test_what_is_on_its_way_and_what_is_held(pods, rev, on_the_way, held):
    made = ground(*pods, rev=rev)
    assert (coming(made), at(made, rev)) == (on_the_way, held)


def test_what_ends_on_a_node_that_takes_no_new_pods_is_of_no_use():
    made = ground(pod("r", phase=Phase.DRAINING), usable=False)
    assert coming(made) == {}
    assert made.may(A) == frozenset()
    assert at(ground(pod("r"), usable=False)) == {"n1": 1}


def test_what_waits_for_something_else_than_a_gpu_is_counted_apart():
    waits = pod("r", phase=Phase.PENDING, reason=Reason.NO_FREE_GPU)
    gated = pod("s", phase=Phase.PENDING, reason=Reason.UNSCHEDULABLE)
    assert ground(waits, gated, pod("t")).apart(A) == 1


def test_what_is_left_of_a_removed_deployment_is_on_its_way_where_it_can_be_told():
    gone = (pod("x", "n2", phase=Phase.DRAINING),)
    assert coming(ground(gone=gone)) == {"n2": 1}


def test_on_one_machine_what_is_wanted_counts_as_held_and_no_more():
    made = ground(pod("r", None), pod("s", None), nodes=(), rev=replace(A, replicas=2))
    assert at(made, replace(A, replicas=2), held=1) == {None: 1}
    assert made.may(A) is None


def test_where_a_revision_may_go():
    made = ground(free=1)
    assert made.may(A) == {("gpu", "n1"), ("gpu", "n2")}
    assert made.may(replace(A, nodes=frozenset({"n2", "gone"}))) == {("gpu", "n2")}
    assert made.vacant(A) == 2
    assert made.vacant(replace(A, nodes=frozenset({"n2"}))) == 1
    assert ground(free=1, grows=True).vacant(A) == 0


def test_what_may_be_asked_for_and_where_a_pod_that_waits_buys_a_node():
    supply = ground(elastic=3, grows=True).supply(grow_first=True)
    assert (dict(supply.totals), dict(supply.elastic)) == ({"gpu": 4}, {"gpu": 3})
    assert supply.growing == {"gpu"}
    assert supply.grow_first

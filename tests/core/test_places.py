"""Where the GPUs are, who may have which, and who waits for one."""

import pytest

from fleet.model import Fleet, GpuNode, GpuPool, Phase, Replica
from fleet.names import ReplicaName
from fleet.places import may_use, place_of, places, unplaced, waits_for_gpu
from fleet.reasons import Reason
from tests.fakes.cluster import revision


def node(name, gpu_class="a100", total=4, free=4):
    return GpuNode(name=name, gpu_class=gpu_class, total=total, free=free)


def replica(phase=Phase.LOADING, **changes):
    return Replica(name=ReplicaName("r"), phase=phase, since=0.0, template="t1", **changes)


def test_a_class_without_nodes_is_one_place():
    pool = GpuPool(name="gpu", total=2, free=1)
    (place,) = places(Fleet(gpus=(pool,)))
    assert (place.key, place.total, place.free) == (("gpu", None), 2, 1)


def test_nodes_are_places_and_stand_for_their_class():
    pools = (GpuPool(name="a100", total=8, free=8), GpuPool(name="mig-1g.10gb", total=0, free=0))
    fleet = Fleet(gpus=pools, nodes=(node("n1"), node("n2", free=1)))
    assert [place.key for place in places(fleet)] == [
        ("a100", "n1"),
        ("a100", "n2"),
        ("mig-1g.10gb", None),
    ]


@pytest.mark.parametrize(
    ("gpu_class", "nodes", "where", "may"),
    [
        ("a100", None, node("n1"), True),
        ("gpu", None, node("n1"), True),
        ("gpu", {"n1"}, node("n1"), True),
        ("a100", {"n1"}, node("n1", "h100"), True),
        ("a100", {"n2"}, node("n1"), False),
        ("a100", None, node("n1", "mig-1g.10gb"), False),
        ("mig-1g.10gb", None, node("n1", "mig-1g.10gb"), True),
        ("mig-1g.10gb", None, node("n1", "mig-2g.20gb"), False),
        ("mig-1g.10gb", None, node("n1"), False),
    ],
)
def test_who_may_use_a_node(gpu_class, nodes, where, may):
    made = revision(gpu_class=gpu_class, nodes=None if nodes is None else frozenset(nodes))
    (place,) = places(Fleet(nodes=(where,)))
    assert may_use(made, place) is may


def test_without_nodes_only_the_own_class_is_known():
    (place,) = places(Fleet(gpus=(GpuPool(name="a100", total=1, free=1),)))
    assert may_use(revision(gpu_class="a100"), place)
    assert not may_use(revision(gpu_class="gpu"), place)


def test_a_replica_is_where_it_was_placed_even_if_it_could_not_be_placed_there_any_more():
    there = places(Fleet(nodes=(node("n1", "mig-1g.10gb"), node("n1"), node("n2", "h100"))))
    moved = revision(nodes=frozenset({"n1"}))
    assert place_of(moved, replica(node="n2"), there).key == ("h100", "n2")
    assert place_of(moved, replica(node="n1"), there).key == ("a100", "n1")
    part = revision(gpu_class="mig-1g.10gb")
    assert place_of(part, replica(node="n1"), there).key == ("mig-1g.10gb", "n1")
    assert place_of(part, replica(node="n2"), there) is None
    assert place_of(moved, replica(Phase.PENDING), there) is None


def test_on_one_machine_a_replica_is_in_its_class():
    there = places(Fleet(gpus=(GpuPool(name="gpu", total=1, free=0),)))
    assert place_of(revision(), replica(), there).key == ("gpu", None)


@pytest.mark.parametrize(
    ("phase", "reason", "waits"),
    [
        (Phase.PENDING, None, True),
        (Phase.PENDING, Reason.NO_FREE_GPU, True),
        (Phase.PENDING, Reason.UNSCHEDULABLE, False),
        (Phase.PENDING, Reason.FAILED_CREATE, False),
        (Phase.LOADING, Reason.NO_FREE_GPU, False),
    ],
)
def test_only_who_lacks_a_gpu_waits_for_one(phase, reason, waits):
    assert waits_for_gpu(replica(phase, reason=reason)) is waits


def test_what_is_wanted_and_not_made_yet_will_take_a_gpu_too():
    wanted = revision(replicas=4)
    there = [replica(), replica(Phase.PENDING), replica(Phase.DRAINING)]
    assert unplaced(wanted, there) == 1 + 2
    surge = revision(replicas=1)
    assert unplaced(surge, [replica(), replica(Phase.PENDING)]) == 1

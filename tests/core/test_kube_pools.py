"""The GPUs by node and class: who holds them, what is free, what may be counted on."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from fleet.cluster.kubernetes.holding import asked, held
from fleet.cluster.kubernetes.objects import Objects
from fleet.cluster.kubernetes.snapshot import read_fleet
from fleet.gpubudget import parse_budget
from fleet.kubernetes.objects import Object
from fleet.model import Fleet, GpuNode, GpuPool
from tests.core.anyjson import JSON
from tests.core.test_kube_snapshot import DEMO, NOW, OFFSET, read
from tests.fakes.kubeobjects import container, deployment, lone_pod, node, pod, replica_set, stamp

PART = "nvidia.com/mig-1g.10gb"


def free_of(fleet: Fleet) -> dict[str, tuple[int, int]]:
    return {pool.name: (pool.total, pool.free) for pool in fleet.gpus}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [container("2"), container("1")]}, {"nvidia.com/gpu": 3}),
        ({"containers": [container(None)]}, {}),
        ({"containers": [container("2", resource=PART)]}, {PART: 2}),
        (
            {"containers": [container("1")], "initContainers": [container("3")]},
            {"nvidia.com/gpu": 3},
        ),
        (
            {"containers": [container("2")], "initContainers": [container("1")]},
            {"nvidia.com/gpu": 2},
        ),
        (
            {
                "containers": [container("2")],
                "initContainers": [{**container("1"), "restartPolicy": "Always"}, container("3")],
            },
            {"nvidia.com/gpu": 4},
        ),
        ({"containers": [container("many"), container(True), container("-1")]}, {}),
        ({"containers": [{"resources": {"limits": {"nvidia.com/gpu": 2}}}]}, {"nvidia.com/gpu": 2}),
    ],
)
def test_a_pod_asks_for_the_most_of_any_moment(spec: Object, expected: dict[str, int]) -> None:
    assert asked({"spec": spec}) == expected


@given(JSON)
def test_asking_never_raises(value: Any) -> None:
    for each in (value, {"spec": value}, {"spec": {"containers": [value]}}):
        assert all(number > 0 for number in asked(each).values())
        held(each)


def test_what_others_hold_is_not_to_be_counted_on() -> None:
    demo = deployment()
    pods = [pod(replica_set(demo)), lone_pod("job", "2")]
    fleet = read([demo], pods)
    assert fleet.nodes == (GpuNode(name="n1", gpu_class="A100", total=2, free=1),)
    assert free_of(fleet) == {"A100": (2, 1)}


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_what_has_ended_holds_nothing(phase: str) -> None:
    assert free_of(read([], [lone_pod("job", "2", phase=phase)])) == {"A100": (4, 4)}


def test_what_is_being_stopped_comes_back_unless_it_is_stuck() -> None:
    job = lone_pod("job", "2")
    job["metadata"]["deletionTimestamp"] = stamp(600)
    assert free_of(read([], [job])) == {"A100": (4, 2)}
    assert free_of(read([], [job], now=NOW + 100)) == {"A100": (2, 2)}


@pytest.mark.parametrize(
    "wanted",
    [
        {"ready": False},
        {"spec": {"unschedulable": True}},
        {"spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]}},
    ],
)
def test_nothing_is_free_where_no_pod_may_go(wanted: dict[str, Any]) -> None:
    demo = deployment()
    fleet = read([demo], [pod(replica_set(demo))], nodes=[node(**wanted), node("n2", "1")])
    assert free_of(fleet) == {"A100": (2, 1)}
    assert fleet.revisions[DEMO].nodes is None


def test_a_part_is_counted_beside_whole_gpus() -> None:
    mixed = node()
    mixed["status"]["allocatable"][PART] = "7"
    other = deployment("part", pod={"containers": [container("2", resource=PART)]})
    pods = [pod(replica_set(other))]
    assert free_of(read([other], pods, nodes=[mixed])) == {"A100": (4, 4), "mig-1g.10gb": (7, 5)}


def test_more_is_held_than_there_is_when_a_gpu_breaks() -> None:
    demo = deployment(pod={"containers": [container("4")]})
    fleet = read([demo], [pod(replica_set(demo))], nodes=[node(gpus="3")])
    assert free_of(fleet) == {"A100": (3, 0)}


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ("present", GpuPool(name="A100", total=8, free=7)),
        ("4", GpuPool(name="A100", total=4, free=3)),
        ("100", GpuPool(name="A100", total=8, free=7)),
        ("0", GpuPool(name="A100", total=0, free=0)),
        ("elastic:20", GpuPool(name="A100", total=8, free=7, elastic=12, grows=True)),
        ("elastic:4", GpuPool(name="A100", total=4, free=3, elastic=0, grows=True)),
        ("T4=1", GpuPool(name="A100", total=8, free=7)),
        ("A100=2, *=1", GpuPool(name="A100", total=2, free=1)),
    ],
)
def test_the_budget_bounds_what_is_there(budget: str, expected: GpuPool) -> None:
    fleet = within(budget, [node("n1", "4"), node("n2", "4")])
    assert fleet.pool("A100") == expected


@pytest.mark.parametrize(
    ("budget", "expected", "problems"),
    [
        ("4", GpuPool(name="gpu", total=4, free=3), 0),
        ("elastic:20", GpuPool(name="gpu", total=1, free=0, elastic=19, grows=True), 0),
        ("present", GpuPool(name="gpu", total=1, free=0), 1),
        ("gpu=2", GpuPool(name="gpu", total=2, free=1), 0),
    ],
)
def test_where_nodes_may_not_be_read_the_budget_is_what_there_is(
    budget: str, expected: GpuPool, problems: int
) -> None:
    fleet = within(budget, None)
    assert fleet.gpus == (expected,)
    assert fleet.nodes == ()
    assert fleet.revisions[DEMO].nodes is None
    assert [problem.source for problem in fleet.problems] == ["EBBTIDE_GPU_BUDGET"] * problems


def test_a_class_that_has_no_node_yet_may_grow() -> None:
    label = {"nvidia.com/gpu.product": "H100"}
    demo = deployment(pod={"nodeSelector": label})
    objects = Objects(deployments=[demo], nodes=[])
    fleet = read_fleet(objects, now=NOW, offset=OFFSET, budget=parse_budget("elastic:3"))
    assert fleet.gpus == (GpuPool(name="H100", total=0, free=0, elastic=3, grows=True),)
    assert fleet.problems == ()


def test_a_template_that_no_node_takes_is_said() -> None:
    demo = deployment(pod={"nodeSelector": {"nvidia.com/gpu.product": "H100"}})
    (problem,) = read([demo]).problems
    assert (problem.deployment, problem.key, problem.warning) == (DEMO, "nvidia.com/gpu", True)
    assert "no node" in problem.allowed


def test_a_template_that_several_classes_take_is_said() -> None:
    fleet = read([deployment()], nodes=[node("n1"), node("n2", "8", product="T4")])
    (problem,) = fleet.problems
    assert "T4, A100" in problem.allowed
    assert fleet.revisions[DEMO].gpu_class == "T4"


def within(budget: str, nodes: list[Object] | None) -> Fleet:
    demo = deployment()
    own = replica_set(demo)
    objects = Objects(deployments=[demo], replica_sets=[own], pods=[pod(own)], nodes=nodes)
    return read_fleet(objects, now=NOW, offset=OFFSET, budget=parse_budget(budget))


_PODS = st.lists(
    st.tuples(
        st.sampled_from(["demo", "other", "job", "refused"]),
        st.integers(0, 4),
        st.sampled_from([None, "n1", "n2"]),
        st.sampled_from(["Running", "Pending", "Failed", "Succeeded"]),
        st.sampled_from(["nvidia.com/gpu", PART]),
        st.booleans(),
    ),
    max_size=12,
)


@examples(max_examples=80, deadline=None)
@given(_PODS, st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_free_and_held_are_what_is_allocatable(pods, one: int, two: int, usable: bool) -> None:
    """Whatever pods there are, whoever's, and in whatever state."""
    owners = {name: deployment(name) for name in ("demo", "other")}
    owners["refused"] = deployment("refused", annotations={"model": "x", "slots": "no"})
    sets = {name: replica_set(owner) for name, owner in owners.items()}
    made, on = [], {("n1", "nvidia.com/gpu"): 0, ("n1", PART): 0, ("n2", "nvidia.com/gpu"): 0}
    for number, (whose, gpus, place, phase, resource, going) in enumerate(pods):
        each = (
            lone_pod(f"job-{number}", node=place or "", phase=phase)
            if whose == "job"
            else pod(sets[whose], f"x{number}", node=place, phase=phase)
        )
        each["spec"]["containers"] = [container(str(gpus), resource=resource)]
        if going:
            each["metadata"]["deletionTimestamp"] = stamp(600)
        made.append(each)
        if place and phase in ("Running", "Pending"):
            on[place, resource] = on.get((place, resource), 0) + gpus
    first = node("n1", str(one))
    first["status"]["allocatable"][PART] = "5"
    nodes = [first, node("n2", str(two), product="T4", spec={"unschedulable": not usable})]
    fleet = read(list(owners.values()), made, nodes=nodes, replica_sets=list(sets.values()))
    there = {(row.name, row.gpu_class): row for row in fleet.nodes}
    for (name, gpu_class, resource), number in {
        ("n1", "A100", "nvidia.com/gpu"): one,
        ("n1", "mig-1g.10gb", PART): 5,
        ("n2", "T4", "nvidia.com/gpu"): two if usable else 0,
    }.items():
        row = there.get((name, gpu_class))
        free = row.free if row else 0
        assert free == max(0, number - on[name, resource])
        assert free <= (row.total if row else 0) <= max(number, on[name, resource])
    assert sum(pool.free for pool in fleet.gpus) == sum(row.free for row in fleet.nodes)

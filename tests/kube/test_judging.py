"""What end-to-end tests judge by can tell right from wrong."""

from typing import Any

import pytest

from tests.e2e.kube.storm import Kill, excused
from tests.kube.calls import Call, End
from tests.kube.scales import most_at_once, most_unschedulable, replica_counts, wakes
from tests.kube.watching import Event


def deployment(name: str, replicas: int) -> Event:
    return event(name, {"spec": {"replicas": replicas}})


def pod(name: str, *, node: str = "", phase: str = "Pending", kind: str = "MODIFIED") -> Event:
    containers = [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]
    spec = {"containers": containers, "nodeName": node}
    return event(name, {"spec": spec, "status": {"phase": phase}}, kind=kind)


def event(name: str, found: dict[str, Any], *, kind: str = "MODIFIED") -> Event:
    return Event(at=0.0, kind=kind, object={"metadata": {"name": name}, **found})


def test_counts_are_what_was_wanted_one_after_the_other() -> None:
    seen = [deployment("a", 0), deployment("a", 1), deployment("b", 0), deployment("a", 1)]
    seen += [deployment("a", 0), deployment("b", 1)]
    assert replica_counts(seen) == {"a": [0, 1, 0], "b": [0, 1]}
    assert wakes(seen) == ["a", "b"]


def test_a_gpu_is_held_from_placement_until_the_pod_is_through() -> None:
    meet = [pod("a", node="n"), pod("b"), pod("b", node="n"), pod("a", node="n", phase="Failed")]
    assert most_at_once(meet) == 2
    follow = [pod("a", node="n"), pod("a", node="n", phase="Failed"), pod("b", node="n")]
    assert most_at_once(follow) == 1
    assert most_at_once([pod("a", node="n"), pod("a", node="n", kind="DELETED"), pod("b")]) == 1


def waiting(name: str, *, kind: str = "MODIFIED") -> Event:
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    spec: dict[str, Any] = {"containers": []}
    return event(name, {"spec": spec, "status": {"conditions": [told]}}, kind=kind)


def test_who_cannot_be_placed_counts_until_he_is_placed_or_gone() -> None:
    assert most_unschedulable([waiting("a"), waiting("b"), pod("a", node="n"), waiting("c")]) == 2
    assert most_unschedulable([waiting("a"), waiting("a", kind="DELETED"), waiting("b")]) == 1


def call(end: End, *, status: int = 0, right: bool = False) -> Call:
    return Call(
        model="m",
        value=1,
        gateway="g:1",
        began=10.0,
        ended=12.0,
        end=end,
        status=status,
        right=right,
    )


def kill(kind: str, whom: str, *, after: float = 10.9) -> Kill:
    """Somebody died within 0.2 s of `after`."""
    return Kill(kind=kind, whom=whom, after=after, before=after + 0.2)


@pytest.mark.parametrize(
    ("one", "kills", "expected"),
    [
        (call(End.ANSWERED, status=200, right=True), [], True),
        (call(End.ANSWERED, status=200), [kill("replica", "m")], False),
        (call(End.CLOSED), [kill("gateway", "g:1")], True),
        (call(End.CLOSED), [kill("gateway", "g:2")], False),
        (call(End.CLOSED), [kill("gateway", "g:1", after=9.9)], True),
        (call(End.CLOSED), [kill("gateway", "g:1", after=9.7)], False),
        (call(End.CLOSED), [kill("gateway", "g:1", after=12.1)], False),
        (call(End.CLOSED), [kill("replica", "m")], False),
        (call(End.BROKEN), [kill("replica", "m")], True),
        (call(End.BROKEN), [kill("replica", "n")], False),
        (call(End.ANSWERED, status=502), [kill("replica", "m")], False),
        (call(End.ANSWERED, status=502), [kill("replica", "m"), kill("replica", "m")], True),
        (call(End.ANSWERED, status=503), [kill("replica", "m"), kill("replica", "m")], False),
        (call(End.REFUSED), [kill("gateway", "g:1")], False),
        (call(End.GAVE_UP), [kill("redis", "r")], False),
    ],
)
def test_only_what_a_kill_may_take_is_excused(one: Call, kills: list[Kill], expected: bool) -> None:
    assert excused(one, kills) is expected

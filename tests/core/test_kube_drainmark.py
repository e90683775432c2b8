"""The mark on a Deployment: what is written is read, and nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.cluster.kubernetes.drainmark import DRAINING, Mark, read_mark, write_mark
from fleet.model import Drain, Phase
from tests.core.anyjson import JSON
from tests.core.test_kube_snapshot import DEMO, only, read
from tests.fakes.kubeobjects import deployment, pod, replica_set

MARK = {"number": 3, "replicas": ["demo-7c9d-x1"], "term": 7}


@given(
    st.integers(1, 2**53),
    st.frozensets(st.text(min_size=1, max_size=9)),
    st.integers(0, 2**53),
    st.sampled_from(["", "ebbtide", "x" * 63]),
)
def test_what_is_written_is_read(number: int, pods: frozenset[str], term: int, owner: str) -> None:
    assert read_mark(write_mark(number, pods, term=term, owner=owner)) == Mark(
        number=number, pods=pods, term=term, owner=owner
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"number": 0},
        {"number": "3"},
        {"number": True},
        {"number": 2**60},
        {"term": -1},
        {"term": 1.5},
        {"replicas": "demo"},
        {"replicas": [""]},
        {"replicas": [7]},
        {"more": 1},
        {"owner": 7},
        {"owner": None},
        {"owner": "x" * 64},
    ],
)
def test_what_is_almost_a_mark_is_none(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="ebbtide's own mark"):
        read_mark(json.dumps(MARK | changed))


@pytest.mark.parametrize(
    ("number", "pods", "term"),
    [(0, ["a"], 1), (2**53 + 1, ["a"], 1), (1, [""], 1), (1, ["a"], -1), (1, ["a" * 253] * 600, 1)],
)
def test_what_would_be_refused_is_never_written(number: int, pods: list[str], term: int) -> None:
    with pytest.raises(ValueError, match="ebbtide's own mark"):
        write_mark(number, pods, term=term)


def test_a_thousand_pods_can_be_marked() -> None:
    pods = frozenset(f"{n:063}" for n in range(1000))
    assert read_mark(write_mark(1, pods, term=1)).pods == pods


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 5000, json.dumps({"number": 3})])
def test_what_is_no_mark_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="ebbtide's own mark"):
        read_mark(text)


@given(st.text() | JSON.map(json.dumps))
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        mark = read_mark(text)
    except ValueError:
        return
    assert mark.number >= 1


def marked(mark: str, *, restarts: int = 0) -> tuple:
    demo = deployment()
    demo["metadata"]["annotations"][DRAINING] = mark
    fleet = read([demo], [pod(replica_set(demo), restarts=restarts)])
    return fleet, fleet.revisions[DEMO].drain


def test_a_mark_names_pods_and_drains_the_replicas_in_them() -> None:
    fleet, drain = marked(json.dumps(MARK))
    assert drain == Drain(number=3, replicas=frozenset(["default/demo-7c9d-x1"]), term=7)
    assert only(fleet).phase is Phase.LOADING
    assert fleet.problems == ()


def test_a_container_that_was_started_anew_still_drains() -> None:
    fleet, drain = marked(json.dumps(MARK), restarts=2)
    assert drain.replicas == frozenset([only(fleet).name]) == frozenset(["default/demo-7c9d-x1#2"])


def test_a_pod_that_is_not_there_stays_named() -> None:
    _, drain = marked(json.dumps(MARK | {"replicas": ["gone"]}))
    assert drain.replicas == frozenset(["default/gone"])


def test_a_mangled_mark_drains_nobody_and_is_said() -> None:
    fleet, drain = marked('{"number": 3}')
    assert drain is None
    (problem,) = fleet.problems
    assert (problem.key, problem.warning) == ("ebbtide.dev/draining", True)

"""Who may be evicted, and who is."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.core.evict import Candidate, Victim, choose, may_go
from autoscaler.core.seen import Seen, ServerSeen
from autoscaler.core.window import UNKNOWN
from fleet.model import Mode, Phase
from fleet.names import RevisionName
from tests.core.autoscaling import AUTO, load, replica


def candidate(name, *, unused=0.0, **changes):
    return Candidate(
        **{
            "revision": RevisionName(name),
            "gpu_class": "gpu",
            "priority": 0,
            "unused_since": unused,
            "replicas": 1,
            "gpus": 1,
            **changes,
        }
    )


def names(victims):
    return None if victims is None else {victim.revision: victim.replicas for victim in victims}


@pytest.mark.parametrize(
    ("need", "candidates", "victims"),
    [
        (1, [], None),
        (0, [candidate("a")], {}),
        (1, [candidate("a", unused=5), candidate("b", unused=4)], {"b": 1}),
        (1, [candidate("a", unused=9, priority=-1), candidate("b", unused=4)], {"a": 1}),
        (1, [candidate("a", priority=100)], {"a": 1}),
        (2, [candidate("a"), candidate("b", unused=1), candidate("c", unused=2)], {"a": 1, "b": 1}),
        (2, [candidate("a"), candidate("b")], {"a": 1, "b": 1}),
        (3, [candidate("a"), candidate("b")], None),
        (2, [candidate("a"), candidate("b", unused=1, gpus=2)], {"b": 1}),
        (2, [candidate("a", replicas=3)], {"a": 2}),
        (1, [candidate("a", gpus=4)], {"a": 1}),
        (1, [candidate("a", unused=1), candidate("b", unused=9, marked=True)], {"b": 1}),
        (1, [candidate("a", gpus=0)], None),
    ],
)
def test_choose(need, candidates, victims):
    assert names(choose(need, candidates)) == victims
    assert names(choose(need, reversed(candidates))) == victims


MEMBER = replica(at=10.0)
IDLE = Seen(replicas=1, members=(MEMBER,), load=load(20.0))


@pytest.mark.parametrize(
    ("seen", "policy", "may"),
    [
        (IDLE, AUTO, True),
        (IDLE, replace(AUTO, min_replicas=3), True),
        (IDLE, replace(AUTO, pinned=True), False),
        (IDLE, replace(AUTO, mode=Mode.ADVISE), False),
        (IDLE, replace(AUTO, mode=Mode.OFF), False),
        (replace(IDLE, load=UNKNOWN), AUTO, False),
        (replace(IDLE, load=load(waiting=1)), AUTO, False),
        (replace(IDLE, load=load(running=1)), AUTO, False),
        (replace(IDLE, members=()), AUTO, False),
        (replace(IDLE, members=(MEMBER, replica("l", Phase.LOADING))), AUTO, False),
        (replace(IDLE, members=(replace(MEMBER, server=UNKNOWN),)), AUTO, False),
        (
            replace(IDLE, members=(replace(MEMBER, server=ServerSeen(at=1, pending=1)),)),
            AUTO,
            False,
        ),
        (
            replace(IDLE, members=(replace(MEMBER, server=ServerSeen(at=1, gpu_use=0.3)),)),
            AUTO,
            False,
        ),
        (replace(IDLE, members=(replace(MEMBER, server=ServerSeen(at=1)),)), AUTO, True),
    ],
)
def test_may_go(seen, policy, may):
    assert may_go(seen, policy, min_residency=0.0, now=20.0) is may


@pytest.mark.parametrize(("now", "may"), [(69.9, False), (70.0, True)])
def test_min_residency_counts_from_ready(now, may):
    assert may_go(IDLE, AUTO, min_residency=60.0, now=now) is may


candidates = st.lists(
    st.builds(
        Candidate,
        revision=st.sampled_from([RevisionName(name) for name in "abcdefgh"]),
        gpu_class=st.just("gpu"),
        priority=st.integers(-2, 2),
        unused_since=st.floats(0, 100),
        replicas=st.integers(1, 3),
        gpus=st.integers(0, 4),
        marked=st.booleans(),
    ),
    unique_by=lambda one: one.revision,
    max_size=8,
)


@given(st.integers(0, 12), candidates)
@settings(max_examples=200)
def test_the_victims_make_room_and_none_is_taken_for_nothing(need, candidates):
    by_name = {one.revision: one for one in candidates}
    victims = choose(need, candidates)
    if victims is None:
        assert sum(one.replicas * one.gpus for one in candidates) < need
        return
    freed = sum(by_name[victim.revision].gpus * victim.replicas for victim in victims)
    assert freed >= need
    for victim in victims:
        assert 1 <= victim.replicas <= by_name[victim.revision].replicas
        assert freed - by_name[victim.revision].gpus < need


@given(candidates)
@settings(max_examples=100)
def test_one_gpu_comes_from_the_first_in_order(candidates):
    able = [one for one in candidates if one.gpus]
    victims = choose(1, candidates)
    if not able:
        assert victims is None
        return
    first = min(able, key=lambda o: (not o.marked, o.priority, o.unused_since, o.revision))
    assert victims == (Victim(revision=first.revision, replicas=1),)

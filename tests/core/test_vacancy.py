"""Which GPUs a gateway may ask for by itself, with others asking at the same time."""

from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activator.core.vacancy import Vacancy
from fleet.model import Fleet, GpuNode, GpuPool, Phase, Replica
from fleet.names import ReplicaName
from fleet.reasons import Reason
from tests.fakes.cluster import revision

NEW = revision("new")


def fleet(*others, free=1, nodes=None, grows=False):
    """`others`: (revision, phases of its replicas); `nodes`: free ones by node."""
    free = sum(nodes.values()) if nodes else free
    return Fleet(
        revisions=MappingProxyType({NEW.name: NEW, **{rev.name: rev for rev, _ in others}}),
        replicas=MappingProxyType(
            {rev.name: tuple(map(_replica, range(9), phases)) for rev, phases in others}
        ),
        gpus=(GpuPool(name="gpu", total=8, free=free, grows=grows),),
        nodes=tuple(
            GpuNode(name=name, gpu_class="gpu", total=8, free=count)
            for name, count in (nodes or {}).items()
        ),
    )


def _replica(number, phase):
    reason = Reason.NO_FREE_GPU if phase is Phase.PENDING else None
    phase, reason = (Phase.PENDING, Reason.UNSCHEDULABLE) if phase is None else (phase, reason)
    name = ReplicaName(f"r{number}")
    return Replica(name=name, phase=phase, since=0.0, template="t1", reason=reason)


def has(world, rev=NEW, *, vacancy=None, gateways=1, now=0.0):
    return (vacancy or Vacancy()).has(rev, world, gateways=gateways, now=now)


WOKEN = revision("woken", replicas=1)


@pytest.mark.parametrize(
    ("world", "vacant"),
    [
        (fleet(), True),
        (fleet(free=0), False),
        (fleet((WOKEN, [Phase.PENDING])), False),
        (fleet((WOKEN, [Phase.PENDING]), free=2), True),
        (fleet((WOKEN, [None])), True),
        (fleet((WOKEN, [])), False),
        (fleet((WOKEN, [Phase.LOADING])), True),
        (fleet((WOKEN, [Phase.DRAINING])), False),
        (fleet((WOKEN, [Phase.FAILED])), True),
        (fleet((replace(WOKEN, gpus=0), [Phase.PENDING])), True),
        (fleet((replace(WOKEN, gpus=2), [Phase.PENDING])), False),
        (fleet((replace(WOKEN, gpu_class="mig-1g.10gb"), [Phase.PENDING])), True),
        (fleet(grows=True), False),
        (fleet(nodes={"n1": 0, "n2": 1}), True),
        (fleet((replace(WOKEN, nodes=frozenset({"n1"})), []), nodes={"n1": 0, "n2": 1}), True),
        (fleet((replace(WOKEN, nodes=frozenset({"n2"})), []), nodes={"n1": 0, "n2": 1}), False),
    ],
)
def test_a_gpu_that_nobody_holds_and_nobody_waits_for(world, vacant):
    assert has(world) is vacant


@pytest.mark.parametrize(
    ("nodes", "allowed", "vacant"),
    [
        ({"n1": 1, "n2": 1}, None, False),
        ({"n1": 0, "n2": 2}, None, True),
        ({"n1": 0, "n2": 2}, {"n1"}, False),
    ],
)
def test_a_replica_has_its_gpus_on_one_node(nodes, allowed, vacant):
    rev = revision("new", gpus=2, nodes=None if allowed is None else frozenset(allowed))
    assert has(fleet(nodes=nodes), rev) is vacant


def test_the_budget_may_be_smaller_than_what_is_there():
    world = replace(fleet(nodes={"n1": 4}), gpus=(GpuPool(name="gpu", total=2, free=0),))
    assert not has(world)


def test_no_gpu_needs_no_room():
    assert has(fleet(free=0, grows=True), revision("cpu", gpus=0))


def test_an_own_wake_counts_from_the_moment_it_is_decided_until_its_replica_has_its_place():
    vacancy, world = Vacancy(), fleet((replace(WOKEN, replicas=0), []))
    assert has(world, vacancy=vacancy)
    vacancy.begin(WOKEN, 0.0)
    assert not has(world, vacancy=vacancy)
    assert not has(replace(world, number=2), vacancy=vacancy), "a snapshot from before the write"
    vacancy.end(WOKEN.name, written=True)
    woken = fleet((WOKEN, []))
    assert not has(woken, vacancy=vacancy)
    assert not has(fleet((WOKEN, [Phase.PENDING])), vacancy=vacancy)
    assert has(fleet((WOKEN, [Phase.LOADING])), vacancy=vacancy)


def test_a_wake_that_failed_counts_no_more():
    vacancy, world = Vacancy(), fleet()
    vacancy.begin(NEW, 0.0)
    assert not has(world, WOKEN, vacancy=vacancy)
    vacancy.end(NEW.name, written=False)
    assert has(world, WOKEN, vacancy=vacancy)


def test_a_wake_may_begin_on_a_snapshot_that_was_not_counted_yet():
    """No leader answers: whether a GPU is free was not asked. Then a node came."""
    vacancy, grown = Vacancy(), fleet(nodes={"n1": 0, "n2": 1})
    assert not has(fleet(nodes={"n1": 0}), vacancy=vacancy)
    assert vacancy.places(grown).possible(NEW)
    vacancy.begin(NEW, 0.0)
    assert not has(grown, WOKEN, vacancy=vacancy)


def _half_taken(number=1):
    """Four GPUs, two gateways: this one's two wakes are under way, the other's are written."""
    others = [(revision(f"other{n}", replicas=1), [Phase.PENDING]) for n in range(2)]
    own = [(revision(f"w{n}"), []) for n in range(2)]
    return replace(fleet(*others, *own, free=4), number=number)


def test_a_wake_that_is_decided_again_keeps_its_place():
    """By then the others have taken theirs: a part of what is left would be less than it had."""
    vacancy, before = Vacancy(), fleet(free=4)
    for n in range(2):
        assert has(before, vacancy=vacancy, gateways=2)
        vacancy.begin(revision(f"w{n}"), 0.0)
    world = _half_taken()
    assert not has(world, revision("w1"), vacancy=vacancy, gateways=2)
    vacancy.again(revision("w1").name, 0.1)
    assert has(world, revision("w1"), vacancy=vacancy, gateways=2, now=0.1)
    assert not has(world, NEW, vacancy=vacancy, gateways=2, now=0.1), "nobody else has its place"
    vacancy.begin(revision("w1"), 0.2)
    assert not has(world, NEW, vacancy=vacancy, gateways=2, now=0.2)
    vacancy.end(revision("w1").name, written=False)
    assert not has(world, revision("w1"), vacancy=vacancy, gateways=2, now=0.3)


def test_a_place_is_not_kept_for_long_though_nothing_else_changes():
    vacancy, world = Vacancy(), fleet(free=1)
    assert has(world, vacancy=vacancy)
    vacancy.begin(WOKEN, 0.0)
    vacancy.again(WOKEN.name, 0.1)
    world = fleet((replace(WOKEN, replicas=0), []), free=1)
    assert not has(world, vacancy=vacancy, now=2.0)
    assert has(world, vacancy=vacancy, now=2.2)


def test_a_place_that_somebody_else_has_by_now_is_not_kept():
    vacancy = Vacancy()
    assert has(fleet(free=1), vacancy=vacancy)
    vacancy.begin(NEW, 0.0)
    vacancy.again(NEW.name, 0.1)
    assert not has(fleet(free=0), vacancy=vacancy, now=0.2)
    assert not has(fleet((WOKEN, []), free=0), vacancy=vacancy, now=0.2)


def test_of_many_gpus_each_gateway_takes_its_part_at_a_time_and_at_least_one():
    for free, gateways, part in ((6, 1, 6), (6, 2, 3), (7, 3, 2), (1, 2, 1), (2, 9, 1)):
        vacancy, world = Vacancy(), fleet(free=free)
        for number in range(part):
            assert has(world, vacancy=vacancy, gateways=gateways)
            vacancy.begin(revision(f"w{number}"), 0.0)
        assert not has(world, vacancy=vacancy, gateways=gateways)


def test_its_next_part_comes_when_its_wakes_are_seen_in_their_places():
    vacancy = Vacancy()
    for number in range(2):
        assert has(fleet(free=4), vacancy=vacancy, gateways=2)
        vacancy.begin(revision(f"w{number}"), 0.0)
        vacancy.end(revision(f"w{number}").name, written=True)
    woken = [revision(f"w{number}", replicas=1) for number in range(2)]
    pending = fleet(*((rev, [Phase.PENDING]) for rev in woken), free=4)
    assert not has(pending, vacancy=vacancy, gateways=2)
    placed = fleet(*((rev, [Phase.LOADING]) for rev in woken), free=2)
    assert has(placed, vacancy=vacancy, gateways=2)
    # One that gets no place does not keep this gateway's part for ever.
    assert has(pending, vacancy=vacancy, gateways=2, now=31.0)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["n1", "n2", None])), max_size=8),
    st.integers(1, 4),
    st.dictionaries(st.sampled_from(["n1", "n2"]), st.integers(0, 4), min_size=1),
)
@settings(max_examples=200)
def test_all_gateways_together_ask_for_no_more_than_is_free_but_for_one_replica_each(
    wakes, gateways, nodes
):
    """In the worst case: none sees any of the others' writes."""
    world, asked, largest = fleet(nodes=nodes), 0, 0
    for gateway in range(gateways):
        vacancy, own = Vacancy(), 0
        for number, (gpus, where) in enumerate(wakes):
            allowed = None if where is None else frozenset({where})
            rev = revision(f"w{gateway}-{number}", gpus=gpus, nodes=allowed)
            if has(world, rev, vacancy=vacancy, gateways=gateways):
                vacancy.begin(rev, 0.0)
                own += gpus
                largest = max(largest, gpus)
        assert own <= sum(nodes.values())
        asked += own
    assert asked <= max(sum(nodes.values()), gateways * largest)

"""What the local cluster does next: each rule by example, and what holds whatever there is."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.cluster.local.reconcile import Create, Drop, Retire, Start, World, plan
from fleet.model import Drain, Phase, Policy, Ports, Replica, Revision, RuntimeName, Served
from fleet.names import ModelName, ReplicaName, RevisionName
from fleet.reasons import Reason

NEW, OLD = "new", "old"


def revision(name: str = "a", *, replicas: int, gpus: int = 1, drain: str = "") -> Revision:
    return Revision(
        name=RevisionName(name),
        models=(Served(name=ModelName(name), served=name),),
        runtime=RuntimeName.PLAIN,
        ports=Ports(http=8000),
        policy=Policy(),
        gpus=gpus,
        replicas=replicas,
        version="1",
        template=NEW,
        drain=Drain(number=1, replicas=frozenset(map(ReplicaName, drain))) if drain else None,
    )


def replica(
    name: str, phase: Phase = Phase.LOADING, *, is_open: bool = False, template: str = NEW
) -> Replica:
    return Replica(
        name=ReplicaName(name),
        phase=phase,
        since=float(ord(name[0])),
        template=template,
        address="127.64.0.1" if is_open else None,
        gpus=0 if phase in (Phase.PENDING, Phase.FAILED) else 1,
    )


def opened(name: str, **changes: object) -> Replica:
    return replica(name, is_open=True, **changes)  # type: ignore[arg-type]


def stale(name: str, phase: Phase = Phase.LOADING) -> Replica:
    return replica(name, phase, template=OLD, is_open=phase is Phase.LOADING)


def steps(
    wanted: Revision | None, *replicas: Replica, free: int = 0, due: str = ""
) -> tuple[object, ...]:
    return plan(
        World(
            revisions={wanted.name: wanted} if wanted else {},
            replicas={RevisionName("a"): replicas},
            free=free,
            due=frozenset(map(ReplicaName, due)),
        )
    )


def test_missing_ones_are_created_and_nothing_else_is_done() -> None:
    assert steps(revision(replicas=2), opened("x")) == (Create(revision=RevisionName("a")),)


def test_enough_is_left_alone() -> None:
    assert steps(revision(replicas=2), opened("x"), replica("y"), free=1) == ()


def test_draining_ones_do_not_count() -> None:
    found = steps(revision(replicas=1), replica("x", Phase.DRAINING))
    assert found == (Create(revision=RevisionName("a")),)


@pytest.mark.parametrize(
    ("drain", "replicas", "victim"),
    [
        ("x", (opened("x"), opened("y"), replica("z")), "x"),
        ("", (opened("x"), replica("y"), opened("z")), "y"),
        ("", (opened("x"), opened("y"), opened("z")), "z"),
        ("xz", (opened("x"), opened("y"), opened("z")), "z"),
        ("xy", (opened("x"), replica("y"), opened("z")), "y"),
    ],
)
def test_drained_then_not_open_then_youngest_go_first(
    drain: str, replicas: tuple[Replica, ...], victim: str
) -> None:
    found = steps(revision(replicas=2, drain=drain), *replicas)
    assert found == (Retire(replica=ReplicaName(victim), reason=Reason.STOPPING),)


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.FAILED])
def test_one_without_a_process_is_dropped(phase: Phase) -> None:
    assert steps(revision(replicas=0), replica("x", phase)) == (Drop(replica=ReplicaName("x")),)


def test_replicas_of_a_removed_revision_end() -> None:
    found = steps(None, opened("x"), replica("y", Phase.PENDING), replica("z", Phase.DRAINING))
    assert found == (
        Retire(replica=ReplicaName("x"), reason=Reason.REMOVED),
        Drop(replica=ReplicaName("y")),
    )


def test_a_failed_one_stays_until_its_back_off_is_over() -> None:
    failed = replica("x", Phase.FAILED)
    assert steps(revision(replicas=1), failed, free=1) == ()
    assert steps(revision(replicas=1), failed, free=1, due="x") == (
        Drop(replica=ReplicaName("x")),
        Create(revision=RevisionName("a")),
    )


def test_the_eldest_pending_gets_the_gpu_across_revisions() -> None:
    a, b, c = (revision(name, replicas=1) for name in "abc")
    world = World(
        revisions={each.name: each for each in (a, b, c)},
        replicas={
            a.name: [replica("z", Phase.PENDING)],
            b.name: [replica("x", Phase.PENDING)],
            c.name: [replica("y", Phase.PENDING)],
        },
        free=2,
    )
    assert plan(world) == (
        Start(replica=ReplicaName("x"), gpus=1),
        Start(replica=ReplicaName("y"), gpus=1),
    )


def test_one_that_needs_more_than_is_free_does_not_hold_up_the_next() -> None:
    big, small = revision("big", replicas=1, gpus=2), revision("small", replicas=1)
    world = World(
        revisions={big.name: big, small.name: small},
        replicas={
            big.name: [replica("x", Phase.PENDING)],
            small.name: [replica("y", Phase.PENDING)],
        },
        free=1,
    )
    assert plan(world) == (Start(replica=ReplicaName("y"), gpus=1),)


def test_one_without_gpus_starts_when_none_is_free() -> None:
    found = steps(revision(replicas=1, gpus=0), replica("x", Phase.PENDING))
    assert found == (Start(replica=ReplicaName("x"), gpus=0),)


def test_a_changed_template_surges_when_a_gpu_is_free() -> None:
    assert steps(revision(replicas=1), stale("x"), free=1) == (Create(revision=RevisionName("a")),)
    assert steps(revision(replicas=1), stale("x"), replica("y"), free=1) == ()
    assert steps(revision(replicas=1), stale("x"), opened("y")) == (
        Retire(replica=ReplicaName("x"), reason=Reason.TEMPLATE_CHANGED),
    )


def test_a_changed_template_retires_first_when_no_gpu_is_free() -> None:
    wanted = revision(replicas=2)
    assert steps(wanted, stale("x"), stale("y")) == (
        Retire(replica=ReplicaName("y"), reason=Reason.TEMPLATE_CHANGED),
    )
    going = replace(stale("y"), phase=Phase.DRAINING)
    assert steps(wanted, stale("x"), going) == (Create(revision=RevisionName("a")),)
    # The other old one serves until the new one is open.
    assert steps(wanted, stale("x"), going, replica("z", Phase.PENDING)) == ()
    assert steps(wanted, stale("x"), replica("z")) == ()
    assert steps(wanted, stale("x"), opened("z")) == (
        Retire(replica=ReplicaName("x"), reason=Reason.TEMPLATE_CHANGED),
    )


def test_a_gpu_that_someone_waits_for_is_not_taken_by_a_surge() -> None:
    rolling, waiting = revision("a", replicas=1), revision("b", replicas=1)
    world = World(
        revisions={rolling.name: rolling, waiting.name: waiting},
        replicas={rolling.name: [stale("x")], waiting.name: [replica("y", Phase.PENDING)]},
        free=1,
    )
    assert plan(world) == (Start(replica=ReplicaName("y"), gpus=1),)


def test_a_new_template_that_fails_leaves_the_old_one_serving() -> None:
    failed = replica("y", Phase.FAILED)
    assert steps(revision(replicas=1), stale("x"), failed, free=1) == ()


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.FAILED])
def test_out_of_date_ones_without_a_process_are_replaced_at_once(phase: Phase) -> None:
    assert steps(revision(replicas=1), stale("x", phase)) == (
        Drop(replica=ReplicaName("x")),
        Create(revision=RevisionName("a")),
    )


NAMES = [ReplicaName(f"r{n}") for n in range(6)]
REVISIONS = [RevisionName(name) for name in "abc"]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[World, int]:
    """A world that may be met on the way, and how many GPUs there are."""
    total = draw(st.integers(0, 3))
    free = total
    revisions, replicas = {}, {}
    number = 0
    for name in REVISIONS:
        gpus = draw(st.integers(0, 2))
        found = []
        for _ in range(draw(st.integers(0, 3))):
            number += 1
            phase = draw(st.sampled_from([p for p in Phase if p.value not in ("asleep", "ready")]))
            holds = phase in (Phase.LOADING, Phase.DRAINING)
            if holds and gpus > free:
                phase, holds = Phase.PENDING, False
            free -= gpus if holds else 0
            made = replica(
                "r",
                phase,
                is_open=holds and draw(st.booleans()),
                template=draw(st.sampled_from([NEW, OLD])),
            )
            found.append(
                replace(
                    made,
                    name=ReplicaName(f"r{number}"),
                    since=float(number),
                    gpus=gpus if holds else 0,
                )
            )
        if draw(st.integers(0, 4)):
            drain = draw(st.sets(st.sampled_from([r.name for r in found]))) if found else set()
            wanted = revision(name, replicas=draw(st.integers(0, 3)), gpus=gpus)
            mark = Drain(number=1, replicas=frozenset(drain)) if drain else None
            revisions[name] = replace(wanted, drain=mark)
        replicas[name] = tuple(found)
    return World(revisions=revisions, replicas=replicas, free=free), total


def take(world: World, step: object, number: int) -> World:
    """The world after a step."""
    replicas = {name: list(found) for name, found in world.replicas.items()}
    free = world.free
    for name, found in replicas.items():
        for index, each in enumerate(found):
            if each.name != getattr(step, "replica", None):
                continue
            match step:
                case Start(gpus=gpus):
                    assert each.phase is Phase.PENDING
                    assert gpus == world.revisions[name].gpus
                    free -= gpus
                    found[index] = replace(each, phase=Phase.LOADING, gpus=gpus)
                case Retire():
                    assert each.phase is Phase.LOADING
                    found[index] = replace(each, phase=Phase.DRAINING)
                case Drop():
                    assert each.phase in (Phase.PENDING, Phase.FAILED)
                    found.remove(each)
            break
    if isinstance(step, Create):
        made = replace(
            replica("n", Phase.PENDING), name=ReplicaName(f"n{number}"), since=1e6 + number
        )
        replicas.setdefault(step.revision, []).append(made)
    return replace(world, replicas=replicas, free=free)


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_it_comes_to_rest_with_what_is_wanted_and_never_gives_a_gpu_twice(
    start: tuple[World, int],
) -> None:
    world, total = start
    for number in range(60):
        found = plan(world)
        if not found:
            break
        for place, step in enumerate(found):
            world = take(world, step, 100 * number + place)
        held = sum(r.gpus for replicas in world.replicas.values() for r in replicas)
        assert world.free >= 0
        assert held + world.free == total
    else:
        pytest.fail("never comes to rest")
    for name, replicas in world.replicas.items():
        live = [r for r in replicas if r.phase is not Phase.DRAINING]
        if name not in world.revisions:
            assert not live
            continue
        wanted = world.revisions[name].replicas
        surplus = len(live) - wanted
        assert 0 <= surplus <= min(1, sum(r.template == OLD for r in live))


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_rollouts_never_take_the_last_open_one_before_the_next_while_a_gpu_is_free(
    start: tuple[World, int],
) -> None:
    world, _ = start
    for step in plan(world):
        if isinstance(step, Retire) and step.reason is Reason.TEMPLATE_CHANGED:
            name, victim = next(
                (n, r) for n, rs in world.replicas.items() for r in rs if r.name == step.replica
            )
            if victim.address is None:
                continue
            fresh = [r for r in world.replicas[name] if r.template == NEW and r.address]
            assert fresh or world.free < world.revisions[name].gpus

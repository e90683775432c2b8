"""From decisions to targets: newcomers, what is left to the activator, who counts as held."""

from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.core.arrange import Case, Rules, arrange
from autoscaler.core.decide import decide
from autoscaler.core.footing import Footing
from autoscaler.core.memory import Tuning, remember_nothing
from autoscaler.core.seen import Seen, ServerSeen
from fleet.model import Drain, Fleet, GpuNode, GpuPool, Mode, Phase, Policy, Replica
from fleet.names import ReplicaName
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
    fleet = Fleet(gpus=(GpuPool(name="gpu", total=total, free=free),))
    standings = arrange(cases, fleet, Rules(tick=2.0, min_residency=0.0), now=10.0)
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


@pytest.mark.parametrize(("marked", "goes"), [("gone", "old"), ("dear0", "dear")])
def test_a_mark_of_replicas_that_are_gone_makes_nobody_the_next_to_go(marked, goes):
    """It may stand for them beyond the model's next wake."""
    dear = case("dear", Phase.READY, policy=replace(POLICY, priority=9))
    drain = Drain(number=1, replicas=frozenset({ReplicaName(marked)}))
    dear = replace(dear, revision=replace(dear.revision, drain=drain))
    got = arranged(dear, case("old", Phase.READY), case("new", waiting=1), total=2)
    assert [name for name, one in got.items() if one.reason is Reason.EVICTED] == [goes]


@pytest.mark.parametrize("mode", [Mode.ADVISE, Mode.OFF])
def test_only_auto_gives_or_takes(mode):
    policy = replace(POLICY, mode=mode)
    got = arranged(case("old", Phase.READY, policy=policy), case("new", waiting=1))
    assert (got["old"].target, got["new"].target) == (1, 0)
    assert got["new"].reason is Reason.NO_FREE_GPU
    got = arranged(case("old", Phase.READY), case("new", waiting=1, policy=policy))
    assert (got["old"].target, got["new"].target) == (1, 0)


@pytest.mark.parametrize("other", ["old", "new"])
def test_what_something_else_scales_gives_no_gpu_and_takes_none(other):
    cases = [case("old", Phase.READY), case("new", waiting=1)]
    got = arranged(
        *(
            replace(one, revision=replace(one.revision, second_writer="keda"))
            if one.revision.model == other
            else one
            for one in cases
        )
    )
    assert (got["old"].target, got["new"].target, got["new"].victims) == (1, 0, ())


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


@pytest.mark.parametrize("how", [{"waiting": 1}, {"policy": replace(POLICY, pinned=True)}])
def test_nobody_gives_a_gpu_for_a_model_whose_starts_fail(how):
    broken = replace(case("new", **how), spares=True)
    got = arranged(case("old", Phase.READY), broken)
    assert (got["old"].target, got["new"].target) == (1, 0)
    assert got["new"].reason is Reason.NO_FREE_GPU
    assert "while its starts fail" in got["new"].message
    assert arranged(broken, free=1)["new"].target == 1, "a free one it may have"


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


# Nodes, and nodes to come.


def nodes(*cases, free=None, reason=None, rules=None, **pool):
    """The cases' replicas hold a GPU each on nodes of their own names; `free`: by node."""
    free = free or {}
    names = {member.name: case for case in cases for member in case.seen.members}
    fleet = Fleet(
        revisions=MappingProxyType({case.revision.name: case.revision for case in cases}),
        replicas=MappingProxyType(
            {
                case.revision.name: tuple(
                    Replica(
                        name=member.name,
                        phase=Phase.LOADING if member.phase is Phase.READY else member.phase,
                        since=member.since,
                        template=case.revision.template,
                        node=None if member.phase is Phase.PENDING else member.name,
                        gpus=0 if member.phase is Phase.PENDING else case.revision.gpus,
                        reason=reason if member.phase is Phase.PENDING else None,
                    )
                    for member in case.seen.members
                )
                for case in cases
            }
        ),
        gpus=(GpuPool(name="gpu", total=9, free=sum(free.values()), **pool),),
        nodes=tuple(
            GpuNode(name=name, gpu_class="gpu", total=2, free=free.get(name, 0))
            for name in {*names, *free}
        ),
    )
    standings = arrange(cases, fleet, rules or Rules(), now=10.0)
    return {standing.revision.partition("/")[2]: standing for standing in standings}


def on(made, *names):
    return replace(made, revision=replace(made.revision, nodes=frozenset(names)))


def test_the_replica_on_the_right_node_is_drained():
    new = on(case("new", waiting=1), "old1")
    got = nodes(case("old", Phase.READY, Phase.READY, Phase.READY), new)
    assert (got["old"].target, got["old"].first, got["new"].target) == (2, {"old1"}, 1)
    assert got["new"].victims == ("default/old",)


def test_nobody_is_evicted_who_is_not_where_the_newcomer_may_go():
    got = nodes(case("old", Phase.READY), on(case("new", waiting=1), "elsewhere"))
    assert (got["old"].target, got["new"].target) == (1, 0)
    assert got["new"].reason is Reason.NO_FREE_GPU


def test_the_pod_of_a_rollout_is_nobodys_newcomer():
    rolling = case("rolling", Phase.READY, Phase.PENDING, waiting=1)
    rolling = replace(rolling, revision=replace(rolling.revision, replicas=1))
    got = nodes(case("idle", Phase.READY), rolling)
    assert (got["idle"].target, got["rolling"].target) == (1, 1)
    # Neither does it take from the budget what others may have.
    got = nodes(rolling, case("new", waiting=1), free={"n": 1})
    assert got["new"].target == 1


def test_a_pod_that_waits_for_something_else_than_a_gpu_is_in_nobodys_way():
    waits = case("waits", Phase.PENDING, waiting=1)
    for reason, target in ((Reason.NO_FREE_GPU, 0), (Reason.UNSCHEDULABLE, 1)):
        got = nodes(waits, case("new", waiting=1), free={"n": 1}, reason=reason)
        assert (got["waits"].target, got["new"].target) == (1, target)
        got = nodes(waits, case("idle", Phase.READY), reason=reason)
        assert got["idle"].target == target


def test_a_gpu_that_is_free_is_left_to_the_activators_up_to_their_parts():
    burst = [case(f"m{n}", waiting=1, waited=n / 100) for n in range(6)]
    for gateways, left in ((1, 4), (2, 2), (3, 1), (9, 1)):
        got = nodes(*burst, free={"n1": 2, "n2": 2}, rules=Rules(gateways=gateways))
        assert [name for name in got if got[name].left] == [f"m{n}" for n in range(6 - left, 6)]
        assert sum(one.target for one in got.values()) == 4


def test_a_model_without_gpus_is_left_to_them_however_many_there_are():
    burst = [case(f"m{n}", waiting=1, gpus=0) for n in range(6)]
    assert all(one.left for one in nodes(*burst, rules=Rules(gateways=9)).values())


def test_where_a_pod_that_waits_buys_a_node_nothing_is_left_and_nothing_written_too_early():
    got = nodes(case("new", waiting=1), free={"n": 1}, grows=True)["new"]
    assert (got.target, got.left) == (1, False)
    got = nodes(case("old", Phase.READY), case("new", waiting=1), grows=True, elastic=4)
    assert (got["old"].target, got["old"].reason) == (0, Reason.EVICTED)
    assert (got["new"].target, got["new"].reason) == (0, Reason.DEMAND)
    assert (got["new"].deferred, got["new"].victims) == (True, ("default/old",))


def test_it_is_promised_the_gpu_that_is_being_freed_until_it_may_be_written():
    old, new = case("old", Phase.READY), case("new", waiting=1)
    seen = replace(old.seen, replicas=0)
    old = replace(
        old,
        revision=replace(old.revision, replicas=0, enacted=False),
        seen=seen,
        decision=decide(remember_nothing(Tuning()), seen, POLICY, 10.0),
    )
    got = nodes(old, new, grows=True, elastic=4)
    assert (got["new"].target, got["new"].deferred, got["new"].victims) == (0, True, ())
    # Its victim is called again, and is more important: the promise holds.
    high = replace(POLICY, priority=5)
    again = case("old", waiting=1, waited=9.0, policy=high)
    got = nodes(again, replace(new, promised=True), free={"n": 1}, grows=True)
    assert (got["new"].target, got["old"].target) == (1, 0)
    assert not got["new"].deferred
    # Whoever waited for it has left: another model gave its GPU for it all the same.
    left = case("new")
    left = replace(left, promised=True, decision=replace(left.decision, after=1))
    got = nodes(again, left, free={"n": 1}, grows=True)
    assert (got["new"].target, got["old"].target) == (1, 0)


@pytest.mark.parametrize(("waited", "target"), [(0.0, 0), (3.9, 0), (4.0, 1)])
def test_a_node_is_asked_for_when_nobody_has_become_idle_for_two_ticks(waited, target):
    busy = case("busy", Phase.READY, waiting=1)
    got = nodes(busy, case("new", waiting=1, waited=waited), grows=True, elastic=1)
    assert (got["busy"].target, got["new"].target) == (1, target)


def test_a_pinned_model_that_nobody_waits_for_asks_for_a_node_at_once():
    pinned = case("new", policy=replace(POLICY, pinned=True))
    got = nodes(case("busy", Phase.READY, waiting=1), pinned, grows=True, elastic=1)
    assert got["new"].target == 1


def test_grow_first_asks_before_it_evicts():
    pair = (case("old", Phase.READY), case("new", waiting=1))
    got = nodes(*pair, grows=True, elastic=1, rules=Rules(grow_first=True))
    assert (got["old"].target, got["new"].target) == (1, 1)
    got = nodes(*pair, grows=True, rules=Rules(grow_first=True))
    assert got["old"].target == 0


def test_a_model_that_is_rolled_out_loses_all_its_replicas_or_none():
    rolled = Footing(settled=False)
    one = replace(case("one", Phase.READY), footing=rolled)
    two = replace(case("two", Phase.READY, Phase.READY), footing=rolled)
    assert nodes(two, case("new", waiting=1))["two"].target == 2
    assert nodes(one, case("new", waiting=1))["one"].target == 0


def test_one_whose_rollout_hangs_loses_them_all_where_nobody_else_is_idle():
    """Its new pod may wait for what its old ones hold: that would never be over."""
    hung = Footing(settled=False, hangs=True)
    two = replace(case("two", Phase.READY, Phase.READY), footing=hung)
    assert nodes(two, case("new", waiting=1))["two"].target == 0
    other = case("other", Phase.READY, policy=replace(POLICY, priority=9))
    got = nodes(two, other, case("new", waiting=1))
    assert (got["two"].target, got["other"].target) == (2, 0)


def queued(name, *phases, **more):
    """One is idle, one has pods that wait for a GPU, one comes."""
    cases = (case("idle", Phase.READY), case(name, *phases, **more), case("new", waiting=1))
    return arranged(*cases, total=len(phases))


def test_a_wake_that_nobody_waits_for_any_more_is_carried_to_its_end_first():
    got = queued("left", Phase.PENDING)
    assert (got["idle"].target, got["left"].target, got["new"].target) == (0, 1, 0)
    assert got["left"].victims == ("default/idle",)


def test_a_model_that_has_replicas_gives_up_those_that_keep_a_newcomer_waiting():
    got = queued("more", Phase.READY, Phase.PENDING, waiting=1)
    assert (got["idle"].target, got["more"].target, got["new"].target) == (0, 1, 1)
    assert got["new"].victims == ("default/idle", "default/more")
    assert (got["more"].reason, got["more"].message) == (Reason.EVICTED, "for new")


@pytest.mark.parametrize("mode", [Mode.ADVISE, Mode.OFF])
def test_but_only_where_ebbtide_scales(mode):
    policy = replace(POLICY, mode=mode)
    for phases in ([Phase.PENDING], [Phase.READY, Phase.PENDING]):
        got = queued("other", *phases, policy=policy)
        assert (got["other"].target, got["idle"].target) == (len(phases), 1)


def test_nobody_gives_anything_up_for_a_newcomer_that_has_room():
    cases = case("more", Phase.READY, Phase.PENDING, waiting=1), case("new", waiting=1)
    got = arranged(*cases, total=3, free=2)
    assert (got["more"].target, got["new"].target) == (2, 1)


def test_one_that_is_written_away_already_is_nobodys_victim():
    """Its replica is there still, and ready: its GPU is on the way to somebody else."""
    one = case("one", Phase.READY)
    gone = replace(one, revision=replace(one.revision, replicas=0))
    got = nodes(gone, case("new", waiting=1))
    assert got["new"].victims == ()
    assert got["one"].reason is not Reason.EVICTED


@st.composite
def crowds(draw):
    """A few models of one class, in all sorts of states, and how many GPUs there are."""
    made = []
    for number in range(draw(st.integers(1, 4))):
        phases = draw(st.lists(st.sampled_from([Phase.READY, *Phase]), max_size=3))
        policy = Policy(
            slots=4,
            keep_alive=draw(st.sampled_from([1.0, 1e6])),
            min_replicas=draw(st.integers(0, 2)),
            pinned=draw(st.booleans()),
            mode=draw(st.sampled_from([Mode.AUTO, Mode.AUTO, Mode.ADVISE, Mode.OFF])),
        )
        shown = [phase for phase in phases if phase not in (Phase.ASLEEP, Phase.DRAINING)]
        waiting = draw(st.sampled_from([0, 0, 2]))
        made.append(case(f"m{number}", *shown, waiting=waiting, policy=policy))
    return made, draw(st.integers(0, 6))


@given(crowds())
def test_what_demands_nothing_is_where_its_own_decision_says(crowd):
    cases, total = crowd
    calm = [one for one in cases if not one.demands]
    newcomer = case("other", waiting=1)
    newcomer = replace(newcomer, revision=replace(newcomer.revision, gpu_class="other"))
    assert newcomer.demands
    pools = (GpuPool(name="gpu", total=total, free=0), GpuPool(name="other", total=1, free=1))
    found = [
        arrange(each, Fleet(gpus=pools), Rules(tick=2.0, min_residency=0.0), now=10.0)
        for each in (calm, [*calm, newcomer])
    ]
    assert found[0] == found[1][: len(calm)]

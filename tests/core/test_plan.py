"""Actions in order: two-phase scale-down, taking back, swaps, and that a plan ends."""

from dataclasses import replace

import pytest

from autoscaler.core.footing import Footing, first_number
from autoscaler.core.plan import ClearDrain, Mark, Scale, Standing, lowered, plan, without
from fleet.model import Drain, Phase
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from tests.core.autoscaling import replica


def standing(name="a", replicas=1, target=1, reason=Reason.KEEP_ALIVE, **changes):
    members = tuple(replica(f"{name}{i}", at=float(i)) for i in range(replicas))
    return Standing(
        **{
            "revision": RevisionName(name),
            "version": "7",
            "replicas": replicas,
            "target": target,
            "reason": reason,
            "members": members,
            **changes,
        }
    )


def drain(number, *names):
    return Drain(number=number, replicas=frozenset(map(ReplicaName, names)))


def short(steps):
    """A plan as words."""
    return [" ".join(_word(action) for action in step) for step in steps]


def _word(action):
    match action:
        case Mark(revision=name, drain=marked):
            return f"{name}!{marked.number}({','.join(sorted(marked.replicas))})"
        case ClearDrain(revision=name):
            return f"{name}?"
        case Scale(revision=name, before=before, after=after):
            return f"{name}:{before}>{after}"


LEADS = Footing(term=2)
FIRST = first_number(2) + 1


def beside(*names, pods, **changes):
    """`pods` replicas, and some that the cluster refuses to make."""
    refused = tuple(replica(name, Phase.FAILED, made=False, at=9.0) for name in names)
    members = standing(replicas=pods).members + refused
    one = standing(replicas=len(members), **changes)
    return replace(one, members=members, footing=LEADS)


def marked(*names):
    """As a mark of pods is read back: it names no replica that is in none."""
    return replace(drain(FIRST, *names), term=2)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (beside("x", pods=0, target=0), ["a:1>0"]),
        (beside("x", "y", pods=1, target=2), ["a:3>2"]),
        (beside("x", pods=2, target=1), [f"a!{FIRST}(a1)"]),
        (beside("x", pods=1, target=0), [f"a!{FIRST}(a0)"]),
        (beside("x", pods=1, target=0, drain=marked("a0")), []),
        (beside("x", pods=1, target=0, drain=marked("a0"), acknowledged=FIRST), ["a:2>0"]),
        (beside("x", pods=1, target=1, drain=marked()), ["a:2>1"]),
        (beside("x", pods=0, target=1, drain=marked()), ["a?"]),
        (beside("x", pods=0, target=0, drain=drain(4)), [f"a!{FIRST}()"]),
        (beside("x", pods=0, target=0, drain=marked()), ["a:1>0"]),
    ],
)
def test_what_the_cluster_refuses_to_make_needs_no_mark(one, expected):
    assert short(plan([one])) == expected


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (standing(target=1), []),
        (standing(target=3), ["a:1>3"]),
        (standing(target=3, left=True), []),
        (standing(target=0), ["a!1(a0)"]),
        (standing(replicas=3, target=2), ["a!1(a2)"]),
        (standing(replicas=3, target=1), ["a!1(a1,a2)"]),
        (standing(replicas=3, target=2, first=frozenset({"a0"})), ["a!1(a0)"]),
        (standing(target=0, drain=drain(4, "a0")), []),
        (standing(target=0, drain=drain(4, "a0"), acknowledged=3), []),
        (standing(target=0, drain=drain(4, "a0"), acknowledged=4), ["a:1>0"]),
        (standing(target=0, drain=drain(4, "a0"), acknowledged=4, known=False), ["a:1>0"]),
        (standing(target=0, footing=Footing(last_drain=8), acknowledged=5), ["a!9(a0)"]),
        (standing(target=0, drain=drain(4, "a0"), acknowledged=5), []),
        (standing(replicas=3, target=0, drain=drain(1, "a2"), acknowledged=1), ["a!2(a0,a1,a2)"]),
        (standing(replicas=3, target=2, drain=drain(4, "a0"), acknowledged=4), ["a:3>2"]),
        (standing(target=1, drain=drain(4, "a0"), acknowledged=4), ["a?"]),
        (standing(target=2, drain=drain(4, "a0")), ["a?"]),
        (standing(target=1, drain=drain(4, "a0"), known=False), []),
        (standing(target=1, drain=drain(4, "gone"), known=False), ["a?"]),
        (standing(replicas=0, target=0, drain=drain(4, "gone")), ["a?"]),
    ],
)
def test_one_revision(one, expected):
    assert short(plan([one])) == expected


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("term", [0, 3])
def test_the_mark_of_another_ebbtide_is_left_alone(target, term):
    theirs = replace(drain(4, "a0"), foreign=True)
    one = standing(target=target, drain=theirs, acknowledged=4, footing=Footing(term=term))
    assert plan([one]) == ()


@pytest.mark.parametrize(
    ("phase", "open_", "expected"),
    [
        (Phase.PENDING, False, ["a:1>0"]),
        (Phase.FAILED, False, ["a:1>0"]),
        (Phase.LOADING, False, ["a:1>0"]),
        (Phase.LOADING, True, ["a!1(x)"]),
    ],
)
def test_what_no_gateway_can_reach_needs_no_drain(phase, open_, expected):
    one = standing(target=0, members=(replica("x", phase, open=open_),))
    assert short(plan([one])) == expected


LED = Footing(term=2, last_drain=first_number(2))
"""As everywhere where there are several processes."""


def marked(number, *names, term=2):
    return replace(drain(first_number(2) + number, *names), term=term)


def led(**changes):
    return standing(**{"footing": LED, **changes})


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (led(drain=marked(1, "gone")), []),
        (led(drain=marked(1, "gone"), target=2), ["a:1>2"]),
        (led(drain=marked(1, "gone"), target=0), [f"a!{first_number(2) + 2}(a0,gone)"]),
        (led(drain=marked(1, "gone", "a0"), target=2), ["a?"]),
        (led(drain=marked(1, "gone", term=1)), [f"a!{first_number(2) + 2}(gone)"]),
    ],
)
def test_what_some_gateway_still_has_stays_marked(one, expected):
    """And keeps nobody from what is wanted now."""
    lingering = frozenset({ReplicaName("gone")})
    footing = replace(LED, last_drain=first_number(2) + 1, lingering=lingering)
    assert short(plan([replace(one, footing=footing)])) == expected


def numbers(steps):
    return [action.drain.number for step in steps for action in step if isinstance(action, Mark)]


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.FAILED, Phase.LOADING])
def test_between_processes_nothing_goes_without_a_drain(phase):
    """Another process may know it as open already."""
    one = led(target=0, members=(replica("x", phase, open=False),))
    assert short(plan([one])) == [f"a!{first_number(2) + 1}(x)"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"target": 0}, ["new_leader"]),
        ({"target": 1}, ["new_leader"]),
        ({"target": 2}, ["new_leader"]),
        ({"target": 1, "known": False}, ["new_leader"]),
        ({"target": 0, "acknowledged": first_number(1) + 9}, ["new_leader"]),
    ],
)
def test_a_mark_of_another_term_is_taken_over_before_anything_else(changes, expected):
    old = replace(drain(first_number(1) + 9, "a0"), term=1)
    one = led(drain=old, **changes)
    steps = plan([one])
    assert [action.reason.value for step in steps for action in step] == expected
    ((mark,),) = steps
    assert mark.drain == marked(1, "a0")


def test_a_mark_of_another_term_names_those_that_go_now():
    old = replace(drain(9, "a0", "gone"), term=1)
    ((mark,),) = plan([led(replicas=3, target=1, drain=old)])
    assert mark.drain.replicas == {"a0", "a2"}
    ((mark,),) = plan([led(replicas=3, target=3, drain=old)])
    assert mark.drain.replicas == {"a0"}


def test_a_mark_of_another_term_of_nobody_is_cleared():
    old = replace(drain(9, "gone"), term=1)
    assert short(plan([led(drain=old)])) == ["a?"]
    assert short(plan([led(replicas=0, target=0, drain=old)])) == ["a?"]


def test_a_later_turn_has_higher_numbers_whatever_was_forgotten():
    used = []
    for term in range(1, 5):
        one = led(target=0, footing=Footing(term=term))
        used += numbers(plan([one]))
        one = replace(one, footing=Footing(term=term, last_drain=used[-1]))
        used += numbers(plan([one]))
    assert used == sorted(set(used))


def test_a_number_that_was_seen_is_passed_over():
    near, far = marked(1, "x"), marked(5000, "x")
    assert numbers(plan([led(target=0, drain=near)])) == [near.number + 1]
    assert numbers(plan([led(target=0, drain=far)])) == [near.number]


def test_whoever_may_still_go_for_what_was_written_is_not_taken_back():
    one = led(target=1, drain=marked(1, "a0"), footing=replace(LED, sure=False))
    assert plan([one]) == ()
    assert short(plan([replace(one, footing=LED)])) == ["a?"]


def test_whoever_may_still_go_stays_marked_when_others_are_to_go():
    members = [replica(f"a{n}", at=float(n)) for n in range(4)]
    members[0] = replace(members[0], available=False)
    one = led(replicas=4, target=3, members=tuple(members), drain=marked(1, "a3"))
    falling = replace(one, footing=replace(LED, sure=False))
    both = f"a!{marked(2).number}(a0,a3)"
    assert short(plan([falling])) == [both], "a3 may go for a write of before"
    named = replace(falling, drain=marked(2, "a0", "a3"))
    assert plan([named]) == (), "named once"
    done = replace(named, acknowledged=marked(2).number)
    assert short(plan([done])) == ["a:4>3"]
    late = replace(falling, drain=marked(1, "a3", term=1))
    assert short(plan([late])) == [both], "a former leader's too"
    assert short(plan([one])) == [f"a!{marked(2).number}(a0)"]


def test_fewer_but_some_wait_until_the_rollout_is_over():
    one = led(replicas=3, target=2, footing=replace(LED, settled=False))
    assert plan([one]) == ()
    done = replace(one, drain=marked(1, "a2"), acknowledged=marked(1).number)
    assert plan([done]) == ()
    assert short(plan([replace(done, footing=LED)])) == ["a:3>2"]


def test_fewer_but_some_wait_until_all_that_stay_are_held_ready():
    members = [replica(f"a{n}", at=float(n)) for n in range(3)]
    members[1] = replace(members[1], available=False)
    one = led(replicas=3, target=2, members=tuple(members))
    assert short(plan([one])) == [f"a!{marked(1).number}(a1)"], "the cluster takes it anyway"
    done = replace(one, drain=marked(1, "a1"), acknowledged=marked(1).number)
    assert short(plan([done])) == ["a:3>2"]
    other = replace(done, drain=marked(1, "a2"))
    assert short(plan([other])) == [f"a!{marked(2).number}(a1)"], "it would take another"
    members[0] = replace(members[0], available=False)
    assert plan([replace(one, members=tuple(members))]) == ()
    assert plan([replace(done, members=tuple(members))]) == ()


def test_none_at_all_waits_for_no_rollout():
    one = led(target=0, footing=replace(LED, settled=False))
    assert short(plan([one])) == [f"a!{marked(1).number}(a0)"]
    done = replace(one, drain=marked(1, "a0"), acknowledged=marked(1).number)
    assert short(plan([done])) == ["a:1>0"]


def test_replicas_that_are_not_shown_are_not_written_away_unseen():
    one = led(replicas=2, target=0, members=(), footing=replace(LED, settled=False))
    assert plan([one]) == ()
    assert short(plan([replace(one, footing=LED)])) == ["a:2>0"]


def test_nothing_is_written_while_a_gateway_knows_more_than_the_snapshot():
    one = led(target=0, drain=marked(1, "a0"), acknowledged=marked(1).number)
    behind = replace(one, footing=replace(LED, behind=True))
    assert plan([behind]) == ()
    assert short(plan([one])) == ["a:1>0"]


def test_a_swap_waits_for_a_victim_that_must_be_taken_over_first():
    old = replace(drain(9, "old0"), term=1)
    victim = led(name="old", target=0, reason=Reason.EVICTED, drain=old, acknowledged=9)
    new = led(name="new", replicas=0, reason=Reason.DEMAND, victims=(victim.revision,))
    assert short(plan([new, victim])) == [f"old!{marked(1).number}(old0)"]


def test_what_is_lowered_is_told():
    victim = standing("old", target=0, drain=drain(1, "old0"), acknowledged=1)
    steps = plan([newcomer(victims=(victim.revision,)), victim, standing("up", target=2)])
    assert lowered(steps) == {"old"}
    assert lowered(plan([standing("up", target=2), standing("b", target=0)])) == frozenset()


def test_those_not_ready_go_before_the_youngest():
    members = (replica("r", at=5.0), replica("l", Phase.LOADING, open=True, at=1.0))
    assert short(plan([standing(replicas=2, members=members)])) == ["a!1(l)"]


def test_a_write_of_unreachable_replicas_waits_for_an_older_mark_of_others():
    members = (replica("r"), replica("p", Phase.PENDING))
    one = standing(replicas=2, target=1, members=members, drain=drain(3, "r"))
    assert short(plan([one])) == [], "the marked one goes, once that is acknowledged"


def newcomer(name="new", **changes):
    changes = {"replicas": 0, "target": 1, "reason": Reason.DEMAND, **changes}
    return standing(name, **changes)


def test_a_swap_is_marked_first_and_then_written_in_one_step():
    victim = standing("old", target=0, reason=Reason.EVICTED)
    new = newcomer(victims=(victim.revision,))
    assert short(plan([new, victim])) == ["old!1(old0)"]
    marked = replace(victim, drain=drain(1, "old0"))
    assert plan([new, marked]) == ()
    done = replace(marked, acknowledged=1)
    assert short(plan([new, done])) == ["old:1>0 new:0>1"]
    (step,) = plan([done, new])
    assert [action.reason for action in step] == [Reason.EVICTED, Reason.DEMAND]
    assert all(action.expect == "7" for action in step)


def test_a_victim_that_is_written_already_is_not_written_again():
    """Its replica is there still: the cluster has not acted on it."""
    members = (replica("old0"),)
    victim = led(name="old", replicas=0, target=0, members=members, drain=marked(1, "old0"))
    done = replace(victim, acknowledged=marked(1).number, footing=replace(LED, sure=False))
    new = led(name="new", replicas=0, target=1, members=(), victims=(victim.revision,))
    assert short(plan([new, done])) == ["new:0>1"]


def test_a_swap_waits_for_its_last_victim():
    first = standing("x", target=0, drain=drain(1, "x0"), acknowledged=1)
    second = standing("y", target=0)
    new = newcomer(victims=(first.revision, second.revision))
    assert short(plan([new, first, second])) == ["y!1(y0)"]


def test_a_victim_shared_by_two_newcomers_is_written_once():
    victim = standing("old", replicas=2, target=0, drain=drain(1, "old0", "old1"), acknowledged=1)
    news = [newcomer(name, victims=(victim.revision,)) for name in ("n1", "n2")]
    assert short(plan([*news, victim])) == ["old:2>0 n1:0>1 n2:0>1"]


def test_a_stranded_newcomer_is_not_written_again():
    victim = standing("old", target=0, drain=drain(1, "old0"), acknowledged=1)
    members = (replica("p", Phase.PENDING),)
    new = standing("new", target=1, members=members, victims=(victim.revision,))
    assert short(plan([new, victim])) == ["old:1>0"]


def test_taking_back_comes_first_and_more_replicas_last():
    steps = plan(
        [
            standing("up", target=2),
            standing("down", target=0),
            standing("back", target=1, drain=drain(1, "back0")),
        ]
    )
    assert short(steps) == ["back?", "down!1(down0)", "up:1>2"]
    assert steps[0][0].reason is Reason.DRAIN_TAKEN_BACK


def test_steps_that_touch_a_failed_revision_are_left_out():
    victim = standing("old", target=0, drain=drain(1, "old0"), acknowledged=1)
    steps = plan([newcomer(victims=(victim.revision,)), victim, standing("up", target=2)])
    assert short(without(steps, frozenset({victim.revision}))) == ["up:1>2"]

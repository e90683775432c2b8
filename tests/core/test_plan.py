"""Actions in order: two-phase scale-down, taking back, swaps, and that a plan ends."""

from dataclasses import replace

import pytest

from autoscaler.core.plan import ClearDrain, Mark, Scale, Standing, plan, without
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


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (standing(target=1), []),
        (standing(target=3), ["a:1>3"]),
        (standing(target=3, left=True), []),
        (standing(target=0), ["a!1(a0)"]),
        (standing(replicas=3, target=2), ["a!1(a2)"]),
        (standing(replicas=3, target=1), ["a!1(a1,a2)"]),
        (standing(target=0, drain=drain(4, "a0")), []),
        (standing(target=0, drain=drain(4, "a0"), acknowledged=3), []),
        (standing(target=0, drain=drain(4, "a0"), acknowledged=4), ["a:1>0"]),
        (standing(target=0, drain=drain(4, "a0"), acknowledged=4, known=False), ["a:1>0"]),
        (standing(target=0, last_drain=8, acknowledged=5), ["a!9(a0)"]),
        (standing(replicas=3, target=0, drain=drain(4, "a2"), acknowledged=4), ["a!5(a0,a1,a2)"]),
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

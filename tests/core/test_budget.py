"""Who gets the GPUs there are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.core import budget
from autoscaler.core.budget import Rank, Share, Wish
from autoscaler.core.evict import Victim
from autoscaler.core.stock import Supply
from fleet.names import RevisionName
from tests.core.test_evict import candidate


def wish(name, held=0, wanted=1, rank=None, **changes):
    return Wish(
        **{
            "revision": RevisionName(name),
            "gpu_class": "gpu",
            "gpus": 1,
            "held": held,
            "wanted": wanted,
            "rank": rank if rank is not None else Rank.MORE if held else Rank.NEWCOMER,
            **changes,
        }
    )


def share(wishes, idle, totals, **supply):
    return budget.share(wishes, idle, Supply(totals=totals, **supply))


def got(shares):
    return {name: (one.replicas, one.short) for name, one in shares.items()}


def test_free_gpus_go_to_newcomers_by_priority_then_by_the_oldest_wait():
    wishes = [
        wish("a", oldest_wait=9.0),
        wish("b", priority=5),
        wish("c", oldest_wait=10.0),
        wish("d", held=1, wanted=5, priority=100),
    ]
    expected = {"a": (0, True), "b": (1, False), "c": (1, False), "d": (1, True)}
    assert got(share(wishes, [], {"gpu": 3})) == expected


def test_what_is_left_goes_to_minimums_and_then_to_more():
    wishes = [
        wish("more", held=1, wanted=9),
        wish("least", wanted=2, rank=Rank.MINIMUM),
        wish("new"),
    ]
    assert got(share(wishes, [], {"gpu": 3})) == {
        "new": (1, False),
        "least": (1, True),
        "more": (1, True),
    }
    assert got(share(wishes, [], {"gpu": 9}))["more"] == (6, True)


def test_only_a_newcomer_evicts_and_only_for_its_first_replica():
    idle = [candidate("idle"), candidate("other", unused=1)]
    held = [wish("idle", held=1), wish("other", held=1)]
    shares = share([*held, wish("new", wanted=2)], idle, {"gpu": 2})
    victim = Victim(revision=RevisionName("idle"), replicas=1)
    assert shares["new"] == Share(replicas=1, short=True, victims=(victim,))
    for rank in (Rank.MINIMUM, Rank.MORE):
        shares = share([*held, wish("new", rank=rank)], idle, {"gpu": 2})
        assert shares["new"] == Share(replicas=0, short=True)


def test_a_victim_gets_nothing_itself():
    shares = share([wish("idle", held=1, wanted=3), wish("new")], [candidate("idle")], {"gpu": 1})
    assert shares["idle"] == Share(replicas=1)


def test_nobody_may_go():
    assert share([wish("busy", held=2, wanted=2), wish("new")], [], {"gpu": 2})["new"].short


def test_classes_are_apart_and_no_gpu_needs_no_room():
    wishes = [wish("a", gpu_class="big"), wish("cpu", gpus=0, wanted=4), wish("b")]
    idle = [candidate("other", gpu_class="big")]
    shares = share([*wishes, wish("other", held=1, gpu_class="big")], idle, {"gpu": 0, "big": 1})
    assert shares["a"].victims
    assert shares["cpu"] == Share(replicas=4)
    assert shares["b"] == Share(replicas=0, short=True)


def test_two_newcomers_may_share_a_victim():
    shares = share(
        [wish("idle", held=2, wanted=2), wish("a"), wish("b")],
        [candidate("idle", replicas=2)],
        {"gpu": 2},
    )
    assert [shares[name].victims[0].replicas for name in "ab"] == [1, 1]


NAMES = [RevisionName(name) for name in "abcdef"]


@st.composite
def worlds(draw):
    wishes, idle = [], []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=6)):
        held, gpus = draw(st.integers(0, 2)), draw(st.integers(0, 3))
        rank = draw(st.sampled_from([Rank.NEWCOMER, Rank.MINIMUM])) if not held else Rank.MORE
        wishes.append(
            wish(
                name,
                held=held,
                wanted=held + draw(st.integers(0, 3)),
                rank=rank,
                gpus=gpus,
                priority=draw(st.integers(-1, 1)),
                oldest_wait=draw(st.floats(0, 9)),
            )
        )
        if held and gpus and draw(st.booleans()):
            idle.append(candidate(name, replicas=held, gpus=gpus))
    total = sum(one.held * one.gpus for one in wishes) + draw(st.integers(0, 4))
    return wishes, idle, total


@given(worlds())
@settings(max_examples=300)
def test_never_more_gpus_than_there_are_and_nobody_busy_gives_any(world):
    wishes, idle, total = world
    shares = share(wishes, idle, {"gpu": total})
    by_name = {one.revision: one for one in wishes}
    taken = dict.fromkeys(by_name, 0)
    for one in shares.values():
        for victim in one.victims:
            taken[victim.revision] += victim.replicas
    may = {one.revision: one.replicas for one in idle}
    used = 0
    for name, one in shares.items():
        assert by_name[name].held <= one.replicas <= max(by_name[name].held, by_name[name].wanted)
        assert one.short == (one.replicas < by_name[name].wanted) or taken[name]
        assert taken[name] <= may.get(name, 0)
        used += (one.replicas - taken[name]) * by_name[name].gpus
    assert used <= total


@given(worlds(), st.integers(1, 4))
@settings(max_examples=200)
def test_a_newcomer_is_refused_only_when_free_and_idle_gpus_do_not_do(world, need):
    wishes, idle, total = world
    first = wish("z", gpus=need, priority=9)
    shares = share([*wishes, first], idle, {"gpu": total})
    free = total - sum(one.held * one.gpus for one in wishes)
    able = sum(one.replicas * one.gpus for one in idle)
    assert shares[first.revision].short == (free + able < need)
    assert bool(shares[first.revision].victims) == (free < need <= free + able)


@pytest.mark.parametrize("free", [0, 1])
def test_overcommitted_gpus_are_not_given_out(free):
    shares = share([wish("a", held=3, wanted=3), wish("b")], [], {"gpu": 2 + free})
    assert shares["b"].short

"""Who gets the GPUs there are, where nodes, several classes or nodes to come are to be reckoned."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.core import budget
from autoscaler.core.budget import Rank, share
from autoscaler.core.evict import Victim, choose_any
from autoscaler.core.stock import Spot, Supply
from fleet.names import ReplicaName
from tests.core.test_budget import got, wish
from tests.core.test_evict import candidate


def at(*names, gpu_class="gpu"):
    """Replicas `r@n`: r on node n."""
    pairs = [name.split("@") for name in names]
    return tuple((ReplicaName(name), (gpu_class, node)) for name, node in pairs)


def supply(*nodes, totals=None, **more):
    """`nodes`: (name, free) or (name, free, coming), of the class `gpu` or of `class/name`."""
    spots = []
    for name, free, *coming in nodes:
        gpu_class, _, node = name.rpartition("/")
        spots.append(Spot(key=(gpu_class or "gpu", node), free=free, coming=sum(coming)))
    every = {}
    for spot in spots:
        every[spot.key[0]] = every.get(spot.key[0], 0) + spot.free + spot.coming
    return Supply(totals=totals or every, spots=tuple(spots), **more)


def may(*nodes, gpu_class="gpu"):
    keys = [node.rpartition("/") for node in nodes]
    return frozenset((other or gpu_class, node) for other, _, node in keys)


BOTH = may("n1", "n2")


@pytest.mark.parametrize(
    ("gpus", "nodes", "allowed", "short"),
    [
        (2, [("n1", 1), ("n2", 1)], BOTH, True),
        (2, [("n1", 0), ("n2", 2)], BOTH, False),
        (2, [("n1", 0), ("n2", 2)], may("n1"), True),
        (1, [("n1", 0), ("n2", 0, 1)], BOTH, False),
    ],
)
def test_all_gpus_of_a_replica_are_on_one_node_where_it_may_go(gpus, nodes, allowed, short):
    new = wish("new", gpus=gpus, may=allowed)
    assert share([new], [], supply(*nodes))["new"].short is short


@pytest.mark.parametrize(
    ("free", "coming", "gpus", "least"),
    [
        (1, 1, 2, (1, True)),  # its pod could be put on n1, where the newcomer waits for more
        (0, 2, 2, (2, False)),  # nothing lies free there
        (2, 0, 2, (2, False)),  # the newcomer is written with it
        (1, 0, 1, (2, False)),
    ],
)
def test_a_minimum_waits_where_it_could_take_what_a_newcomer_waits_for(free, coming, gpus, least):
    new = wish("new", gpus=gpus, may=may("n1"))
    least_wish = wish("least", held=1, wanted=2, rank=Rank.MINIMUM, may=BOTH, at={("gpu", "n2"): 1})
    stock = supply(("n1", free, coming), ("n2", 1), totals={"gpu": 9})
    shares = got(share([least_wish, new], [], stock))
    assert shares == {"new": (1, False), "least": least}
    more = replace(least_wish, rank=Rank.MORE)
    assert got(share([more, new], [], stock))["least"] == (2, False), "somebody waits for it"


def test_the_node_with_the_least_room_to_spare_is_taken():
    wishes = [wish("a", may=BOTH, priority=1), wish("b", gpus=2, may=BOTH)]
    assert got(share(wishes, [], supply(("n1", 2), ("n2", 1)))) == {
        "a": (1, False),
        "b": (1, False),
    }


def test_what_has_no_place_yet_is_given_one_first():
    wishes = [wish("waits", held=1, may=may("n1")), wish("new", may=BOTH)]
    assert got(share(wishes, [], supply(("n1", 1), ("n2", 0))))["new"] == (0, True)
    assert got(share(wishes, [], supply(("n1", 0), ("n2", 1), totals={"gpu": 2})))["new"] == (
        1,
        False,
    )


def test_only_who_is_where_the_newcomer_may_go_is_evicted():
    held = [
        wish("old", held=1, wanted=1, may=BOTH, at={("gpu", "n1"): 1}),
        wish("older", held=1, wanted=1, may=BOTH, at={("gpu", "n2"): 1}),
    ]
    idle = [candidate("old", unused=9.0, at=at("o@n1")), candidate("older", at=at("p@n2"))]
    there = supply(("n1", 0), ("n2", 0), totals={"gpu": 2})
    shares = share([*held, wish("new", may=may("n1"))], idle, there)
    assert shares["new"].victims == (Victim(revision="old", replicas=1, at=at("o@n1")),)
    shares = share([*held, wish("new", may=BOTH)], idle, there)
    assert shares["new"].victims == (Victim(revision="older", replicas=1, at=at("p@n2")),)
    assert share([*held, wish("new", gpus=2, may=BOTH)], idle, there)["new"].short


def test_the_cheapest_set_that_makes_room_on_one_node():
    held = [
        wish("low", held=2, wanted=2, may=BOTH, at={("gpu", "n1"): 1, ("gpu", "n2"): 1}),
        wish("high", held=1, wanted=1, may=BOTH, at={("gpu", "n1"): 1}),
        wish("two", held=1, wanted=1, gpus=2, may=BOTH, at={("gpu", "n3"): 1}),
    ]
    idle = [
        candidate("low", replicas=2, at=at("l1@n1", "l2@n2")),
        candidate("high", priority=5, at=at("h@n1")),
        candidate("two", priority=1, gpus=2, at=at("t@n3")),
    ]
    there = supply(("n1", 0), ("n2", 0), ("n3", 0), totals={"gpu": 5})
    new = wish("new", gpus=2, may=may("n1", "n2", "n3"))
    # On n1 the last victim would have priority 5, on n2 there is too little, on n3 it has 1.
    assert share([*held, new], idle, there)["new"].victims == (
        Victim(revision="two", replicas=1, at=at("t@n3")),
    )


def test_of_many_who_ask_the_same_in_vain_one_is_reckoned_with(monkeypatch):
    """A crowd of them is not looked through for each."""
    asked = []

    def counted(needs, candidates):
        asked.append(needs)
        return choose_any(needs, candidates)

    monkeypatch.setattr(budget, "choose_any", counted)
    crowd = [wish(f"m{number}", wanted=1, gpus=2, oldest_wait=1.0) for number in range(50)]
    share(crowd, [], supply(("n1", 1)))
    assert len(asked) == 1


def test_a_free_gpu_on_the_node_spares_a_victim():
    held = [wish("a", held=1, wanted=1, at={("gpu", "n1"): 1}, may=BOTH)]
    idle = [candidate("a", at=at("a@n1"))]
    shares = share(
        [*held, wish("new", gpus=2, may=BOTH)],
        idle,
        supply(("n1", 1), ("n2", 0), totals={"gpu": 2}),
    )
    assert shares["new"].victims == (Victim(revision="a", replicas=1, at=at("a@n1")),)


def test_where_only_the_budget_is_spent_a_victim_may_be_anywhere():
    held = [wish("a", held=1, wanted=1, may=BOTH, at={("gpu", "n2"): 1})]
    shares = share(
        [*held, wish("new", may=may("n1"))],
        [candidate("a", at=at("a@n2"))],
        supply(("n1", 3), ("n2", 0), totals={"gpu": 1}),
    )
    assert shares["new"].victims == (Victim(revision="a", replicas=1, at=at("a@n2")),)


def test_a_model_that_may_go_to_two_classes_takes_from_the_one_it_is_in():
    both = may("a100/n1", "h100/n2")
    wishes = [
        wish("wide", held=2, wanted=2, gpu_class="a100", may=both, at={("h100", "n2"): 2}),
        wish("a", gpu_class="a100", may=may("a100/n1")),
        wish("h", gpu_class="h100", may=may("h100/n2")),
    ]
    shares = share(
        wishes, [], supply(("a100/n1", 1), ("h100/n2", 0), totals={"a100": 1, "h100": 2})
    )
    assert got(shares) == {"wide": (2, False), "a": (1, False), "h": (0, True)}


def test_parts_of_a_gpu_are_apart_from_whole_ones_on_the_same_node():
    wishes = [
        wish("part", gpu_class="mig-1g.10gb", may=may("mig-1g.10gb/n1")),
        wish("whole", may=may("n1")),
    ]
    shares = share(wishes, [], supply(("mig-1g.10gb/n1", 1), ("n1", 0)))
    assert got(shares) == {"part": (1, False), "whole": (0, True)}


# More GPUs may be asked for.


OLD = wish("old", held=1, wanted=1)
ELASTIC = {"totals": {"gpu": 1}, "elastic": {"gpu": 1}, "growing": frozenset({"gpu"})}


def grown(*wishes, idle=(), **changes):
    return share(wishes, idle, Supply(**{**ELASTIC, **changes}))


def test_a_newcomer_evicts_first_and_is_not_written_before_the_gpu_is_free():
    got = grown(OLD, wish("new"), idle=[candidate("old")])["new"]
    assert (got.replicas, got.coming, bool(got.victims)) == (1, 1, True)
    going = Supply(**{**ELASTIC, "spots": (Spot(key=("gpu", None), free=0, coming=1),)})
    assert share([wish("new")], [], going)["new"].coming == 1
    there = Supply(**{**ELASTIC, "spots": (Spot(key=("gpu", None), free=1),)})
    assert share([wish("new")], [], there)["new"].coming == 0


def test_where_no_eviction_helps_it_asks_for_a_new_node_at_once():
    got = grown(OLD, wish("new"))["new"]
    assert (got.replicas, got.coming, got.short) == (1, 0, False)
    assert grown(OLD, wish("new"), elastic={})["new"].short
    assert grown(OLD, wish("new", asks=False))["new"].short
    assert not grown(OLD, wish("new", asks=False), grow_first=True)["new"].short


def test_or_it_asks_first_and_evicts_when_no_more_may_be_asked_for():
    idle = [candidate("old")]
    got = grown(OLD, wish("new"), idle=idle, grow_first=True)["new"]
    assert (got.replicas, got.coming, got.victims) == (1, 0, ())
    for elastic in ({}, {"gpu": 1}):
        got = grown(
            OLD, wish("new", gpus=2), idle=idle, grow_first=True, elastic=elastic, totals={"gpu": 2}
        )["new"]
        assert got.victims


def test_what_was_asked_for_is_not_asked_for_twice():
    wanted = wish("asked", held=1, wanted=1)
    shares = grown(OLD, wanted, wish("new"), elastic={"gpu": 1})
    assert shares["new"].short
    assert not grown(OLD, wanted, wish("new"), elastic={"gpu": 2})["new"].short


def test_more_replicas_ask_for_new_nodes_and_never_evict():
    busy = wish("busy", held=1, wanted=4)
    shares = grown(busy, OLD, idle=[candidate("old")], totals={"gpu": 2}, elastic={"gpu": 2})
    assert (shares["busy"].replicas, shares["busy"].short) == (3, True)
    assert not shares["busy"].victims


def test_who_is_freed_for_waits_and_who_is_bought_for_does_not():
    """Whoever waits first gets what is freed first: so it is the first in order that asks."""
    shares = grown(OLD, wish("b"), wish("a", oldest_wait=9.0), idle=[candidate("old")])
    assert bool(shares["a"].victims)
    assert (shares["a"].coming, shares["b"].coming) == (0, 1)
    shares = grown(
        OLD, wish("busy", held=1, wanted=2), wish("a"), idle=[candidate("old")], totals={"gpu": 2}
    )
    assert (shares["a"].coming, shares["busy"].coming) == (0, 1)


def test_a_pod_that_waits_for_what_is_freed_is_not_joined_by_one_for_what_is_bought():
    """Two would wait, and two nodes be bought for them."""
    going = (Spot(key=("gpu", None), free=0, coming=1),)
    woken = wish("woken", held=1, wanted=1)
    shares = grown(woken, wish("a"), spots=going)
    assert (shares["a"].replicas, shares["a"].coming) == (1, 1)


def test_elsewhere_a_newcomer_is_written_with_the_eviction():
    got = grown(OLD, wish("new"), idle=[candidate("old")], growing=frozenset(), elastic={})["new"]
    assert (got.coming, bool(got.victims)) == (0, True)


# Who goes first.


def test_one_whose_pod_waits_already_goes_before_all_others():
    waiting = wish("waiting", first=True)
    shares = share([wish("high", priority=9), waiting], [], Supply(totals={"gpu": 1}))
    assert got(shares) == {"waiting": (1, False), "high": (0, True)}


# For any fleet.

NODES = ("n1", "n2", "n3")


@st.composite
def fleets(draw):
    names = draw(st.lists(st.sampled_from(NODES), unique=True, min_size=1))
    free = {node: draw(st.integers(0, 3)) for node in names}
    used = dict.fromkeys(names, 0)
    wishes, idle = [], []
    for name in draw(st.lists(st.sampled_from("abcd"), unique=True)):
        gpus = draw(st.integers(1, 3))
        allowed = draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
        places = draw(st.lists(st.sampled_from(allowed), max_size=2))
        unplaced = draw(st.integers(0, 1))
        for node in places:
            used[node] += gpus
        held = len(places) + unplaced
        wishes.append(
            wish(
                name,
                held=held,
                wanted=held + draw(st.integers(0, 2)),
                gpus=gpus,
                rank=Rank.MORE if held else draw(st.sampled_from([Rank.NEWCOMER, Rank.MINIMUM])),
                priority=draw(st.integers(0, 1)),
                may=may(*allowed),
                at={("gpu", node): places.count(node) for node in places},
            )
        )
        if places and draw(st.booleans()):
            ready = at(*(f"{name}{number}@{node}" for number, node in enumerate(places)))
            idle.append(candidate(name, gpus=gpus, replicas=len(ready), at=ready))
    total = draw(st.integers(0, sum(free.values()) + sum(used.values())))
    return wishes, idle, free, total


def packs(items, room):
    """Whether all of (gpus, nodes) find a node each."""
    if not items:
        return True
    (gpus, nodes), *others = sorted(items, key=lambda item: -item[0])
    return any(
        packs(others, {**room, node: room[node] - gpus}) for node in nodes if room[node] >= gpus
    )


@given(fleets())
@settings(max_examples=300)
def test_what_is_granted_finds_its_nodes_and_stays_within_the_budget(world):
    wishes, idle, free, total = world
    shares = share(wishes, idle, supply(*free.items(), totals={"gpu": total}))
    by_name = {one.revision: one for one in wishes}
    may_go = {name for one in idle for name, _ in one.at}
    room, freed = dict(free), 0
    for one in shares.values():
        for victim in one.victims:
            gpus = by_name[victim.revision].gpus
            assert len(victim.at) == victim.replicas
            for name, (_, node) in victim.at:
                assert name in may_go
                may_go.remove(name)
                room[node] += gpus
                freed += gpus
    granted = []
    for name, one in shares.items():
        asked = by_name[name]
        assert asked.held <= one.replicas <= max(asked.held, asked.wanted)
        nodes = [node for _, node in asked.may]
        granted += [(asked.gpus, nodes)] * (one.replicas - asked.held)
    if granted:
        assert packs(granted, room)
        held = sum(one.held * one.gpus for one in wishes)
        grants = sum(gpus for gpus, _ in granted)
        overdrawn = max(0, held - total)
        assert held + grants - freed <= total + overdrawn
        if not freed:
            assert held + grants <= total


@given(fleets(), st.integers(1, 3), st.lists(st.sampled_from(NODES), unique=True, min_size=1))
@settings(max_examples=300)
def test_a_newcomer_goes_without_only_when_no_node_could_serve_it(world, gpus, allowed):
    wishes, idle, free, _ = world
    wishes = [one for one in wishes if one.held == sum(one.at.values()) > 0]
    idle = [one for one in idle if one.revision in {other.revision for other in wishes}]
    there = [node for node in allowed if node in free]
    first = wish("z", gpus=gpus, priority=9, may=may(*there))
    shares = share([*wishes, first], idle, supply(*free.items(), totals={"gpu": 99}))
    able = dict.fromkeys(free, 0)
    for one in idle:
        for _, (_, node) in one.at:
            able[node] += one.gpus
    most = max((free[node] + able[node] for node in there), default=0)
    assert shares["z"].short == (most < gpus)
    if shares["z"].victims:
        assert max(free[node] for node in there) < gpus
        nodes = {node for victim in shares["z"].victims for _, (_, node) in victim.at}
        assert len(nodes) == 1


@given(fleets(), st.integers(0, 4), st.booleans())
@settings(max_examples=200)
def test_no_more_is_asked_for_than_may_be(world, elastic, grow_first):
    wishes, idle, free, _ = world
    total = sum(free.values()) + sum(n * one.gpus for one in wishes for n in one.at.values())
    there = supply(
        *free.items(),
        totals={"gpu": total},
        elastic={"gpu": elastic},
        growing=frozenset({"gpu"}),
        grow_first=grow_first,
    )
    shares = share(wishes, idle, there)
    gpus = {one.revision: one.gpus for one in wishes}
    freed = sum(v.replicas * gpus[v.revision] for one in shares.values() for v in one.victims)
    held = sum(one.held * one.gpus for one in wishes)
    got = sum(one.replicas * gpus[name] for name, one in shares.items())
    assert got - freed <= max(held, total + elastic)
    written = sum((one.replicas - one.coming) * gpus[name] for name, one in shares.items())
    # Whoever is written finds GPUs that are free now, or those that may be bought for it.
    placed = sum(n * one.gpus for one in wishes for n in one.at.values())
    assert written <= max(held, placed + sum(free.values()) + elastic)

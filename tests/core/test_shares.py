"""Slots shared out among gateways: bounded, fair, and never given before they are free."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.core.shares import Claim, Holder, share_out

TOTALS = st.integers(1, 200)
DEMANDS = st.lists(st.integers(0, 300), min_size=1, max_size=8)


def settled(total: int, demands: list[int], granted: list[int] | None = None) -> tuple[int, ...]:
    """The shares once every gateway has taken over what it was told."""
    grants = tuple(granted or [1] * len(demands))
    for _ in range(10):
        claims = [
            Claim(demand=demand, granted=grant, held=grant)
            for demand, grant in zip(demands, grants, strict=True)
        ]
        again = share_out(total, claims)
        if again == grants:
            return grants
        grants = again
    raise AssertionError("never settles")


@given(TOTALS, DEMANDS)
def test_all_slots_are_given_and_everyone_has_one(total, demands):
    grants = settled(total, demands)
    assert min(grants) >= 1
    assert sum(grants) == max(total, len(demands))


@given(TOTALS, DEMANDS)
def test_demand_is_met_before_anything_is_spare_and_the_smaller_first(total, demands):
    grants = settled(total, demands)
    needs = [max(1, demand) for demand in demands]
    if sum(needs) <= total:
        assert all(grant >= need for grant, need in zip(grants, needs, strict=True))
        return
    short = [grant for grant, need in zip(grants, needs, strict=True) if grant < need]
    most = max(grants)
    # Nobody is short while another has two more than it.
    assert all(most - grant <= 1 for grant in short)


@given(TOTALS, DEMANDS, st.data())
def test_with_the_same_demand_nothing_changes(total, demands, data):
    before = settled(total, demands)
    now = data.draw(st.lists(st.integers(0, 300), min_size=len(demands), max_size=len(demands)))
    after = settled(total, now, list(before))
    assert settled(total, now, list(after)) == after


@given(TOTALS, DEMANDS, st.data())
def test_whoever_has_enough_keeps_what_nobody_else_needs(total, demands, data):
    before = settled(total, demands)
    less = [data.draw(st.integers(0, grant)) for grant in before]
    assert settled(total, less, list(before)) == before


@pytest.mark.parametrize(
    ("total", "demands", "shares"),
    [
        (16, [0, 0, 0, 0], (4, 4, 4, 4)),
        (16, [30, 0, 0, 0], (13, 1, 1, 1)),
        (16, [30, 3, 0, 30], (6, 3, 1, 6)),
        (1, [5, 0], (1, 1)),
        (2, [9, 9, 9], (1, 1, 1)),
        (5, [9], (5,)),
    ],
)
def test_shares(total, demands, shares):
    assert settled(total, demands) == shares


class Gateway:
    """Runs what it may; messages to it and from it come late, in order."""

    def __init__(self) -> None:
        self.holder = Holder()
        self.demand = self.running = self.number = 0
        self.share = 1
        self.inbox: list[tuple[int, int]] = []
        self.outbox: list[tuple[int, int, int]] = []
        self.told_demand = 0

    def step(self, dice: random.Random) -> None:
        while self.inbox and dice.random() < 0.5:
            self.number, self.share = self.inbox.pop(0)
        if dice.random() < 0.3:
            self.demand = dice.choice([0, 1, 5, 40])
        if self.running and dice.random() < 0.5:
            self.running -= 1
        while self.running < min(self.share, self.demand):
            self.running += 1
        self.outbox.append((self.number, max(self.share, self.running), self.demand))

    def speak(self, dice: random.Random) -> None:
        while self.outbox and dice.random() < 0.5:
            number, held, self.told_demand = self.outbox.pop(0)
            self.holder.hear(number, held)


@pytest.mark.parametrize("seed", range(20))
def test_slots_are_never_exceeded_however_late_messages_are(seed):
    dice = random.Random(seed)
    total = dice.choice([1, 2, 7, 16])
    gateways = [Gateway() for _ in range(dice.choice([1, 2, 4]))]
    most = 0
    for number in range(1, 300):
        claims = [
            Claim(demand=one.told_demand, granted=one.holder.granted, held=one.holder.held)
            for one in gateways
        ]
        for gateway, grant in zip(gateways, share_out(total, claims), strict=True):
            if grant != gateway.holder.granted:
                gateway.holder.tell(number, grant)
                gateway.inbox.append((number, grant))
        for gateway in gateways:
            gateway.step(dice)
            gateway.speak(dice)
        most = max(most, sum(gateway.running for gateway in gateways))
        assert most <= max(total, len(gateways))
    assert most == max(total, len(gateways)), "and they are all used"

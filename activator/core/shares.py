"""How a replica's slots are shared out among several gateways that send to it. Pure.

Rule 1: every gateway has one at least, so that none has to ask before its first request: with more
        gateways than slots the replica is over-committed by the difference, and never by more.
Rule 2: demand comes first, the smaller demand before the larger (max-min fair); what nobody asks
        for stays with those who have it, and what is new is spread evenly.
Rule 3: shrink before grow: a slot is given only when whoever had it uses it no more.
Rule 4: with the same demand the answer does not change.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Claim", "Holder", "share_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is known of one gateway at one replica."""

    demand: int
    """Requests that it has there, or would have."""
    granted: int = 1
    """What it was given last."""
    held: int = 1
    """What it may take up by now: see `Holder.held`."""


class Holder:
    """What one gateway was given at one replica, and what it may take up by now.

    What it is told and what it says cross on the way: until it says that it goes by a share, any
    that it was told since counts.
    """

    __slots__ = ("_said", "_told", "granted", "told")

    def __init__(self) -> None:
        self.granted = 1
        self.told = False
        """It was told what it is granted, by this process."""
        self._said = 1
        self._told: list[tuple[int, int]] = []

    @property
    def held(self) -> int:
        """The most that it may be using."""
        return max([self._said, *(share for _, share in self._told)])

    def tell(self, number: int, share: int) -> None:
        """It is told `share`, in the message of this number; numbers grow."""
        self.granted, self.told = share, True
        self._told.append((number, share))

    def adopt(self, held: int) -> None:
        """Somebody else has told it something: it takes up `held`, and has nothing to wait for."""
        self.granted = self._said = held
        self.told = False
        self._told.clear()

    def hear(self, number: int, held: int) -> None:
        """It goes by message `number`, and takes up `held`: its share, or what runs if more."""
        self._told = [told for told in self._told if told[0] > number]
        self._said = held


def share_out(total: int, claims: Sequence[Claim]) -> tuple[int, ...]:
    """The slots that each may use now, of `total`; called again as soon as anything changes."""
    wanted = _wanted(total, claims)
    grants = [min(want, claim.granted) for want, claim in zip(wanted, claims, strict=True)]
    taken = [max(grant, claim.held) for grant, claim in zip(grants, claims, strict=True)]
    free = max(total, len(claims)) - sum(taken)
    for index, claim in enumerate(claims):
        # What it holds already is counted, whatever it was told meanwhile.
        within = min(wanted[index], max(grants[index], claim.held))
        more = min(wanted[index] - within, max(0, free))
        grants[index] = within + more
        free -= more
    return tuple(grants)


def _wanted(total: int, claims: Sequence[Claim]) -> list[int]:
    """Where the shares should get to."""
    spare = max(0, total - len(claims))
    extra = _levelled(spare, [max(0, claim.demand - 1) for claim in claims])
    left = spare - sum(extra)
    kept = _levelled(left, [max(0, c.granted - 1 - e) for c, e in zip(claims, extra, strict=True)])
    left -= sum(kept)
    return [
        1 + extra[index] + kept[index] + (left + index) // len(claims)
        for index in range(len(claims))
    ]


def _levelled(amount: int, wishes: Sequence[int]) -> list[int]:
    """`amount` among `wishes`: none gets more than it wishes, the smallest wishes come first."""
    given = [0] * len(wishes)
    order = sorted(range(len(wishes)), key=lambda index: (wishes[index], index))
    for position, index in enumerate(order):
        given[index] = min(wishes[index], amount // (len(order) - position))
        amount -= given[index]
    return given

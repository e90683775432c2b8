"""A gateway's log: its samples, and what it takes up of the slots it was allotted. Pure.

Rule 1: what is told anew each second is what has changed; one that is told all has all of it.
Rule 2: a sample is as old as its stamp says, whenever and however late it is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from fleet.bus.redis.parcels import Following, GatewayNews, Parcel
from fleet.channel.samples import SamplesHeard, SamplesTold, parts
from fleet.messages import Held, Received, RevisionSample, Sample
from fleet.names import GatewayName, ReplicaName, RevisionName

__all__ = ["GatewayHeard", "GatewayTold", "Reported"]

_AT_ONCE = 64
"""Revisions in a message: what is written or read without a pause takes a few milliseconds."""
_NONE: Mapping[ReplicaName, int] = MappingProxyType({})


class GatewayTold:
    """The gateway's side."""

    def __init__(self) -> None:
        self._samples = SamplesTold()
        self._held: Held | None = None

    def news(self, sample: Sample | None, held: Held | None, made: float) -> Iterator[GatewayNews]:
        """What is new in them, in one or more messages; none when nothing is. `made`: when."""
        changed = None if held is None else self._held_news(held)
        if sample is not None:
            for part in parts(self._samples.news(sample, made), _AT_ONCE):
                yield GatewayNews(sample=part, held=changed)
                changed = None
        if changed is not None:
            yield GatewayNews(held=changed)

    def _held_news(self, held: Held) -> Held | None:
        before, self._held = self._held, held
        if before == held:
            return None
        known = _NONE if before is None else before.slots
        changed = dict.fromkeys(known.keys() - held.slots.keys(), 1)
        changed.update({n: slots for n, slots in held.slots.items() if known.get(n) != slots})
        return replace(held, slots=MappingProxyType(changed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a gateway was heard to say, when all of it is in."""

    gateway: GatewayName
    revisions: Mapping[RevisionName, RevisionSample]
    """The new and changed ones."""
    gone: tuple[RevisionName, ...]
    held: Held | None
    """All that it takes up; None: nothing new."""
    at: float
    """When it was so, on the reader's own clock."""


class GatewayHeard:
    """A reader's side."""

    def __init__(self, gateway: GatewayName) -> None:
        self.following = Following()
        self._gateway = gateway
        self._samples: SamplesHeard | None = None
        """None: nothing was told of them."""
        self._slots: dict[ReplicaName, int] = {}
        self._coming: list[GatewayNews] = []
        """What is not all in yet."""
        self._anew = False
        """It says all there is."""
        self._at = 0.0
        self._received: Received | None = None

    @property
    def received(self) -> Received | None:
        """The newest sample; None before there is one."""
        if self._received is None and self._samples is not None:
            sample = Sample(gateway=self._gateway, revisions=self._samples.revisions())
            self._received = Received(sample=sample, at=self._at)
        return self._received

    def take(self, parcel: Parcel, at: float) -> Reported | None:
        """Read a message, stamped `at` on the reader's own clock; None while more is to come."""
        news = parcel.gateway
        if news is None or not self.following.take(parcel):
            return None
        if parcel.whole:
            self._coming, self._anew = [], True
        self._coming.append(news)
        return None if parcel.more else self._all_in(at)

    def _all_in(self, at: float) -> Reported:
        coming, self._coming = self._coming, []
        told = [news.sample for news in coming if news.sample is not None]
        before = frozenset[RevisionName]()
        if self._anew:
            if self._samples is not None:
                before = self._samples.names()
            self._samples, self._slots, self._anew = None, {}, False
        changed: dict[RevisionName, RevisionSample] = {}
        gone = {name for sample in told for name in sample.gone}
        for sample in told:
            self._samples = self._samples or SamplesHeard()
            self._samples.hear(sample)
            self._at, self._received = at, None
            changed.update(sample.revisions)
        return Reported(
            gateway=self._gateway,
            revisions=MappingProxyType(changed),
            gone=tuple(sorted((gone | before) - changed.keys())),
            held=self._held([news.held for news in coming if news.held is not None]),
            at=at,
        )

    def _held(self, told: Sequence[Held]) -> Held | None:
        for held in told:
            self._slots.update(held.slots)
        self._slots = {name: slots for name, slots in self._slots.items() if slots > 1}
        return replace(told[-1], slots=MappingProxyType(dict(self._slots))) if told else None

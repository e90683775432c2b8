"""What the GPUs did: from the phases of replicas and their busy integrals to GPU-seconds. Pure.

Rule 1: a GPU is accounted for from the moment a replica holds it until it gives it back, in
        exactly one state: starting (held, model not ready), serving (ready, at least one request
        running), idle (ready, none running), draining (marked to go, or being stopped).
Rule 2: so over any span the states add up to the GPU-seconds that were allocated.
Rule 3: accrual is keyed by replica and interval: from the last change there until the next, once.
        A second call for the same moment adds nothing, and of a model where nothing changes none is
        needed: what it has used by now is added up when the bill is read.
Rule 4: of models that are gone the last thousand stay on it, rather those that have cost something:
        names can be made up for ever.
Rule 5: `always_on` is what the bill compares with: max(1, minimum) replicas' GPUs, held for as long
        as the model has been registered while ebbtide runs.

Busy time is reported by samples, up to a second late, so serving is the smaller of ready and busy
time: it never falls, while idle may give back what turns out to have been serving.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType

from fleet.messages import CostLine
from fleet.names import ModelName, ReplicaName, RevisionName

__all__ = ["Account", "Bill", "Change", "Holding", "State", "Used", "accrue", "lines"]


_MOST_GONE = 1000


class State(Enum):
    """What a held GPU does, as far as the cluster and the probe tell."""

    STARTING = "starting"
    READY = "ready"
    """Serving or idle: the busy integral tells."""
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A replica that holds GPUs now."""

    replica: ReplicaName
    revision: RevisionName
    gpus: int
    state: State
    ready_at: float | None = None
    """When its model began to answer: tells where starting ended between two looks."""
    busy_s: float | None = None
    """Its busy integral; None where no sample tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A model that is on the bill, with what always-on replicas of it would hold."""

    revision: RevisionName
    model: ModelName
    gpu_class: str
    price: float
    always_gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """GPU-seconds by state."""

    starting: float = 0.0
    ready: float = 0.0
    draining: float = 0.0
    busy: float = 0.0

    @property
    def serving(self) -> float:
        """Ready and busy; a busy second outside of ready is not one of serving."""
        return min(self.ready, self.busy)

    @property
    def idle(self) -> float:
        """Ready and not busy."""
        return self.ready - self.serving

    def plus(self, other: "Used") -> "Used":
        """Both together, state by state."""
        serving = self.serving + other.serving
        return Used(
            starting=self.starting + other.starting,
            ready=self.ready + other.ready,
            draining=self.draining + other.draining,
            busy=serving,
        )


_NOTHING = Used()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Track:
    """A replica that holds GPUs, and what they did so far."""

    holding: Holding
    used: Used


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is so of one model from now on."""

    holdings: tuple[Holding, ...] = ()
    """All its replicas that hold GPUs."""
    account: Account | None = None
    """None: it is not registered any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """One model's part of the bill, as it stood at its last change."""

    at: float
    """When that was."""
    tracks: Mapping[ReplicaName, _Track] = field(default_factory=lambda: MappingProxyType({}))
    ended: Used = _NOTHING
    """Of replicas that have given their GPUs back."""
    account: Account | None = None
    """The last one; None: it was never registered."""
    registered: bool = False
    always: float = 0.0

    @property
    def gone(self) -> bool:
        """Nothing is added to it any more."""
        return not (self.registered or self.tracks)

    @property
    def empty(self) -> bool:
        """Nothing is on it."""
        return not (self.always or self.tracks) and self.ended == _NOTHING

    def always_on(self, now: float) -> float:
        """What always-on replicas would have held by `now`."""
        if self.account is None or not self.registered:
            return self.always
        return self.always + (now - self.at) * self.account.always_gpus

    def used(self, now: float) -> Used:
        """What its GPUs did by `now`, while nothing has changed."""
        ended = self.ended
        starting, ready, draining, busy = ended.starting, ended.ready, ended.draining, ended.serving
        for track in self.tracks.values():
            used = _grow(track, None, span=now - self.at, until=self.at)
            starting += used.starting
            ready += used.ready
            draining += used.draining
            busy += used.serving
        return Used(starting=starting, ready=ready, draining=draining, busy=busy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """All that has been accounted for."""

    since: float
    until: float
    pages: Mapping[RevisionName, _Page] = field(default_factory=lambda: MappingProxyType({}))
    """Of every model that is registered, or holds GPUs, and of many that were or did."""


def accrue(bill: Bill, changes: Mapping[RevisionName, Change], now: float) -> Bill:
    """Account for the time until `now`, with what is so of some models from now on.

    Of all others what was said last goes on.
    """
    now = max(now, bill.until)
    pages = dict(bill.pages)
    for name, change in changes.items():
        pages[name] = _turned(pages.get(name, _Page(at=now)), change, now)
    if any(pages[name].gone for name in changes):
        _forget(pages)
    return Bill(since=bill.since, until=now, pages=MappingProxyType(pages))


def _forget(pages: dict[RevisionName, _Page]) -> None:
    gone = [name for name, page in pages.items() if page.gone]
    if len(gone) > _MOST_GONE:
        gone.sort(key=lambda name: (not pages[name].empty, pages[name].at))
        for name in gone[:-_MOST_GONE]:
            del pages[name]


def _turned(page: _Page, change: Change, now: float) -> _Page:
    """A page with what has been used until `now`, and what is held from then on."""
    news = {holding.replica: holding for holding in change.holdings}
    ended = page.ended
    tracks: dict[ReplicaName, _Track] = {}
    for name, track in page.tracks.items():
        used = _grow(track, news.get(name), span=now - page.at, until=page.at)
        if name in news:
            holding = _keep_busy(news[name], track.holding)
            tracks[name] = _Track(holding=holding, used=used)
        else:
            ended = ended.plus(used)
    for name, holding in news.items():
        if name not in tracks:
            tracks[name] = _Track(holding=holding, used=_NOTHING)
    return _Page(
        at=now,
        tracks=MappingProxyType(tracks),
        ended=ended,
        account=change.account or page.account,
        registered=change.account is not None,
        always=page.always_on(now),
    )


def lines(bill: Bill) -> tuple[CostLine, ...]:
    """The bill, a line for every model on it."""
    return tuple(
        _line(revision, page.account, page, bill.until)
        for revision, page in sorted(bill.pages.items(), key=lambda one: one[0])
        if page.account is not None
    )


def _line(revision: RevisionName, account: Account, page: _Page, now: float) -> CostLine:
    used = page.used(now)
    return CostLine(
        model=account.model,
        revision=revision,
        gpu_class=account.gpu_class,
        price=account.price,
        starting=used.starting,
        serving=used.serving,
        idle=used.idle,
        draining=used.draining,
        always_on=page.always_on(now),
    )


def _grow(track: _Track, news: Holding | None, *, span: float, until: float) -> Used:
    holding, used = track.holding, track.used
    seconds = span * holding.gpus
    starting, ready, draining, busy = used.starting, used.ready, used.draining, used.busy
    if news is not None and news.busy_s is not None:
        busy += max(0.0, news.busy_s - _busy_before(holding, news.busy_s)) * holding.gpus
    if holding.state is State.DRAINING:
        draining += seconds
    elif holding.state is State.READY:
        ready += seconds
    else:
        became = 0.0
        if news is not None and news.ready_at is not None and news.state is State.READY:
            became = min(span, max(0.0, until + span - news.ready_at)) * holding.gpus
        starting += seconds - became
        ready += became
    return Used(starting=starting, ready=ready, draining=draining, busy=busy)


def _busy_before(holding: Holding, first: float) -> float:
    if holding.busy_s is not None:
        return holding.busy_s
    # A new replica begins at 0; one that was there before this bill brings a past that is not ours.
    return 0.0 if holding.state is State.STARTING else first


def _keep_busy(news: Holding, before: Holding) -> Holding:
    return news if news.busy_s is not None else replace(news, busy_s=before.busy_s)

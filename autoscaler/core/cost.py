"""What the GPUs did: from the phases of replicas and their busy integrals to GPU-seconds. Pure.

Rule 1: a GPU is accounted for from the moment a replica holds it until it gives it back, in
        exactly one state: starting (held, model not ready), serving (ready, at least one request
        running), idle (ready, none running), draining (marked to go, or being stopped).
Rule 2: so over any span the states add up to the GPU-seconds that were allocated.
Rule 3: accrual is keyed by replica and interval: from the last call until now, once. A second call
        for the same moment adds nothing.
Rule 4: `always_on` is what the bill compares with: max(1, minimum) replicas' GPUs, held for as long
        as the model has been registered while ebbtide runs.

Busy time is reported by samples, up to a second late, so serving is the smaller of ready and busy
time: it never falls, while idle may give back what turns out to have been serving.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType

from fleet.messages import CostLine
from fleet.names import ModelName, ReplicaName, RevisionName

__all__ = ["Account", "Bill", "Holding", "State", "Used", "accrue", "lines"]


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
class Bill:
    """All that has been accounted for."""

    since: float
    until: float
    tracks: Mapping[ReplicaName, _Track] = field(default_factory=lambda: MappingProxyType({}))
    ended: Mapping[RevisionName, Used] = field(default_factory=lambda: MappingProxyType({}))
    """Of replicas that have given their GPUs back."""
    accounts: Mapping[RevisionName, Account] = field(default_factory=lambda: MappingProxyType({}))
    """Every model ever registered."""
    registered: frozenset[RevisionName] = frozenset()
    """Those that still are."""
    always: Mapping[RevisionName, float] = field(default_factory=lambda: MappingProxyType({}))

    def used(self) -> Mapping[RevisionName, Used]:
        """What each model's GPUs did; a model whose GPUs did nothing is not in it."""
        totals = dict(self.ended)
        for track in self.tracks.values():
            revision = track.holding.revision
            before = totals.get(revision)
            totals[revision] = track.used if before is None else before.plus(track.used)
        return totals


def accrue(
    bill: Bill, holdings: Iterable[Holding], accounts: Iterable[Account], now: float
) -> Bill:
    """Account for the time since the last call, and note who holds what from now on.

    `holdings` and `accounts` are all there are at `now`; between two calls what the earlier one
    said was in force.
    """
    span = max(0.0, now - bill.until)
    news = {holding.replica: holding for holding in holdings}
    ended = dict(bill.ended)
    tracks: dict[ReplicaName, _Track] = {}
    for name, track in bill.tracks.items():
        used = _grow(track, news.get(name), span=span, until=bill.until)
        if name in news:
            holding = _keep_busy(news[name], track.holding)
            tracks[name] = _Track(holding=holding, used=used)
        else:
            revision = track.holding.revision
            ended[revision] = ended.get(revision, Used()).plus(used)
    for name, holding in news.items():
        if name not in tracks:
            tracks[name] = _Track(holding=holding, used=Used())
    always = dict(bill.always)
    for revision in bill.registered:
        held = span * bill.accounts[revision].always_gpus
        always[revision] = always.get(revision, 0.0) + held
    there = {account.revision: account for account in accounts}
    return Bill(
        since=bill.since,
        until=max(now, bill.until),
        tracks=MappingProxyType(tracks),
        ended=MappingProxyType(ended),
        accounts=MappingProxyType({**bill.accounts, **there}),
        registered=frozenset(there),
        always=MappingProxyType(always),
    )


def lines(bill: Bill) -> tuple[CostLine, ...]:
    """The bill, a line for every model ever registered."""
    made, totals = [], bill.used()
    for revision, account in sorted(bill.accounts.items()):
        used = totals.get(revision, _NOTHING)
        made.append(
            CostLine(
                model=account.model,
                revision=revision,
                gpu_class=account.gpu_class,
                price=account.price,
                starting=used.starting,
                serving=used.serving,
                idle=used.idle,
                draining=used.draining,
                always_on=bill.always.get(revision, 0.0),
            )
        )
    return tuple(made)


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
    # Built, not replaced: this is done for every replica at every look.
    return Used(starting=starting, ready=ready, draining=draining, busy=busy)


def _busy_before(holding: Holding, first: float) -> float:
    if holding.busy_s is not None:
        return holding.busy_s
    # A new replica begins at 0; one that was there before this bill brings a past that is not ours.
    return 0.0 if holding.state is State.STARTING else first


def _keep_busy(news: Holding, before: Holding) -> Holding:
    return news if news.busy_s is not None else replace(news, busy_s=before.busy_s)

"""From snapshot and samples to what the cores read: ages become times, gateways are added up.

Rule 1: every member gateway must have a sample, of at most `FRESH` seconds, that knows the
        revision; else the load is UNKNOWN. No member at all is unknown too.
Rule 2: a replica is ready when the snapshot shows it running and a gateway's probe got its answer.
Rule 3: a replica that is being stopped counts no more, except for the GPUs it still holds.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType

from autoscaler.core.cost import Account, Holding, State
from autoscaler.core.seen import UNASKED, Counted, Load, ReplicaSeen, Seen, ServerSeen
from autoscaler.core.window import UNKNOWN, Unknown
from fleet.messages import Received, ReplicaSample, RevisionSample
from fleet.model import Fleet, Phase, Replica, Revision
from fleet.names import GatewayName, ReplicaName, RevisionName

__all__ = [
    "FRESH",
    "Heard",
    "Servers",
    "Sight",
    "account",
    "hear",
    "holdings",
    "see",
]

FRESH = 3.0
"""Seconds after which a sample says nothing any more."""
_OPENING = 1.0
"""Seconds from ready until a replica's slots are taken for what they are."""

Servers = Mapping[ReplicaName, ServerSeen | Unknown]
"""What they said of late. A replica that is not in it was not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """All that one look goes by; what changes while it lasts is seen by the next."""

    fleet: Fleet
    received: Mapping[GatewayName, Received]
    members: Collection[GatewayName]
    servers: Servers
    now: float
    term: int = 0
    """The leader's."""

    @property
    def samples(self) -> tuple[Received, ...] | None:
        """The fresh sample of every member, in one order; None when one is missing or old."""
        found = [self.received.get(name) for name in sorted(self.members)]
        fresh = [got for got in found if got is not None and self.now - got.at <= FRESH]
        return tuple(fresh) if fresh and len(fresh) == len(found) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the member gateways say of one revision."""

    samples: Mapping[GatewayName, tuple[float, RevisionSample]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """(when it came in, sample) of every member that was heard."""
    complete: bool = False
    """Every member was."""
    marked_at: float = -inf
    """When the newest drain was marked: an acknowledgement counts only in a later sample."""

    @property
    def waiting(self) -> int:
        """Requests known to wait, whoever else was not heard."""
        return sum(sample.waiting for _, sample in self.samples.values())

    def stranger(self, replicas: Iterable[Replica]) -> bool:
        """Whether a member knows a replica that is none of these."""
        known = {replica.name for replica in replicas}
        return any(
            replica.name not in known
            for _, sample in self.samples.values()
            for replica in sample.replicas
        )

    def lingering(
        self, marked: frozenset[ReplicaName], replicas: Iterable[Replica]
    ) -> frozenset[ReplicaName]:
        """Those marked that are none of these, or on their way, and that a member may have still.

        One that is not heard may have them all.
        """
        gone = marked - {one.name for one in replicas if one.phase is not Phase.DRAINING}
        if not self.complete:
            return gone
        return gone & {known.name for _, one in self.samples.values() for known in one.replicas}

    def of(self, replica: ReplicaName) -> tuple[tuple[float, ReplicaSample], ...]:
        """What they say of one replica."""
        return tuple(
            (at, known)
            for at, sample in self.samples.values()
            for known in sample.replicas
            if known.name == replica
        )


def hear(
    revision: RevisionName,
    received: Mapping[GatewayName, Received],
    members: Collection[GatewayName],
    *,
    now: float,
    marked_at: float = -inf,
) -> Heard:
    """The fresh samples of the member gateways."""
    found: dict[GatewayName, tuple[float, RevisionSample]] = {}
    for name in members:
        got = received.get(name)
        if got is None or now - got.at > FRESH:
            continue
        sample = got.sample.revisions.get(revision)
        if sample is not None:
            found[name] = (got.at, sample)
    return Heard(
        samples=MappingProxyType(found),
        complete=bool(members) and all(name in found for name in members),
        marked_at=marked_at,
    )


def see(
    revision: Revision,
    replicas: tuple[Replica, ...],
    heard: Heard,
    *,
    servers: Servers,
    now: float,
    blocked: str | None = None,
) -> Seen:
    """One revision as `decide` reads it; `blocked` says why starting it is given up for now."""
    return Seen(
        replicas=revision.replicas,
        members=tuple(
            _member(replica, heard, servers)
            for replica in replicas
            if replica.phase is not Phase.DRAINING
        ),
        load=_load(heard, now) if heard.complete else UNKNOWN,
        blocked=blocked,
        second_writer=revision.second_writer,
        waiting=heard.waiting,
    )


def holdings(
    revision: RevisionName, replicas: tuple[Replica, ...], heard: Heard, drained: Collection[str]
) -> tuple[Holding, ...]:
    """The replicas of one revision that hold GPUs, for the bill. `drained`: the marked ones."""
    made = []
    for replica in replicas:
        if replica.gpus == 0:
            continue
        known = heard.of(replica.name)
        ready_at = _ready_at(known)
        made.append(
            Holding(
                replica=replica.name,
                revision=revision,
                gpus=replica.gpus,
                state=_state(replica, ready_at, drained),
                ready_at=ready_at,
                busy_s=sum(sample.busy_s for _, sample in known) if known else None,
            )
        )
    return tuple(made)


def account(revision: Revision, *, price: float, total: int) -> Account:
    """What stands on the bill about a revision; `price` where it names none of its own.

    `total`: the GPUs of its class. One that needs more could not be always on either.
    """
    own = revision.policy.gpu_price
    fits = revision.gpus <= total
    return Account(
        revision=revision.name,
        model=revision.model,
        gpu_class=revision.gpu_class,
        price=price if own is None else own,
        always_gpus=max(1, revision.policy.minimum) * revision.gpus if fits else 0,
    )


def _state(replica: Replica, ready_at: float | None, drained: Collection[str]) -> State:
    if replica.phase is Phase.DRAINING or replica.name in drained:
        return State.DRAINING
    return State.STARTING if ready_at is None else State.READY


def _member(replica: Replica, heard: Heard, servers: Servers) -> ReplicaSeen:
    known = heard.of(replica.name)
    ready_at = _ready_at(known)
    ready = replica.phase in (Phase.LOADING, Phase.READY) and ready_at is not None
    after = [sample.ready_after for _, sample in known if sample.ready_after is not None]
    return ReplicaSeen(
        name=replica.name,
        phase=Phase.READY if ready else replica.phase,
        since=replica.since if replica.started is None else replica.started,
        open=replica.address is not None,
        available=replica.available,
        made=replica.made,
        ready_at=ready_at if ready else None,
        ready_after=min(after, default=None) if ready else None,
        running=sum(sample.running for _, sample in known),
        warming=any(sample.warming for _, sample in known),
        server=servers.get(replica.name, UNASKED),
    )


def _ready_at(known: tuple[tuple[float, ReplicaSample], ...]) -> float | None:
    """When the first gateway's probe got its answer."""
    ready = [at - sample.ready_for for at, sample in known if sample.ready_for is not None]
    return min(ready, default=None)


def _load(heard: Heard, now: float) -> Load:
    samples = list(heard.samples.values())
    waits = [s.oldest_wait + now - at for at, s in samples if s.oldest_wait is not None]
    ends = [at - s.idle_for for at, s in samples if s.idle_for is not None]
    known = [replica for _, s in samples for replica in s.replicas]
    # One that is ready takes something, whatever is said of it.
    slots = [max(1, replica.slots) for replica in known if _told(replica)]
    return Load(
        at=max(at for at, _ in samples),
        counters=MappingProxyType({name: _counted(s) for name, (_, s) in heard.samples.items()}),
        waiting=heard.waiting,
        running=sum(s.running for _, s in samples),
        oldest_wait=max(waits, default=None),
        ended_at=max(ends, default=None),
        longest_s=max(s.longest_s for _, s in samples),
        slots=max(slots, default=None),
        opening=len(slots) < len(known),
        drained=_acknowledged(heard),
    )


def _acknowledged(heard: Heard) -> int:
    """The one drain that all members have acknowledged since the mark; 0 for none."""
    numbers = {s.drained if at >= heard.marked_at else 0 for at, s in heard.samples.values()}
    return numbers.pop() if len(numbers) == 1 else 0


def _told(replica: ReplicaSample) -> bool:
    """Whether its slots are known: at first it is given one, until its configuration is read."""
    return replica.ready_for is not None and replica.ready_for >= _OPENING


def _counted(sample: RevisionSample) -> Counted:
    return Counted(
        demand_s=sample.waiting_s + sample.running_s,
        arrivals=sample.arrivals,
        completions=sample.completions,
        service_s=sample.service_s,
    )

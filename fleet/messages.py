"""What the processes tell each other: samples, pokes, journal entries. Immutable values. Pure.

Rule 1: counters and integrals only grow while a gateway lives; a smaller value means a new gateway.
Rule 2: times are told as ages in seconds, so that they mean the same on every host.
Rule 3: a sample that is missing or old is *unknown*; it never means nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from fleet.names import GatewayName, ModelName, ReplicaName, RevisionName
from fleet.reasons import Reason

__all__ = [
    "Allot",
    "CostLine",
    "CostReport",
    "DecisionReport",
    "Entry",
    "Held",
    "Look",
    "Looked",
    "Received",
    "ReplicaSample",
    "RevisionSample",
    "Sample",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSample:
    """What one gateway knows of one replica it may send to."""

    name: ReplicaName
    running: int
    """Requests of this gateway on it now."""
    busy_s: float
    """Seconds so far with at least one request running. Only grows."""
    slots: int
    ready_for: float | None
    """Seconds since its model answered the probe; None while it has not."""
    ready_after: float | None = None
    """Seconds from having its GPU to ready; None while not ready, and where this gateway found it
    ready: it does not know for how long it has been."""
    warming: bool = False
    """A made-up inference of this gateway runs on it: the server will count one more."""

    def facts(self) -> tuple[object, ...]:
        """All but its age: what got ready again mostly has another `ready_after`."""
        known = (self.name, self.running, self.busy_s, self.slots, self.ready_after, self.warming)
        return (*known, self.ready_for is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionSample:
    """What one gateway knows of one revision."""

    revision: RevisionName
    waiting: int
    running: int
    waiting_s: float
    """Integral of `waiting`, request-seconds. Only grows."""
    running_s: float
    """Integral of `running`, request-seconds. Only grows."""
    arrivals: int
    completions: int
    service_s: float
    """Sum of dispatch-to-end over the completions. Only grows."""
    oldest_wait: float | None
    """Seconds the first in line has waited; None when nobody waits."""
    idle_for: float | None
    """Seconds since the later of Ready and the last request's end; None while one waits or runs,
    and before either."""
    longest_s: float = 0.0
    """The longest dispatch-to-end seen, seconds."""
    drained: int = 0
    """The number of the drain that is honoured here with nothing left running on its replicas."""
    replicas: tuple[ReplicaSample, ...] = ()

    @property
    def rests(self) -> bool:
        """Nobody waits or runs there, and no replica is ready."""
        return not (self.replicas or self.waiting or self.running)

    def rests_on(self, before: "RevisionSample | None") -> bool:
        """Whether nothing has happened there since `before` but time."""
        return self is before or (
            before is not None
            and before.rests
            and self.rests
            and before.arrivals == self.arrivals
            and before.completions == self.completions
            and before.drained == self.drained
            and (before.idle_for is None) is (self.idle_for is None)
        )

    def still_on(self, before: "RevisionSample | None") -> bool:
        """Whether nothing has happened there since `before` but time, be it ready or not."""
        return self is before or (
            before is not None
            and not (self.waiting or self.running)
            and self._facts() == before._facts()
        )

    def _facts(self) -> tuple[object, ...]:
        """All but ages, while nobody waits or runs."""
        return (
            self.waiting,
            self.running,
            self.waiting_s,
            self.running_s,
            self.arrivals,
            self.completions,
            self.service_s,
            self.longest_s,
            self.drained,
            self.idle_for is None,
            tuple(one.facts() for one in self.replicas),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One gateway's report, about once a second, and at once when a drain is acknowledged."""

    gateway: GatewayName
    revisions: Mapping[RevisionName, RevisionSample] = field(
        default_factory=lambda: MappingProxyType({})
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A sample, and when it came in on the reader's own clock."""

    sample: Sample
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the leader says at the end of every look: what it is good for is written."""

    term: int
    """The leader's: of two leaders the one with the higher is right."""
    number: int
    """Counts the leader's looks, from 1."""
    seconds: float = 0.0
    """How long it took."""
    gateways: int = 1
    """The gateways that there are: each writes no more wakes at once than its part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A look, and when its end was heard of on the reader's own clock."""

    look: Look
    at: float

    @property
    def began(self) -> float:
        """When the look began, or a little before: a poke that is older was answered by it."""
        return self.at - max(0.0, self.look.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the journal: what was seen or done, and why. `at` is Unix time, seconds."""

    at: float
    revision: RevisionName
    model: ModelName
    event: str
    """One snake_case word: registered, woken, ready, scaled, drained, evicted, asleep, failed."""
    reason: Reason | None = None
    message: str = ""
    before: int | None = None
    """Replicas wanted before, where the entry is about a scale."""
    after: int | None = None
    seconds: float | None = None
    """How long it took, where that is the point (time to ready)."""
    replica: ReplicaName | None = None
    """Whose event it is, where every gateway tells of it: the journal has it once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allot:
    """To a gateway: how many slots it has on these replicas from now on."""

    number: int
    """Those of one leader grow."""
    slots: Mapping[ReplicaName, int]
    leader: str = ""
    """Which leader says so, where it may change. What another said before holds until then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """From a gateway: what it takes up on replicas, going by the `Allot` of this number.

    On a replica that is not named it takes up one slot at most.
    """

    number: int
    slots: Mapping[ReplicaName, int]
    leader: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionReport:
    """The autoscaler's last answer for one revision, with what it was decided on."""

    revision: RevisionName
    at: float
    """Unix time, seconds."""
    before: int
    after: int
    reason: Reason
    message: str = ""
    inputs: Mapping[str, float | int | str | None] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def later(self, seconds: float, *, at: float) -> "DecisionReport":
        """What it says when it stands `seconds` later still, `at` by the reader's clock."""
        idle_s = self.inputs.get("idle_s")
        if not isinstance(idle_s, int | float):
            return replace(self, at=at)
        inputs = MappingProxyType({**self.inputs, "idle_s": idle_s + seconds})
        return replace(self, at=at, inputs=inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """What one model's GPUs did, in GPU-seconds, and what that costs."""

    model: ModelName
    revision: RevisionName
    gpu_class: str
    price: float
    """Money per GPU hour."""
    starting: float
    serving: float
    idle: float
    draining: float
    always_on: float
    """What always-on replicas would have held over the same span."""

    @property
    def allocated(self) -> float:
        """GPU-seconds held; the states add up to it."""
        return self.starting + self.serving + self.idle + self.draining

    @property
    def released(self) -> float:
        """GPU-seconds that sleeping gave back."""
        return max(0.0, self.always_on - self.allocated)

    def money(self, gpu_seconds: float) -> float:
        """What `gpu_seconds` cost at this line's price."""
        return gpu_seconds * self.price / 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """The bill so far."""

    currency: str
    seconds: float
    """How long has been accounted for."""
    lines: tuple[CostLine, ...]

"""What `decide` reads about one revision at one moment, and what it answers. Pure values.

Rule: everything is on the autoscaler's own clock (`now`); ages from samples are turned into times
      by whoever builds these values (`autoscaler.observe`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from autoscaler.core.window import UNKNOWN, Unknown
from fleet.model import Phase
from fleet.names import GatewayName, ReplicaName
from fleet.reasons import Reason

__all__ = [
    "UNASKED",
    "Choice",
    "Counted",
    "Inputs",
    "Load",
    "ReplicaSeen",
    "Seen",
    "ServerSeen",
    "Unasked",
]

Inputs = Mapping[str, float | int | str | None]


class Counted(NamedTuple):
    """A gateway's growing counters for one revision."""

    demand_s: float
    """Integral of waiting + running, request-seconds."""
    arrivals: float
    completions: float
    service_s: float
    """Sum of dispatch-to-end, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What all member gateways say together; every one of them has a fresh sample."""

    at: float
    """When the newest of the samples came in."""
    counters: Mapping[GatewayName, Counted]
    waiting: int
    running: int
    oldest_wait: float | None = None
    """Seconds that the first in line has waited by now."""
    ended_at: float | None = None
    """When the last request ended; None before the first."""
    longest_s: float = 0.0
    slots: int | None = None
    """Slots of a replica; None while no replica is known to a gateway."""
    opening: bool = False
    """Some replica got ready a moment ago, and its slots do not count yet."""
    drained: int = 0
    """The drain that *every* member has acknowledged, in a sample that came after the mark; 0 when
    they do not all say the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSeen:
    """A model server's answer; None in a field is what it does not say."""

    at: float
    pending: int | None = None
    gpu_use: float | None = None
    compute_s: float | None = None
    completions: int | None = None


class Unasked(Enum):
    """What a model server says that was not asked of late."""

    UNASKED = "unasked"


UNASKED: Final = Unasked.UNASKED


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSeen:
    """A replica that counts: not one that is being stopped."""

    name: ReplicaName
    phase: Phase
    """PENDING, LOADING, READY or FAILED."""
    since: float
    """When it was started, or when it began to wait for its GPU."""
    open: bool = False
    """It has an address: a gateway may send to it."""
    ready_at: float | None = None
    ready_after: float | None = None
    available: bool = True
    """`Replica.available`."""
    made: bool = True
    """`Replica.made`."""
    running: int = 0
    warming: bool = False
    """A made-up inference of a gateway runs there."""
    server: ServerSeen | Unknown | Unasked = UNKNOWN
    """UNKNOWN: it was asked and gave no usable answer. UNASKED is taken for rest, and nothing is
    taken away before it was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One revision at one moment."""

    replicas: int
    """Replicas wanted so far (`spec.replicas`)."""
    members: tuple[ReplicaSeen, ...] = ()
    load: Load | Unknown = UNKNOWN
    blocked: str | None = None
    """Why starting is given up for a while; None while it is not."""
    second_writer: str = ""
    """Who else scales it; empty: nobody."""
    waiting: int = 0
    """Requests known to wait, whoever else is not heard."""

    def count(self, *phases: Phase) -> int:
        """Replicas in one of `phases`."""
        return sum(member.phase in phases for member in self.members)

    @property
    def ready(self) -> tuple[ReplicaSeen, ...]:
        """The replicas whose model answers."""
        return tuple(member for member in self.members if member.phase is Phase.READY)

    @property
    def servers_known(self) -> bool:
        """Whether every ready replica's server has answered."""
        return all(isinstance(member.server, ServerSeen) for member in self.ready)

    @property
    def servers_silent(self) -> bool:
        """Whether some ready replica's server was asked and gave no answer."""
        return any(member.server is UNKNOWN for member in self.ready)

    @property
    def pending(self) -> int:
        """Requests queued inside the model servers, as far as they say."""
        return sum(
            member.server.pending or 0
            for member in self.ready
            if isinstance(member.server, ServerSeen)
        )

    @property
    def idle_since(self) -> float | None:
        """The later of Ready and the last request's end; None while it is in use or not ready.

        In use: something waits or runs at a gateway, or a gateway is not heard.
        """
        load = self.load
        if isinstance(load, Unknown) or load.waiting or load.running or not self.ready:
            return None
        ends = [member.ready_at for member in self.ready if member.ready_at is not None]
        return max([*ends, *([] if load.ended_at is None else [load.ended_at])], default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Replicas, and why."""

    after: int
    reason: Reason
    message: str = ""
    inputs: Inputs = field(default_factory=lambda: MappingProxyType({}))

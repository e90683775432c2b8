"""What a worker and the process over it say to each other, beside `fleet.channel.messages`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fleet.channel.messages import MarkAsked, Noted, Poked, ScaleAsked, Written
from fleet.channel.news import FleetNews
from fleet.channel.samples import SampleNews
from fleet.codec import Codec
from fleet.messages import Allot, Entry, Held, Look, RevisionSample
from fleet.model import Phase
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.settings import Settings
from fleet.starts import Failure
from gateway.core.sums import Figures

__all__ = [
    "Begin",
    "Crowded",
    "Leave",
    "LineReport",
    "Listening",
    "Reload",
    "Report",
    "Retiring",
    "TurnAway",
    "codec",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """To a worker, first of all: who it is."""

    number: int
    name: GatewayName
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """From a worker: it takes connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineReport:
    """What the admin port shows of one worker's line, beside its sample."""

    phase: Phase
    cold_starts: int
    last_cold_start_s: float | None
    cold_start_phases: Mapping[str, float]
    last_failure: Failure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """From a worker, once a second: what it has counted, where that has changed."""

    tallies: Mapping[RevisionName, Figures] = field(default_factory=lambda: MappingProxyType({}))
    other: Figures | None = None
    """Requests that reached no model."""
    lines: Mapping[RevisionName, LineReport] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retiring:
    """From a worker: what it runs on replicas that take nothing new, having seen this snapshot."""

    number: int
    """The snapshot's."""
    running: Mapping[ReplicaName, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowded:
    """From a worker: somebody waits who could run if it had more slots."""

    sample: RevisionSample


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """To a worker: go by these settings, and read files again."""

    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnAway:
    """To a worker: let health calls say that new requests should go elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """To a worker: accept nothing more, and end when all is answered."""

    grace: float
    """Seconds; who still waits then is refused."""


def codec() -> Codec:
    """Reads and writes all that goes between the two."""
    from_worker = (SampleNews, Entry, Poked, ScaleAsked, MarkAsked, Noted)
    own = (Listening, Report, Retiring, Held, Crowded)
    to_worker = (FleetNews, Written, Look, Begin, Allot, Reload, TurnAway, Leave)
    return Codec(*from_worker, *own, *to_worker)

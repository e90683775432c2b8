"""What the admin side reads, and nothing that it could change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fleet.messages import CostReport, DecisionReport, Entry, RevisionSample
from fleet.model import Fleet, Phase
from fleet.names import RevisionName
from fleet.reasons import Reason
from fleet.starts import Failure
from gateway.core.tally import Tally

__all__ = ["AdminView", "LineView", "ProcessState", "Unready"]


class LineView(Protocol):
    """One revision's line, as the admin side sees it."""

    @property
    def cold_starts(self) -> int:
        """Cold starts so far."""
        ...

    @property
    def last_cold_start_s(self) -> float | None:
        """Seconds from arrival to the first byte of the last one; None before the first."""
        ...

    @property
    def cold_start_phases(self) -> Mapping[str, float]:
        """Seconds by phase of the cold start under way, else of the last one."""
        ...

    @property
    def last_failure(self) -> Failure | None:
        """The last failed start."""
        ...

    def phase(self) -> Phase:
        """Where the revision stands as a whole."""
        ...

    def sample(self, now: float) -> RevisionSample:
        """Who waits and runs, and which replicas are ready."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Unready:
    """Why a process is not ready: what it still lacks, or that it is leaving."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """How a process stands to the cluster and to the others; None: there is none of that."""

    leader: bool | None = None
    """Whether this autoscaler leads."""
    gateways: int | None = None
    """The gateways that are members now."""
    cluster_cut_s: float | None = None
    """Seconds since the API server was last heard of; 0 while it is in touch."""
    bus_cut_s: float | None = None
    """The same for Redis."""
    bus_refused: bool | None = None
    """Whether Redis answers, and refuses something: it is full, or forbids it."""
    leader_cut_s: float | None = None
    """Seconds since a leader was last heard of; 0 while one is."""
    bus_lost: Mapping[str, int] | None = None
    """Messages over Redis that came to nothing so far, by why."""


class AdminView(Protocol):
    """The whole process, as the admin side sees it. Every call is quick and waits for nothing."""

    def fleet(self) -> Fleet:
        """The newest snapshot."""
        ...

    def line(self, revision: RevisionName) -> LineView | None:
        """The line of a revision; None when it has none (yet)."""
        ...

    def tally(self, revision: RevisionName | None) -> Tally | None:
        """A revision's requests so far; with None those that named no model there is."""
        ...

    def journal(self, limit: int, *, revision: RevisionName | None = None) -> Sequence[Entry]:
        """The newest `limit` entries, oldest first, of one revision or of all."""
        ...

    def decision(self, revision: RevisionName) -> DecisionReport | None:
        """The autoscaler's last answer for a revision; None before the first."""
        ...

    def cost(self) -> CostReport:
        """The bill so far."""
        ...

    def unready(self) -> Unready | None:
        """Why new requests are not welcome; None while they are."""
        ...

    def process(self) -> ProcessState:
        """How this process stands to the others."""
        ...

    def now(self) -> float:
        """Seconds on the clock that the fleet's times are told in."""
        ...

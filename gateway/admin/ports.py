"""What the admin side reads, and nothing that it could change."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from fleet.messages import CostReport, DecisionReport, Entry, RevisionSample
from fleet.model import Fleet, Phase
from fleet.names import RevisionName
from fleet.starts import Failure
from gateway.core.tally import Tally

__all__ = ["AdminView", "LineView"]


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

    def ready(self) -> bool:
        """Whether new requests are welcome: False from SIGTERM on."""
        ...

    def now(self) -> float:
        """Seconds on the clock that the fleet's times are told in."""
        ...

"""What was measured of whom: samples of each round, and ratios between contenders. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.stats import Row, ratios

__all__ = ["Entry", "Measured", "Sample", "bound", "entry_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One contender in one round."""

    rps: float
    """What was finished per second: requests, calls, or what the case counts."""
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """User and system time of the contender's processes for each of them, microseconds."""
    rss_mb: float
    """Resident memory after the load, 10^6 bytes."""
    peak_mb: float
    """The most that was resident at once during it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One contender in one case, all rounds in order."""

    case: str
    contender: str
    samples: tuple[Sample, ...]

    @property
    def cpu_us(self) -> tuple[float, ...]:
        return tuple(sample.cpu_us for sample in self.samples)

    def median(self, figure: str) -> float:
        """The median over the rounds of one of a sample's figures."""
        return float(statistics.median(getattr(sample, figure) for sample in self.samples))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came out of a case."""

    entries: tuple[Entry, ...] = ()
    rows: tuple[Row, ...] = ()
    missing: tuple[str, ...] = ()
    """What could not be measured here, and why: a line each."""


def entry_of(entries: Sequence[Entry], contender: str) -> Entry | None:
    """That contender's, None where it took no part."""
    return next((entry for entry in entries if entry.contender == contender), None)


def bound(
    entries: Sequence[Entry], peer: str, limit: float, *, must: bool = True
) -> tuple[Row, ...]:
    """CPU of ebbtide over that of `peer`, round by round, beside what it must not exceed."""
    ours, theirs = entry_of(entries, "ebbtide"), entry_of(entries, peer)
    if ours is None or theirs is None:
        return ()
    values = ratios(ours.cpu_us, theirs.cpu_us)
    figure = f"CPU, ebbtide / {peer}"
    row = Row(case=ours.case, figure=figure, unit="x", values=values, aim=limit, must=must)
    return (row,)

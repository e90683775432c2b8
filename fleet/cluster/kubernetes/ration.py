"""How many Events a Deployment gets: a few at once, then one now and then. Pure.

Rule 1: what is said again within a while is one Event with a count, as Kubernetes has it.
Rule 2: what is too much is counted, not told; the next that is told has the whole count.
"""

from dataclasses import dataclass, field

from fleet.names import RevisionName

__all__ = ["Ration", "Telling"]

_BURST = 20.0
_PER_S = 1 / 15
_TOGETHER_S = 600.0
_MOST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """An Event to write."""

    number: int
    """Tells it from all others of this process."""
    count: int
    """How often it was said."""
    made: bool
    """It is there already, with a smaller count."""


@dataclass(slots=True)
class _Series:
    number: int
    last: float
    count: int = 0
    written: bool = False


@dataclass(slots=True)
class _Bucket:
    at: float
    tokens: float = _BURST


@dataclass(slots=True)
class Ration:
    """What was told lately."""

    _series: dict[tuple[RevisionName, str, str], _Series] = field(default_factory=dict)
    _buckets: dict[RevisionName, _Bucket] = field(default_factory=dict)
    _number: int = 0

    def take(
        self, revision: RevisionName, reason: str, message: str, *, now: float
    ) -> Telling | None:
        """Something is said of a revision: what to write of it; None: nothing now."""
        self._forget(now)
        series = self._series.get((revision, reason, message))
        if series is None or now - series.last > _TOGETHER_S:
            self._number += 1
            series = _Series(number=self._number, last=now)
            self._series[revision, reason, message] = series
        series.count += 1
        series.last = now
        if not self._allowed(revision, now):
            return None
        made, series.written = series.written, True
        return Telling(number=series.number, count=series.count, made=made)

    def lost(self, telling: Telling) -> None:
        """It is not there, or could not be written: what comes next is a new one."""
        for key, series in list(self._series.items()):
            if series.number == telling.number:
                del self._series[key]

    def _allowed(self, revision: RevisionName, now: float) -> bool:
        bucket = self._buckets.setdefault(revision, _Bucket(at=now))
        bucket.tokens = min(_BURST, bucket.tokens + (now - bucket.at) * _PER_S)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _forget(self, now: float) -> None:
        if len(self._series) >= _MOST:
            old = sorted(self._series, key=lambda key: self._series[key].last)
            for key in old[: _MOST // 2]:
                del self._series[key]
        if len(self._buckets) >= _MOST:
            full = _BURST / _PER_S
            kept = {name: each for name, each in self._buckets.items() if now - each.at < full}
            self._buckets = kept

"""Averages and peaks over the last seconds, as immutable values. Pure.

Rule 1: `UNKNOWN` is a value of its own. It is never 0: what is not known holds the scale.
Rule 2: averages come from integrals that only grow, so a reading that comes late or twice changes
        nothing, and what happened between two looks is not lost.
Rule 3: memory is bounded whatever the number of looks: points closer than 1/120 of the span merge.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from types import MappingProxyType
from typing import Final

from fleet.names import GatewayName

__all__ = ["UNKNOWN", "Meter", "Steps", "Unknown", "Vector", "Window"]

Vector = tuple[float, ...]

_RESOLUTION = 1 / 120
_NO_SOURCES: Mapping[GatewayName, Vector] = MappingProxyType({})


class Unknown(Enum):
    """What a reading is when there is none."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """The growing counters of several sources (gateways), added up into one that never falls.

    A source seen for the first time adds nothing: what it counted before is not news. One whose
    counter fell has started anew and adds what it has counted since.
    """

    total: Vector = ()
    last: Mapping[GatewayName, Vector] = field(default_factory=lambda: _NO_SOURCES)

    def take(self, sources: Mapping[GatewayName, Vector]) -> "Meter":
        """Add what every source has counted since the last call."""
        total = list(self.total)
        for name, values in sources.items():
            before = self.last.get(name, values)
            fell = any(value < old for value, old in zip(values, before, strict=True))
            growth = values if fell else tuple(v - b for v, b in zip(values, before, strict=True))
            total = [t + g for t, g in zip(total or [0.0] * len(growth), growth, strict=True)]
        return Meter(total=tuple(total), last=MappingProxyType(dict(sources)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The last `span` seconds of growing integrals."""

    span: float
    points: tuple[tuple[float, Vector], ...] = ()

    def add(self, at: float, values: Vector) -> "Window":
        """With the integrals as they stood at `at`; an older or repeated point changes nothing."""
        points = self.points
        if points and at <= points[-1][0]:
            return self
        if points and any(new < old for new, old in zip(values, points[-1][1], strict=True)):
            points = ()
        if len(points) > 1 and at - points[-2][0] < self.span * _RESOLUTION:
            points = points[:-1]
        points += ((at, values),)
        first = 0
        while first + 2 < len(points) and points[first + 1][0] <= at - self.span:
            first += 1
        return Window(span=self.span, points=points[first:])

    def covers(self, span: float) -> bool:
        """Whether the points reach back `span` seconds from the newest."""
        return len(self.points) > 1 and self.points[-1][0] - self.points[0][0] >= span

    @property
    def still(self) -> bool:
        """Whether nothing grew in all of it."""
        return len(self.points) > 1 and all(v == self.points[-1][1] for _, v in self.points)

    def rates(self, span: float) -> Vector | Unknown:
        """Growth per second over the newest `span` seconds, or over as much of it as there is."""
        if len(self.points) < 2:
            return UNKNOWN
        end, last = self.points[-1]
        start, first = self._at(max(end - span, self.points[0][0]))
        if end <= start:
            return UNKNOWN
        return tuple((b - a) / (end - start) for a, b in zip(first, last, strict=True))

    def _at(self, time: float) -> tuple[float, Vector]:
        for (t0, v0), (t1, v1) in zip(self.points, self.points[1:], strict=False):
            if t0 <= time <= t1:
                share = (time - t0) / (t1 - t0)
                return time, tuple(a + (b - a) * share for a, b in zip(v0, v1, strict=True))
        return self.points[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The last `span` seconds of a value that is looked at now and then."""

    span: float
    points: tuple[tuple[float, float], ...] = ()

    def add(self, at: float, value: float) -> "Steps":
        """With a look at `at`. Looks that are very close merge into the larger one."""
        points = self.points
        if points and at <= points[-1][0]:
            at, value = points[-1][0], max(value, points[-1][1])
            points = points[:-1]
        elif len(points) > 1 and at - points[-2][0] < self.span * _RESOLUTION:
            value = max(value, points[-1][1])
            points = points[:-1]
        points += ((at, value),)
        first = 0
        while first + 1 < len(points) and points[first + 1][0] <= at - self.span:
            first += 1
        return Steps(span=self.span, points=points[first:])

    def at(self, time: float) -> float | Unknown:
        """The value at `time`: the newest look not after it, else the oldest there is."""
        if not self.points:
            return UNKNOWN
        found = self.points[0][1]
        for at, value in self.points:
            if at <= time:
                found = value
        return found

    def covers(self, time: float) -> bool:
        """Whether the looks reach back to `time`."""
        return bool(self.points) and self.points[0][0] <= time

    @property
    def began(self) -> float:
        """The first look there is; infinite: none."""
        return self.points[0][0] if self.points else inf

    @property
    def constant(self) -> bool:
        """Whether all looks saw one value."""
        return all(value == self.points[-1][1] for _, value in self.points)

    @property
    def fell_at(self) -> float:
        """The first look that saw less than the highest there is, and all after it; infinite: none.

        Once it is `delay` seconds old, `highest` of those seconds falls.
        """
        top = max((value for _, value in self.points), default=0.0)
        last = max((n for n, (_, value) in enumerate(self.points) if value == top), default=-1)
        return self.points[last + 1][0] if last + 1 < len(self.points) else inf

    def highest(self, since: float) -> float | Unknown:
        """The sliding maximum: the highest value in force at or after `since`."""
        before = self.at(since)
        if before is UNKNOWN:
            return UNKNOWN
        return max([before, *(value for at, value in self.points if at >= since)])

    def mean(self, since: float) -> float | Unknown:
        """The mean of the looks at or after `since`."""
        values = [value for at, value in self.points if at >= since]
        return sum(values) / len(values) if values else UNKNOWN

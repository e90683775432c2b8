"""Tallies as values, so that those of several processes can be sent and added up. Pure.

Rule: what `Figures` names is what a `Tally` has: a count, counts by key, or a histogram.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from activator.core.retries import Denied, Loss
from fleet.reasons import Reason
from gateway.core.tally import Buckets, Tally

__all__ = ["Figures", "Times", "added_up", "figures", "size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A histogram of seconds, with the bounds that every `Tally` has."""

    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A `Tally` at one moment."""

    codes: Mapping[int, int]
    refused: Mapping[Reason, int]
    retried: Mapping[Loss, int]
    denied: Mapping[Denied, int]
    put_out: int
    wait: Times
    upstream: Times


_NAMES = tuple(field.name for field in fields(Figures))


def figures(tally: Tally) -> Figures:
    """What `tally` has counted by now."""
    return Figures(**{name: _still(getattr(tally, name)) for name in _NAMES})


def added_up(several: Iterable[Figures]) -> Tally:
    """A tally that has counted what all of them have."""
    tally = Tally()
    for one in several:
        for name in _NAMES:
            total, part = getattr(tally, name), getattr(one, name)
            setattr(tally, name, _both(total, part))
    return tally


def size(tally: Tally) -> tuple[int, ...]:
    """Numbers that change whenever `tally` counts anything; cheaper than its figures."""
    return tuple(_size(getattr(tally, name)) for name in _NAMES)


def _both(total: Any, part: Any) -> Any:
    if isinstance(total, Buckets):
        total.counts = [a + b for a, b in zip(total.counts, part.counts, strict=True)]
        total.total += part.total
        return total
    if isinstance(total, int):
        return total + part
    for key, count in part.items():
        total[key] = total.get(key, 0) + count
    return total


def _size(counted: Any) -> int:
    if isinstance(counted, int):
        return counted
    return sum(counted.counts if isinstance(counted, Buckets) else counted.values())


def _still(counted: Any) -> Any:
    if isinstance(counted, Buckets):
        return Times(counts=tuple(counted.counts), total=counted.total)
    return counted if isinstance(counted, int) else MappingProxyType(dict(counted))

"""Figures out of measurements: spreads, ratios, turns, and the rows of a report. Pure."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Row", "Spread", "Turn", "cpu_us", "ratios", "spread", "turns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The least, middle and greatest of some values."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of the report, in `unit`, with every value it was made from."""

    case: str
    figure: str
    unit: str
    values: tuple[float, ...]
    aim: float | None = None
    """The median should not be above this; None where nothing is aimed for."""
    must: bool = False
    """Whether the aim must hold: the run fails when it is missed."""

    @property
    def spread(self) -> Spread:
        return spread(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the aim; None without one."""
        return None if self.aim is None else self.spread.median <= self.aim

    @property
    def fails(self) -> bool:
        """Whether this row alone makes the run fail."""
        return self.must and self.met is False


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Whose turn it is in which round, counted from 0."""

    round: int
    name: str


def spread(values: Sequence[float]) -> Spread:
    """The spread of `values`. Raises `ValueError` when there are none, or one is not finite."""
    if not values or not all(math.isfinite(value) for value in values):
        msg = f"finite values are needed, at least one: {list(values)}"
        raise ValueError(msg)
    return Spread(low=min(values), median=statistics.median(values), high=max(values))


def ratios(ours: Sequence[float], peers: Sequence[float]) -> tuple[float, ...]:
    """`ours` over `peers`, round by round. Raises `ValueError` when they do not pair up."""
    if len(ours) != len(peers) or any(peer <= 0 for peer in peers):
        msg = f"one positive peer for each round: {list(ours)} over {list(peers)}"
        raise ValueError(msg)
    return tuple(our / peer for our, peer in zip(ours, peers, strict=True))


def turns(names: Sequence[str], rounds: int) -> tuple[Turn, ...]:
    """Everyone once in each round; who begins changes from round to round."""
    return tuple(
        Turn(round=number, name=names[(number + place) % len(names)])
        for number in range(rounds)
        for place in range(len(names))
    )


def cpu_us(seconds: float, requests: int) -> float:
    """Microseconds of CPU per request. Raises `ValueError` when no request was answered."""
    if requests <= 0:
        msg = "no request was answered"
        raise ValueError(msg)
    return seconds * 1e6 / requests

"""What every case is given, and how it is asked."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.entries import Measured

__all__ = ["Case", "Run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the benchmark."""

    rounds: int
    seconds: int
    """How long each contender is loaded in a round."""
    folder: Path
    """An empty folder for configurations, manifests and logs."""
    cache: Path
    """Where fetched programs stay."""
    lock: Path
    """The pinned peers from PyPI."""
    facts: dict[str, str]
    """Versions met on the way, for the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A thing to measure, by name."""

    name: str
    what: str
    measure: Callable[[Run], Measured]

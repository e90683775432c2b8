"""What a gateway's process and the one that holds the cluster say to each other. Values. Pure."""

from dataclasses import dataclass
from enum import Enum

from fleet.model import Drain
from fleet.names import RevisionName
from fleet.reasons import Reason

__all__ = ["MarkAsked", "Noted", "Poked", "ScaleAsked", "Written", "Wrong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleAsked:
    """A call of `Cluster.scale`; `Written` with its number answers it."""

    number: int
    revision: RevisionName
    replicas: int
    expect: str
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkAsked:
    """A call of `Cluster.mark`; `Written` with its number answers it."""

    number: int
    revision: RevisionName
    drain: Drain | None
    expect: str


class Wrong(Enum):
    """Which error a write ended with."""

    CONFLICT = "conflict"
    GONE = "gone"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The end of a write."""

    number: int
    version: str = ""
    wrong: Wrong | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A call of `Cluster.note`."""

    revision: RevisionName
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Poked:
    """A call of `Bus.poke`."""

    revision: RevisionName

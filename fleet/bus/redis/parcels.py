"""What is written in Redis: the messages of logs, pokes and journal lines. Values. Pure.

Rule 1: a log's messages are numbered, and say which life of which writer they are from: a reader
        sees at once that it has missed one, or that somebody else writes.
Rule 2: what says all there is to say may take several messages (`more`): only with the last of
        them is it believed.
Rule 3: what comes from Redis is input from outside: too large, malformed or in another's name it
        is an `OddParcelError`, whatever it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from fleet.channel.messages import Poked
from fleet.channel.samples import SampleNews
from fleet.codec import Codec, CodecError
from fleet.messages import CostReport, DecisionReport, Entry, Held, Look
from fleet.names import GatewayName, ReplicaName, RevisionName

__all__ = [
    "MOST_BYTES",
    "Following",
    "Fresh",
    "GatewayNews",
    "LeaderNews",
    "Line",
    "OddParcelError",
    "Parcel",
    "Shares",
    "read",
    "written",
]

MOST_BYTES = 8 * 2**20
"""The largest message: the costs of some ten thousand models."""

_T = TypeVar("_T")


class OddParcelError(ValueError):
    """A message that is not what it should be; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """One replica's slots, as the leader has shared them out."""

    number: int
    """Of the `Allot` that they were told with last."""
    slots: Mapping[GatewayName, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayNews:
    """What a gateway has to say."""

    sample: SampleNews | None = None
    held: Held | None = None
    """Of replicas where it has changed; one slot: it takes up no more than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderNews:
    """What the leader has to say, where it is new."""

    look: Look | None = None
    look_age: float = 0.0
    """Seconds since it ended."""
    decisions: Mapping[RevisionName, str] = field(default_factory=lambda: MappingProxyType({}))
    """Each a `DecisionReport` as it is written by itself: most of them nobody ever reads."""
    decided_age: float | None = None
    """Seconds since all decisions held; None: there is no news of that."""
    decided_at: float | None = None
    """The same as a time of the leader's own, as those of the decisions are."""
    undecided: tuple[RevisionName, ...] = ()
    """Revisions that are registered no more."""
    cost: str | None = None
    """A `CostReport`, written by itself too."""
    shares: Mapping[ReplicaName, Shares] = field(default_factory=lambda: MappingProxyType({}))
    unshared: tuple[ReplicaName, ...] = ()
    """Replicas that are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A message of a log: of a gateway's, or of a leader's."""

    writer: str
    """The gateway's name, or the leader's term."""
    life: str
    """Tells a writer from the one before it of that name."""
    number: int
    at: float
    """When it was written, by Redis' clock: Unix seconds."""
    whole: bool = False
    """It says all there is, with those that follow while there is `more`."""
    more: bool = False
    gateway: GatewayNews | None = None
    leader: LeaderNews | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """There is something new in this log."""

    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the journal; one writer's are numbered, so that one sent twice is read once."""

    life: str
    number: int
    entry: Entry


# All whole numbers are counts, or count something.
_codec = Codec(Parcel, Fresh, Poked, Line, DecisionReport, CostReport, least=0)


def written(value: object) -> bytes:
    """A message as it is sent. Raises `OddParcelError` for one that nobody would read."""
    try:
        data = _codec.encode(value)
    except CodecError as error:
        raise OddParcelError(str(error)) from error
    if len(data) > MOST_BYTES:
        msg = f"{type(value).__name__}: {len(data)} bytes, at most {MOST_BYTES}"
        raise OddParcelError(msg)
    return data


def read(kind: type[_T], data: object) -> _T:
    """The message of `kind` that `data` is. Raises `OddParcelError`."""
    if not isinstance(data, bytes) or len(data) > MOST_BYTES:
        msg = f"expected at most {MOST_BYTES} bytes"
        raise OddParcelError(msg)
    try:
        return _codec.read(kind, data)
    except CodecError as error:
        raise OddParcelError(str(error)) from error


class Following:
    """Whether the messages of one log follow on each other."""

    __slots__ = ("_number", "life")

    def __init__(self) -> None:
        self.life: str | None = None
        """Whose messages are read; None: not known, or one was missed."""
        self._number = 0

    def take(self, parcel: Parcel) -> bool:
        """Whether it is to be read. False also for one that was read before.

        Once one is missed none is, until one says all there is.
        """
        if parcel.whole and not (parcel.life == self.life and parcel.number <= self._number):
            self.life, self._number = parcel.life, parcel.number
            return True
        if parcel.life != self.life:
            self.life = None
            return False
        if parcel.number <= self._number:
            return False
        if parcel.number > self._number + 1:
            self.life = None
            return False
        self._number = parcel.number
        return True

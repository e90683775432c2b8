"""A request's ticket, and the seats that it may be sent to. Pure; the rules are the ledger's."""

from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import Protocol

from activator.core.retries import Denied
from fleet.model import Tls
from fleet.names import ReplicaName

__all__ = ["ANYWHERE", "Link", "Seat", "Sequence", "State", "Step", "Ticket", "Wish", "key_of"]


def key_of(text: bytes) -> int:
    """The key that stands for `text`, the same in every process: 64 bits."""
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A request's place in a sequence."""

    key: int
    """Stands for the sequence's correlation ID."""
    start: bool = False
    end: bool = False


class Sequence:
    """Requests that one replica serves one after the other, since it remembers those before."""

    __slots__ = ("held", "last", "lined", "replica", "runs")

    def __init__(self) -> None:
        self.replica: ReplicaName | None = None
        """Where; None while its first step waits."""
        self.held = 0
        """Steps that are here: they wait or run."""
        self.lined = 0
        """Those of them that stand in line with everyone else."""
        self.runs = False
        """One of them runs."""
        self.last = 0.0
        """When the last step ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Where a request would like to run."""

    key: int | None = None
    """What decides which seat it would like best; None: any."""
    step: Step | None = None
    """It must run where its sequence does."""


ANYWHERE = Wish()


class State(Enum):
    """Where a ticket stands."""

    NEW = "new"
    WAITING = "waiting"
    RUNNING = "running"
    LEFT = "left"


_NEW = State.NEW


class Link(Protocol):
    """What the request path keeps with a seat: its connections."""

    def close(self) -> None:
        """The seat is gone."""
        ...


class Ticket:
    """One request in the ledger. `guest` is the shell's; the ledger never looks at it."""

    __slots__ = (
        "afresh",
        "announced",
        "arrived",
        "caller",
        "cold",
        "crashes",
        "denied",
        "dispatched",
        "guest",
        "key",
        "number",
        "precedence",
        "seat",
        "sequence",
        "since",
        "size",
        "state",
        "step",
        "waited",
    )

    def __init__(self, guest: object, size: int, *, caller: str = "", precedence: int = 0) -> None:
        self.guest = guest
        self.size = size
        """Bytes buffered for it while it waits."""
        self.caller = caller
        """Whose it is: callers of one model take turns."""
        self.precedence = precedence
        """Whoever has a higher one goes first."""
        self.state = _NEW
        self.seat: Seat | None = None
        self.arrived = 0.0
        self.since = 0.0
        """When it began to wait: at its arrival, or when its replica broke."""
        self.waited = 0.0
        """Seconds it has waited until its latest dispatch, those before a broken one included."""
        self.dispatched = 0.0
        self.number = 0
        self.crashes = 0
        """How often a replica broke while this ran on it."""
        self.afresh = False
        """It is tried once more on its seat, and counted as sent again."""
        self.denied: Denied | None = None
        """Why the line would not have it sent again."""
        self.cold = False
        """Whether nothing was ready when it arrived."""
        self.announced = False
        """Whether its guest was told of the latest dispatch."""
        self.step: Step | None = None
        self.sequence: Sequence | None = None
        """What it is a step of, once it has arrived."""
        self.key: int | None = None
        """What decides which seat it would like best; None: any."""


class Seat:
    """One ready replica: where requests are sent, and who runs there."""

    __slots__ = (
        "allotted",
        "back_at",
        "busy_s",
        "doubtful",
        "doubts",
        "draining",
        "ejections",
        "failures",
        "grpc_port",
        "grpc_tls",
        "host",
        "limit",
        "link",
        "name",
        "open",
        "out_until",
        "port",
        "proved",
        "ready_after",
        "ready_at",
        "running",
        "salt",
        "slots",
        "tls",
        "warming",
    )

    def __init__(self, name: ReplicaName, *, host: str, port: int, slots: int) -> None:
        self.name = name
        self.salt = key_of(name.encode())
        """Its part in every key's order of the seats."""
        self.host = host
        self.port = self.grpc_port = port
        """Where it takes HTTP, and where gRPC."""
        self.slots = slots
        self.allotted: int | None = None
        """How many of the slots are this gateway's, where several share them; None: all."""
        self.limit = 0
        """How many may run now: 0, 1, or `room`."""
        self.proved = False
        """Whether an inference has answered here, or had its second to."""
        self.draining = False
        """It is to take nothing new, or is gone."""
        self.doubtful = False
        """A request broke on it, or too many failed, and its model has not answered since."""
        self.doubts = 0
        """How often it came into doubt since it last answered."""
        self.failures = 0
        """How many of its answers failed since the last good one (`activator.core.outliers`)."""
        self.ejections = 0
        """How often in a row it was put out for that."""
        self.out_until = self.back_at = 0.0
        """When it may be asked whether it is well again, and when it last was."""
        self.open = True
        """Neither draining nor doubtful."""
        self.running: set[Ticket] = set()
        self.busy_s = 0.0
        """Seconds with at least one running. Only grows."""
        self.warming = False
        """A made-up inference runs on it."""
        self.ready_at = 0.0
        self.ready_after: float | None = None
        """Seconds from having its GPU to ready; None where nobody here saw it get ready."""
        self.link: Link | None = None
        self.tls: Tls | None = None
        self.grpc_tls: Tls | None = None
        """How its HTTP and gRPC ports are spoken to; None: plainly."""

    @property
    def room(self) -> int:
        """How many may run at most: its slots, or the part of them that is this gateway's."""
        return self.slots if self.allotted is None else min(self.slots, self.allotted)

    def turn(self, *, draining: bool | None = None, doubtful: bool | None = None) -> None:
        """Change whether it takes anything new."""
        self.draining = self.draining if draining is None else draining
        self.doubtful = self.doubtful if doubtful is None else doubtful
        self.open = not (self.draining or self.doubtful)

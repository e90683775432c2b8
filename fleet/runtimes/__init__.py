"""What each model server speaks. A `Profile` is facts and pure functions; a `ModelServer` asks one.

A profile decides which calls may pass (its *allow-list*), which of them wake a sleeping model, how
errors are shaped for its callers, and how a failed start explains itself. `profile(name)` finds it.

Rule 1: what the allow-list does not name does not pass. Triton's repository control, shared memory,
        trace and logging answer anyone who reaches the port, so they never do.
Rule 2: paths given to `classify` are normalised already (`gateway.core.route`): decoded once,
        without dot segments, empty segments, or anything else that two readers could read two ways.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from fleet.model import AllowRule, Ports, RuntimeName, Tls

__all__ = [
    "Call",
    "CallKind",
    "Endpoint",
    "ErrorShape",
    "ModelServer",
    "Profile",
    "Reading",
]


class CallKind(Enum):
    """What a call that may pass is for."""

    INFER = "infer"
    """Wakes, and counts as use."""
    METADATA = "metadata"
    """Wakes only when never seen; else the last copy seen is the answer while asleep."""
    CONFIG = "config"
    """As METADATA."""
    STATS = "stats"
    """Never wakes; 503 `asleep`."""
    READY = "ready"
    """Never wakes; the gateway answers for a model that has no replica."""
    SERVER = "server"
    """About the server as a whole (`/v2`, `/v2/health/live`): answered by the gateway."""


class ErrorShape(Enum):
    """How an error body looks to this protocol's clients."""

    V2 = "v2"
    OPENAI = "openai"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one method and path mean."""

    kind: CallKind
    model: str | None = None
    """The name in the path (decoded), where there is one."""
    start: int = 0
    """Where that name begins in the path, so that an alias can be replaced by its served name."""
    end: int = 0
    named_in_body: bool = False
    """The `model` field of the JSON body names the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One model server's facts."""

    name: RuntimeName
    ports: Ports
    """The ports it listens on by default."""
    classify: Callable[[str, str, Sequence[AllowRule]], Call | None]
    """(method, normalised path, allow rules) -> what it is; None: it may not pass."""
    shape: ErrorShape
    repeatable: bool
    """An inference may be sent again when its replica broke before the first byte of an answer."""
    cancels: bool
    """Closing the connection stops the work, so the slot is free at once."""
    resets: bool
    """Resetting a gRPC call, or its deadline, does."""
    explain: Callable[[Sequence[str]], str]
    """The cause of a failed start, out of the last log lines."""
    upgrades: bool = False
    """A call may become another protocol (WebSocket) on its connection."""
    trailers: bool = False
    """It reads trailers of a request; Triton never answers one that has some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a replica is asked."""

    address: str
    ports: Ports
    tls: Tls | None = None
    """How its HTTP ports are spoken to; None: plainly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a model server says of its load; None is unknown, and never 0."""

    pending: int | None = None
    """Requests queued inside the server."""
    gpu_use: float | None = None
    """GPU use in 0..1, where the server measures it."""
    compute_s: float | None = None
    """Seconds of compute so far. Only grows; moves only when a request ends."""
    completions: int | None = None
    """Requests it has finished, successfully or not. Only grows."""


class ModelServer(Protocol):
    """Asks a running model server. Every method gives up after `timeout` seconds.

    All raise `fleet.errors.UnavailableError` when there is no usable answer.
    """

    async def ready(self, endpoint: Endpoint, models: Sequence[str], *, timeout: float) -> bool:
        """Whether every one of `models` (served names) answers. False rather than an error."""
        ...

    async def slots(self, endpoint: Endpoint, models: Sequence[str], *, timeout: float) -> int:
        """Requests at once that `slots: auto` means here, from the models' configuration."""
        ...

    async def sequence_idle(
        self, endpoint: Endpoint, models: Sequence[str], *, timeout: float
    ) -> float | None:
        """How long a sequence of requests may rest before the server forgets it, in seconds.

        None: none of the models serves sequences. The longest, where several do.
        """
        ...

    async def warm_up(
        self, endpoint: Endpoint, model: str, *, request: bytes | None, timeout: float
    ) -> None:
        """A first inference: `request` as it is, else one made from the model's metadata."""
        ...

    async def read(self, endpoint: Endpoint, models: Sequence[str], *, timeout: float) -> Reading:
        """Its load now."""
        ...

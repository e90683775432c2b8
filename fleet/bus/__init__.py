"""The Bus port: samples, pokes and the journal between gateways and autoscaler.

Adapters: `fleet.bus.memory` (one process); `fleet.bus.far` (the gateway's half, from a process on
the same machine); Redis comes with Kubernetes.
It carries readings and hints, never authority over a scale: losing a message costs one tick.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fleet.messages import Entry, Look, Looked, Received, Sample
from fleet.names import GatewayName, RevisionName

__all__ = ["Bus", "Reports"]


class Reports(Protocol):
    """A gateway's half: what it says, and whether a leader hears it.

    No call waits, and none raises because the other side is away.
    """

    def publish(self, sample: Sample) -> None:
        """Replace this gateway's sample."""
        ...

    def poke(self, revision: RevisionName) -> None:
        """Ask the leader to look at a revision now. Level-triggered: may get lost or merge."""
        ...

    def append(self, entry: Entry) -> None:
        """Add a line to the journal, which is bounded: the oldest go.

        What several gateways tell of one replica is in it once.
        """
        ...

    def last_look(self) -> Looked | None:
        """The newest look that a leader has ended: the answer to pokes from before it began.

        None before any was heard of. A look of an older term than one heard before counts not.
        """
        ...


class Bus(Reports, Protocol):
    """Publishes and reads the messages of `fleet.messages`."""

    def samples(self) -> Mapping[GatewayName, Received]:
        """The newest sample of every gateway, with when it came in."""
        ...

    def on_poke(self, listener: Callable[[RevisionName], None]) -> Callable[[], None]:
        """Call `listener` for every poke from now on; returns what ends that."""
        ...

    def looked(self, look: Look) -> None:
        """Say that the leader, which is this process, has ended a look."""
        ...

    def on_look(self, listener: Callable[[Look], None]) -> Callable[[], None]:
        """Call `listener` after every look from now on; returns what ends that."""
        ...

    def tail(self, limit: int, *, revision: RevisionName | None = None) -> Sequence[Entry]:
        """The newest `limit` entries, oldest first, of one revision or of all."""
        ...

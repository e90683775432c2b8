"""What a process of a cluster stands on, whatever it is: the API server, Redis, who it is there.

Rule: nothing here waits for the other side: a process comes up, says what it lacks, and goes on
      trying.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from activator.hall import Hall
from autoscaler.loop import Autoscaler
from ebbtide.view import Reports
from fleet.bus import Bus
from fleet.clock import Clock
from fleet.cluster import Cluster
from fleet.model import RuntimeName
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.runtimes import ModelServer
from fleet.tls import Certificates

__all__ = ["Ground", "Membership", "Slots", "Talk", "Touch"]


class Touch(Protocol):
    """Whether a process is in touch with something."""

    @property
    def cut_since(self) -> float | None:
        """Since when it is not, on the clock's `now`; None while it is."""
        ...

    @property
    def trouble(self) -> str:
        """Why it is not, in words; empty while nothing is known to be wrong."""
        ...


class Talk(Touch, Protocol):
    """Whether a process is in touch with Redis, and what comes of it."""

    @property
    def refused(self) -> bool:
        """It answers, and refuses something."""
        ...

    @property
    def unled_since(self) -> float | None:
        """Since when no leader is heard of, on the clock's `now`; None while one is."""
        ...

    @property
    def lost(self) -> Mapping[str, int]:
        """Messages that came to nothing so far, by why."""
        ...


class Membership(Touch, Protocol):
    """A gateway's place among the members."""

    async def taken(self) -> None:
        """Returns once it is a member; what it loses later, it goes on without."""
        ...

    async def release(self) -> None:
        """Be a member no more: nothing is sent to a replica from here any more. Never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """All of it, running."""

    name: GatewayName
    """Of this process, a gateway or not."""
    cluster: Cluster
    read: Callable[[], Awaitable[None]]
    """Begins to read the cluster; returns once there is a first snapshot. To be called once."""
    cluster_touch: Touch
    bus: Bus
    bus_touch: Talk
    reports: Reports
    """As the leader publishes them."""
    publish: Callable[[Autoscaler], None]
    """Publish what this one decides while this process leads."""
    clock: Clock
    group: asyncio.TaskGroup
    servers: Callable[[RuntimeName], ModelServer]
    certificates: Certificates


class Slots(Protocol):
    """How the slots of replicas are shared out, as one gateway sees it."""

    def of(self, replica: ReplicaName) -> int | None:
        """How many of a replica's slots are this gateway's; None: all of them."""
        ...

    def crowded(self, revision: RevisionName) -> None:
        """Somebody waits there and no wake is needed: more of the slots would help."""
        ...

    def use(self, hall: Hall) -> None:
        """The hall that goes by it, and is told when that changes."""
        ...

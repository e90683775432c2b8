"""What the control loop works with: its ports, handed over once."""

from collections.abc import Callable
from dataclasses import dataclass

from fleet.bus import Bus
from fleet.clock import Clock
from fleet.cluster import Cluster
from fleet.leases import Lease, Members
from fleet.model import RuntimeName
from fleet.runtimes import ModelServer

__all__ = ["Surroundings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The ports of one autoscaler."""

    cluster: Cluster
    bus: Bus
    clock: Clock
    servers: Callable[[RuntimeName], ModelServer]
    members: Members
    """The gateways that must be heard."""
    lease: Lease
    """Without it the loop looks on, and writes nothing."""

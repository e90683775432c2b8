"""What `ebbtide up` runs on: this machine as a cluster, in the order in which it starts and ends.

Rule: the replicas' tasks outlive everything that may still need a replica.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from autoscaler.loop import Autoscaler
from autoscaler.surroundings import Surroundings
from ebbtide.serving import Options
from fleet.bus.memory import MemoryBus
from fleet.clock import LoopClock
from fleet.cluster.local.cluster import Host, LocalCluster
from fleet.cluster.local.gpus import Gpus, count_gpus
from fleet.cluster.local.tritonserver import locate
from fleet.leases.fixed import Always, Fixed
from fleet.model import RuntimeName
from fleet.names import GatewayName, ReplicaName
from fleet.runtimes import ModelServer
from fleet.runtimes.asking import Asker
from fleet.runtimes.profiles import profile
from fleet.runtimes.servers import servers
from fleet.settings import Settings
from fleet.tls import Certificates
from gateway.keyfile import KeyFile

__all__ = ["Machine", "machine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The cluster, and what all that works with it shares."""

    cluster: LocalCluster
    bus: MemoryBus
    clock: LoopClock
    gpus: Gpus
    group: asyncio.TaskGroup
    servers: Callable[[RuntimeName], ModelServer]
    certificates: Certificates

    def autoscaler(
        self, gateways: Callable[[], Collection[GatewayName]], settings: Settings
    ) -> Autoscaler:
        """The control loop over it. `gateways`: all there are now."""
        around = Surroundings(
            cluster=self.cluster,
            bus=self.bus,
            clock=self.clock,
            servers=self.servers,
            members=Fixed(gateways),
            lease=Always(),
        )
        return Autoscaler(around, settings)


@asynccontextmanager
async def machine(
    options: Options, running: Callable[[ReplicaName], int]
) -> AsyncIterator[Machine]:
    """Started; stopped in order at the end. `running`: the requests on a replica now."""
    clock = LoopClock()
    settings = options.settings
    if settings.tritonserver:
        # A wrong setting is told now, and not when the first model is called.
        locate(settings.tritonserver, options.environ, state_dir=Path(settings.state_dir))
    # So is a wrong file of keys, which each worker would stumble over by itself.
    KeyFile(settings)
    certificates = Certificates(settings)
    gpus = await count_gpus(options.gpus, options.environ)
    async with asyncio.TaskGroup() as replicas:
        cluster = LocalCluster(
            options.paths,
            host=Host(clock=clock, group=replicas, settings=settings, environ=options.environ),
            gpus=gpus,
            running=running,
            explain=lambda runtime, lines: profile(runtime).explain(lines),
        )
        async with cluster, asyncio.TaskGroup() as group:
            yield Machine(
                cluster=cluster,
                bus=MemoryBus(clock),
                clock=clock,
                gpus=gpus,
                group=group,
                servers=servers(Asker(certificates)),
                certificates=certificates,
            )

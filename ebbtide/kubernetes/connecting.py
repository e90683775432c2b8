"""Connects a process of a cluster with what it stands on, and ends that in order.

Rule: what outlives what: the connections everything; the cluster's watch and Redis all that uses
      them.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from ebbtide.kubernetes.flags import Options
from ebbtide.kubernetes.ground import Ground
from ebbtide.kubernetes.place import identity_of
from ebbtide.kubernetes.touches import BusTouch, ClusterTouch, Published
from fleet.bus.redis.bus import Hears, RedisBus
from fleet.bus.redis.link import Dial, address_of
from fleet.clock import LoopClock, wall_ahead
from fleet.cluster.kubernetes.cluster import KubernetesCluster
from fleet.cluster.kubernetes.notes import Teller
from fleet.cluster.kubernetes.snapshot import Reader
from fleet.errors import SettingError
from fleet.gpubudget import parse_budget
from fleet.kubernetes.api import Api
from fleet.kubernetes.permissions import Component
from fleet.leases.identity import Identity
from fleet.names import GatewayName
from fleet.runtimes.asking import Asker
from fleet.runtimes.profiles import profile
from fleet.runtimes.servers import servers
from fleet.tasks import endless
from fleet.tls import Certificates

__all__ = ["Connected", "connected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """What a composition makes its own Leases and slots with."""

    ground: Ground
    api: Api
    bus: RedisBus
    who: Identity
    luck: Random


@asynccontextmanager
async def connected(
    options: Options, component: Component, *, admin_port: int
) -> AsyncIterator[Connected]:
    """All of it, running; whoever is not there is tried again and again. Raises `SettingError`."""
    clock = LoopClock()
    luck = Random()  # noqa: S311 - so that not all ask at the same moment
    who = identity_of(options.place, options.settings, options.environ, admin_port=admin_port)
    gateway = component is Component.GATEWAY
    certificates = Certificates(options.settings)
    bus = _bus(options, clock, who.name if gateway else None)
    place = options.place
    async with (
        await Api.open(place.kubeconfig, context=place.context) as api,
        asyncio.TaskGroup() as group,
    ):
        cluster = _cluster(options, api, clock, luck, who=who, teller=_teller(component, who))
        reading = _Reading(cluster, group)
        talking = endless(group, bus.run(), name="redis")
        ground = Ground(
            name=who.name,
            cluster=cluster,
            read=reading.begin,
            cluster_touch=ClusterTouch(cluster),
            bus=bus,
            bus_touch=BusTouch(bus, clock, tick=options.settings.tick),
            reports=Published(bus, options.settings.currency),
            publish=bus.report_of,
            clock=clock,
            group=group,
            servers=servers(Asker(certificates)),
            certificates=certificates,
        )
        try:
            yield Connected(ground=ground, api=api, bus=bus, who=who, luck=luck)
        finally:
            reading.end()
            talking.cancel()


class _Reading:
    """The cluster's watch, from when somebody needs it."""

    def __init__(self, cluster: KubernetesCluster, group: asyncio.TaskGroup) -> None:
        self._cluster, self._group = cluster, group
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        self._task = endless(self._group, self._cluster.run(), name="cluster")
        await self._cluster.known()

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _teller(component: Component, who: Identity) -> Teller:
    return Teller(
        controller=f"ebbtide.dev/{component.value}", instance=who.name, run=secrets.token_hex(4)
    )


def _bus(options: Options, clock: LoopClock, name: GatewayName | None) -> RedisBus:
    address = address_of(options.settings)
    if address is None:
        msg = "no Redis is named"
        raise SettingError(msg)
    hears = {Hears.LEADER} if name is not None else {Hears.GATEWAYS, Hears.LEADER}
    return RedisBus(
        Dial(address),
        clock,
        prefix=options.settings.redis_prefix,
        hears=frozenset(hears),
        name=name,
    )


def _cluster(
    options: Options, api: Api, clock: LoopClock, luck: Random, *, who: Identity, teller: Teller
) -> KubernetesCluster:
    settings = options.settings
    reader = Reader(
        offset=lambda: wall_ahead(clock),
        budget=parse_budget(settings.gpu_budget),
        explain=lambda runtime, lines: profile(runtime).explain(tuple(lines)),
        owner=who.namespace,
    )
    return KubernetesCluster(
        api,
        reader,
        clock=clock,
        luck=luck,
        namespaces=tuple(name for name in settings.namespaces.split(",") if name),
        teller=teller,
    )

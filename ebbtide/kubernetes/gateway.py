"""The parts of a gateway, over what it stands on.

Rule 1: it is a member before it reads the cluster for the first time, and so before it dispatches:
        whoever takes replicas away must have heard of it, or it of that. Then it takes connections.
Rule 2: from then on it serves what it can, whatever is away.
Rule 3: on the way out readiness goes first, the place among the members last.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from activator.hall import Hall
from activator.wiring import Outside
from ebbtide.adminport import AdminPort
from ebbtide.kubernetes.figures import Together, Unbilled
from ebbtide.kubernetes.flags import Options
from ebbtide.kubernetes.ground import Ground, Membership, Slots
from ebbtide.kubernetes.standing import Need, Standing
from ebbtide.memory import keep
from ebbtide.requestpath import RequestPath
from ebbtide.reserved import Reserved, reserve
from ebbtide.serving import Serving, shown_url
from ebbtide.signals import Stop
from ebbtide.view import Own, View
from fleet.settings import Settings
from fleet.tasks import endless
from fleet.telemetry import log
from gateway.front import Front

__all__ = ["gateway"]

_log = log(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What signals reach."""

    standing: Standing
    path: RequestPath
    admin: AdminPort
    membership: Membership

    def reload(self, settings: Settings) -> None:
        self.path.reload(settings)
        self.admin.reload(settings)

    async def leave(self, stop: Stop, settings: Settings) -> None:
        self.standing.leaving = True
        await self.path.leave(stop, settings)

    async def begin(self, reserved: Reserved) -> None:
        """Open the request port once all that is needed is there."""
        await self.standing.met()
        keep()
        if self.standing.leaving:
            return
        await self.path.front.adopt(reserved.listen())
        self.standing.begun = True
        _log("begun", port=reserved.port)


@asynccontextmanager
async def gateway(
    options: Options, here: Ground, admin: AdminPort, membership: Membership, slots: Slots
) -> AsyncIterator[Serving]:
    """Everything started; stopped in order at the end."""
    reserved = await reserve(options.host, options.port)
    parts = _parts(options.settings, here, admin, membership, slots)
    works = {**parts.path.works(), **admin.works(here.clock)}
    loops = [endless(here.group, work, name=name) for name, work in works.items()]
    beginning = here.group.create_task(parts.begin(reserved), name="begin")
    tls = bool(options.settings.tls_cert)
    told = {
        "requests": shown_url(options.host, reserved.port, tls=tls),
        "admin": shown_url(options.admin_host, admin.port),
        "name": here.name,
    }
    try:
        yield Serving(greeting=told, reload=parts.reload, leave=parts.leave)
    finally:
        await _end(beginning)
        parts.path.close()
        reserved.close()
        await membership.release()
        for loop in loops:
            loop.cancel()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _parts(
    settings: Settings, here: Ground, admin: AdminPort, membership: Membership, slots: Slots
) -> _Parts:
    outside = Outside(
        cluster=here.cluster,
        bus=here.bus,
        clock=here.clock,
        servers=here.servers,
        settings=settings,
        group=here.group,
        allotted=slots.of,
        crowded=slots.crowded,
    )
    hall = Hall(here.name, outside)
    slots.use(hall)
    front = Front(hall, settings, certificates=here.certificates)
    standing = _standing(here, membership)
    path = RequestPath(hall=hall, front=front, clock=here.clock, certificates=here.certificates)
    together = Together(hall, front, here.reports, here.clock)
    view, figures = (
        View(shown, reports=reports, standing=standing, bus=here.bus, clock=here.clock)
        for shown, reports in (
            (together, here.reports),
            (Own(hall, front), Unbilled(settings.currency)),
        )
    )
    admin.show(view, figures=figures)
    return _Parts(standing=standing, path=path, admin=admin, membership=membership)


def _standing(here: Ground, membership: Membership) -> Standing:
    member = Need(
        what="this gateway has no place among the members yet",
        met=membership.taken,
        touch=membership,
    )
    read = Need(what="the cluster has not been read yet", met=here.read, touch=here.cluster_touch)

    def gateways() -> int | None:
        looked = here.bus.last_look()
        return None if looked is None else looked.look.gateways

    return Standing(
        here.clock,
        needs=(member, read),
        cluster=here.cluster_touch,
        bus=here.bus_touch,
        gateways=gateways,
    )

"""All parts of ebbtide in one process, over processes on this machine.

Rule: replicas end last.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from activator.hall import Hall
from activator.wiring import Outside
from autoscaler.loop import Autoscaler
from ebbtide.adminport import AdminPort
from ebbtide.greeting import greeting
from ebbtide.machine import Machine, machine
from ebbtide.requestpath import RequestPath
from ebbtide.serving import Options, Serving
from ebbtide.signals import Stop
from ebbtide.view import Alone, Own, View
from fleet.names import GatewayName
from fleet.settings import Settings
from fleet.tasks import endless
from gateway.core.admission import Reach
from gateway.front import Front

__all__ = ["alone"]

_NAME = GatewayName("up")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What signals reach."""

    standing: Alone
    path: RequestPath
    autoscaler: Autoscaler
    admin: AdminPort

    def reload(self, settings: Settings) -> None:
        self.path.reload(settings)
        self.autoscaler.reload(settings)
        self.admin.reload(settings)

    async def leave(self, stop: Stop, settings: Settings) -> None:
        self.standing.leaving = True
        await self.path.leave(stop, settings)


@asynccontextmanager
async def alone(options: Options) -> AsyncIterator[Serving]:
    """Everything started; stopped in order at the end."""
    halls: list[Hall] = []
    async with machine(options, lambda name: sum(h.running_on(name) for h in halls)) as here:
        outside = Outside(
            cluster=here.cluster,
            bus=here.bus,
            clock=here.clock,
            servers=here.servers,
            settings=options.settings,
            group=here.group,
        )
        hall = Hall(_NAME, outside)
        halls.append(hall)
        hall.on_quiet(here.cluster.quiet)
        async with _serving(options, here, hall) as serving:
            yield serving


@asynccontextmanager
async def _serving(options: Options, here: Machine, hall: Hall) -> AsyncIterator[Serving]:
    """The control loop, the request port and the admin port over a hall."""
    settings = options.settings
    autoscaler = here.autoscaler(lambda: (hall.name,), settings)
    front = Front(hall, settings, certificates=here.certificates)
    path = RequestPath(hall=hall, front=front, clock=here.clock, certificates=here.certificates)
    standing = Alone()
    view = View(
        Own(hall, front), reports=autoscaler, standing=standing, bus=here.bus, clock=here.clock
    )
    admin = AdminPort(
        settings, host=options.admin_host, port=options.admin_port, reach=Reach.MACHINE
    )
    admin.show(view)
    parts = _Parts(standing=standing, path=path, autoscaler=autoscaler, admin=admin)
    works = {**path.works(), "autoscaler": autoscaler.run(), **admin.works(here.clock)}
    loops = [endless(here.group, work, name=name) for name, work in works.items()]
    try:
        port = await path.listen(options.host, options.port)
        told = greeting(options, hall.fleet, here.gpus, port=port, admin_port=admin.port)
        yield Serving(greeting=told, reload=parts.reload, leave=parts.leave)
    finally:
        path.close()
        for loop in loops:
            loop.cancel()

"""All parts of ebbtide in one process, over processes on this machine.

Rule: on the way out readiness goes first, then, after the delay, the listener; what runs or can
      still be dispatched within the grace time is finished; who still waits then is told so;
      replicas end last.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from activator.hall import Hall
from activator.wiring import Outside
from autoscaler.loop import Autoscaler
from ebbtide.machine import Machine, machine
from ebbtide.serving import Options, Serving
from ebbtide.signals import Stop
from ebbtide.view import Own, View
from fleet.clock import Clock
from fleet.errors import SettingError
from fleet.names import GatewayName
from fleet.reasons import Reason
from fleet.settings import Settings
from fleet.system import system_said
from fleet.tasks import endless
from fleet.tls import Certificates
from gateway.admin.app import make_app
from gateway.admin.server import AdminServer
from gateway.front import Front

__all__ = ["alone"]

_NAME = GatewayName("up")
_LAST_WORDS_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What signals reach."""

    view: View
    hall: Hall
    front: Front
    autoscaler: Autoscaler
    clock: Clock
    certificates: Certificates

    def reload(self, settings: Settings) -> None:
        self.certificates.follow(settings)
        self.hall.reload(settings)
        self.front.reload(settings)
        self.autoscaler.reload(settings)

    async def leave(self, stop: Stop, settings: Settings) -> None:
        self.view.leaving = True
        self.front.turn_away()
        await stop.unless_urgent(self.clock.sleep(settings.shutdown_delay))
        self.front.stop_accepting()
        await stop.unless_urgent(self.front.drained(self.clock.now() + settings.shutdown_grace))
        self.hall.refuse_waiting(Reason.SHUTTING_DOWN)
        await stop.unless_urgent(self.front.drained(self.clock.now() + _LAST_WORDS_S))


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
    autoscaler = Autoscaler(
        here.cluster, here.bus, here.clock, here.servers, settings, lambda: (hall.name,)
    )
    front = Front(hall, settings, certificates=here.certificates)
    view = View(Own(hall, front), autoscaler=autoscaler, bus=here.bus, clock=here.clock)
    admin = AdminServer(make_app(view), host=options.admin_host, port=options.admin_port)
    parts = _Parts(
        view=view,
        hall=hall,
        front=front,
        autoscaler=autoscaler,
        clock=here.clock,
        certificates=here.certificates,
    )
    works = {"hall": hall.run(), "autoscaler": autoscaler.run(), "admin": admin.run()}
    works["certificates"] = here.certificates.run(here.clock)
    works["keys"] = front.keys.run(here.clock)
    loops = [endless(here.group, work, name=name) for name, work in works.items()]
    try:
        yield Serving(
            fleet=hall.fleet,
            gpus=here.gpus,
            port=await _listen(front, options),
            admin_port=admin.port,
            reload=parts.reload,
            leave=parts.leave,
        )
    finally:
        front.close()
        hall.close()
        for loop in loops:
            loop.cancel()


async def _listen(front: Front, options: Options) -> int:
    try:
        return await front.start(options.host, options.port)
    except OSError as error:
        where = f"{options.host}:{options.port}"
        msg = f"cannot listen on {where}: {system_said(error)}; --port takes another"
        raise SettingError(msg) from error

"""All parts of ebbtide in one process, over processes on this machine.

Rule 1: the replicas' tasks outlive everything that may still need a replica.
Rule 2: on the way out readiness goes first, then, after the delay, the listener; what runs or can
        still be dispatched within the grace time is finished; who still waits then is told so;
        replicas end last.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from activator.hall import Hall
from activator.wiring import Outside
from autoscaler.loop import Autoscaler
from ebbtide.signals import Stop
from ebbtide.view import View
from fleet.bus import Bus
from fleet.bus.memory import MemoryBus
from fleet.clock import Clock, LoopClock
from fleet.cluster.local.cluster import Host, LocalCluster
from fleet.cluster.local.gpus import Gpus, count_gpus
from fleet.cluster.local.tritonserver import locate
from fleet.errors import SettingError
from fleet.names import GatewayName
from fleet.reasons import Reason
from fleet.runtimes.asking import asking_client
from fleet.runtimes.profiles import profile
from fleet.runtimes.servers import servers
from fleet.settings import Settings
from fleet.system import system_said
from fleet.tasks import endless
from fleet.tls import Certificates
from gateway.admin.app import make_app
from gateway.admin.server import AdminServer
from gateway.front import Front

__all__ = ["Options", "Parts", "assembled"]

_NAME = GatewayName("up")
_LAST_WORDS_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `ebbtide up` was called with."""

    paths: Sequence[Path]
    gpus: int | None
    host: str
    port: int
    admin_host: str
    admin_port: int
    settings: Settings
    settings_file: Path | None = None
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts, running."""

    view: View
    gpus: Gpus
    hall: Hall
    front: Front
    port: int
    admin_port: int
    autoscaler: Autoscaler
    clock: Clock
    certificates: Certificates

    def reload(self, settings: Settings) -> None:
        """Take over what of `settings` may change while running."""
        self.certificates.follow(settings)
        self.hall.reload(settings)
        self.front.reload(settings)
        self.autoscaler.reload(settings)

    async def leave(self, stop: Stop, settings: Settings) -> None:
        """Finish what runs or can still be dispatched, as long as the grace time allows."""
        self.view.leaving = True
        if settings.shutdown_delay:
            await stop.unless_urgent(self.clock.sleep(settings.shutdown_delay))
        self.front.stop_accepting()
        await stop.unless_urgent(self.front.drained(self.clock.now() + settings.shutdown_grace))
        self.hall.refuse_waiting(Reason.SHUTTING_DOWN)
        await stop.unless_urgent(self.front.drained(self.clock.now() + _LAST_WORDS_S))


@asynccontextmanager
async def assembled(options: Options) -> AsyncIterator[Parts]:
    """Everything started; stopped in order at the end."""
    clock = LoopClock()
    settings = options.settings
    if settings.tritonserver:
        # A wrong setting is told now, and not when the first model is called.
        locate(settings.tritonserver, options.environ, state_dir=Path(settings.state_dir))
    certificates = Certificates(settings)
    gpus = await count_gpus(options.gpus, options.environ)
    halls: list[Hall] = []
    async with asking_client(certificates) as client, asyncio.TaskGroup() as replicas:
        cluster = LocalCluster(
            options.paths,
            host=Host(clock=clock, group=replicas, settings=settings, environ=options.environ),
            gpus=gpus,
            running=lambda name: sum(hall.running_on(name) for hall in halls),
            explain=lambda runtime, lines: profile(runtime).explain(lines),
        )
        async with cluster, asyncio.TaskGroup() as group:
            bus = MemoryBus(clock)
            outside = Outside(
                cluster=cluster,
                bus=bus,
                clock=clock,
                servers=servers(client),
                settings=settings,
                group=group,
            )
            hall = Hall(_NAME, outside)
            halls.append(hall)
            hall.on_quiet(cluster.quiet)
            async with _serving(options, outside, hall, bus, gpus, certificates) as parts:
                yield parts


@asynccontextmanager
async def _serving(
    options: Options,
    outside: Outside,
    hall: Hall,
    bus: Bus,
    gpus: Gpus,
    certificates: Certificates,
) -> AsyncIterator[Parts]:
    """The control loop, the request port and the admin port over a hall."""
    autoscaler = Autoscaler(
        outside.cluster,
        bus,
        outside.clock,
        outside.servers,
        options.settings,
        lambda: (hall.name,),
    )
    front = Front(hall, options.settings, certificates=certificates)
    view = View(hall=hall, front=front, autoscaler=autoscaler, bus=bus, clock=outside.clock)
    admin = AdminServer(make_app(view), host=options.admin_host, port=options.admin_port)
    works = {"hall": hall.run(), "autoscaler": autoscaler.run(), "admin": admin.run()}
    works["certificates"] = certificates.run(outside.clock)
    works["keys"] = front.keys.run(outside.clock)
    loops = [endless(outside.group, work, name=name) for name, work in works.items()]
    try:
        yield Parts(
            view=view,
            gpus=gpus,
            hall=hall,
            front=front,
            port=await _listen(front, options),
            admin_port=admin.port,
            autoscaler=autoscaler,
            clock=outside.clock,
            certificates=certificates,
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

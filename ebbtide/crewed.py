"""All parts of ebbtide with workers: the request path in theirs, everything else in this process.

Rule: on the way out readiness goes first; after the delay the workers leave, each as a single
      process does; replicas end last.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from autoscaler.loop import Autoscaler
from ebbtide.adminport import AdminPort
from ebbtide.greeting import greeting
from ebbtide.machine import Machine, machine
from ebbtide.serving import Options, Serving
from ebbtide.signals import Stop
from ebbtide.view import Alone, View
from ebbtide.workers.crew import Crew, Means
from ebbtide.workers.listeners import Listeners, listen
from ebbtide.workers.sums import Summed
from fleet.clock import Clock
from fleet.settings import Settings
from fleet.tasks import endless
from fleet.tls import Certificates
from gateway.core.admission import Reach

__all__ = ["crewed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What signals reach."""

    standing: Alone
    crew: Crew
    autoscaler: Autoscaler
    admin: AdminPort
    clock: Clock
    certificates: Certificates

    def reload(self, settings: Settings) -> None:
        self.certificates.follow(settings)
        self.crew.reload(settings)
        self.autoscaler.reload(settings)
        self.admin.reload(settings)

    async def leave(self, stop: Stop, settings: Settings) -> None:
        self.standing.leaving = True
        self.crew.turn_away()
        await stop.unless_urgent(self.clock.sleep(settings.shutdown_delay))
        await self.crew.leave(stop, settings)


@asynccontextmanager
async def crewed(options: Options) -> AsyncIterator[Serving]:
    """Everything started; stopped in order at the end."""
    crews: list[Crew] = []
    listeners = await listen(options.host, options.port, options.workers)
    try:
        async with machine(options, lambda name: sum(c.running_on(name) for c in crews)) as here:
            means = Means(
                cluster=here.cluster,
                bus=here.bus,
                clock=here.clock,
                group=here.group,
                listeners=listeners,
                environ=options.environ,
            )
            crew = Crew(options.workers, means, options.settings)
            crews.append(crew)
            async with _serving(options, here, crew, listeners) as serving:
                yield serving
    finally:
        listeners.close()


@asynccontextmanager
async def _serving(
    options: Options, here: Machine, crew: Crew, listeners: Listeners
) -> AsyncIterator[Serving]:
    """The control loop, the workers and the admin port."""
    settings = options.settings
    autoscaler = here.autoscaler(crew.members, settings)
    summed = Summed(here.cluster, here.bus, crew.totals)
    standing = Alone()
    view = View(summed, reports=autoscaler, standing=standing, bus=here.bus, clock=here.clock)
    admin = AdminPort(
        settings, host=options.admin_host, port=options.admin_port, reach=Reach.MACHINE
    )
    admin.show(view)
    parts = _Parts(
        standing=standing,
        crew=crew,
        autoscaler=autoscaler,
        admin=admin,
        clock=here.clock,
        certificates=here.certificates,
    )
    works = {"workers": crew.run(), "autoscaler": autoscaler.run(), **admin.works(here.clock)}
    works["certificates"] = here.certificates.run(here.clock)
    loops = [endless(here.group, work, name=name) for name, work in works.items()]
    try:
        await crew.start()
        told = greeting(
            options,
            here.cluster.fleet(),
            here.gpus,
            port=listeners.port,
            admin_port=admin.port,
        )
        yield Serving(greeting=told, reload=parts.reload, leave=parts.leave)
    finally:
        crew.close()
        for loop in loops:
            loop.cancel()

"""The parts of an autoscaler, over what it stands on: one of several, of which one leads.

Rule 1: it wants to lead only once it knows what there is.
Rule 2: who does not lead looks on, and is as ready as who does: it is there to take over.
Rule 3: on the way out it writes no more first, then lets somebody else lead at once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

from autoscaler.loop import Autoscaler
from autoscaler.news import Newsroom
from autoscaler.surroundings import Surroundings
from ebbtide.adminport import AdminPort
from ebbtide.kubernetes.figures import Overseen, Unbilled
from ebbtide.kubernetes.flags import Options
from ebbtide.kubernetes.ground import Ground
from ebbtide.kubernetes.standing import Need, Standing
from ebbtide.memory import keep
from ebbtide.serving import Serving, shown_url
from ebbtide.signals import Stop
from ebbtide.view import Figures, Reports, View
from ebbtide.workers.sums import Summed, Totals
from fleet.leases import Lease, Members
from fleet.messages import CostReport, DecisionReport
from fleet.names import RevisionName
from fleet.settings import Settings
from fleet.tasks import endless

__all__ = ["Leadership", "autoscaler"]


class Leadership(Lease, Protocol):
    """The right to lead, and the loop that wins it and keeps it."""

    async def run(self) -> None:
        """Endless: try to get it, and to keep it."""
        ...

    async def release(self) -> None:
        """Let somebody else have it at once. Never raises."""
        ...


class _Led:
    """What is said of decisions: by this process while it leads, else by whoever does."""

    def __init__(self, own: Autoscaler, lease: Lease, others: Reports) -> None:
        self._own, self._lease, self._others = own, lease, others

    def _now(self) -> Reports:
        return self._own if self._lease.held() else self._others

    def decision(self, revision: RevisionName) -> DecisionReport | None:
        return self._now().decision(revision)

    def cost(self) -> CostReport:
        return self._now().cost()


class _Parts:
    """What signals reach."""

    def __init__(
        self,
        here: Ground,
        admin: AdminPort,
        leadership: Leadership,
        members: Members,
        settings: Settings,
    ) -> None:
        around = Surroundings(
            cluster=here.cluster,
            bus=here.bus,
            clock=here.clock,
            servers=here.servers,
            members=members,
            lease=leadership,
        )
        self._leadership, self._here, self._admin = leadership, here, admin
        self._autoscaler = Autoscaler(around, settings)
        self._news = Newsroom(around)
        here.publish(self._autoscaler)
        self._standing = _standing(here, leadership, members)
        led = partial(_Led, self._autoscaler, leadership)
        summed = Summed(here.cluster, here.bus, Totals())
        overseen = Overseen(here.cluster, here.bus)
        admin.show(
            self._view(summed, led(here.reports)),
            figures=self._view(overseen, led(Unbilled(settings.currency))),
        )
        self._work: asyncio.Task[None] | None = None

    def _view(self, figures: Figures, reports: Reports) -> View:
        here = self._here
        return View(
            figures, reports=reports, standing=self._standing, bus=here.bus, clock=here.clock
        )

    def start(self) -> None:
        """Begin once there is something to decide on."""
        self._work = endless(self._here.group, self._run(), name="autoscaler")

    async def _run(self) -> None:
        await self._standing.met()
        keep()
        self._standing.begun = True
        async with asyncio.TaskGroup() as group:
            endless(group, self._leadership.run(), name="lease")
            endless(group, self._autoscaler.run(), name="looks")
            endless(group, self._news.run(), name="news")

    def reload(self, settings: Settings) -> None:
        self._here.certificates.follow(settings)
        self._autoscaler.reload(settings)
        self._admin.reload(settings)

    async def leave(self, _stop: Stop, _settings: Settings) -> None:
        self._standing.leaving = True

    async def end(self) -> None:
        """Write no more, then lead no more."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work])
        await self._leadership.release()


def _standing(here: Ground, leadership: Leadership, members: Members) -> Standing:
    read = Need(what="the cluster has not been read yet", met=here.read, touch=here.cluster_touch)
    return Standing(
        here.clock,
        needs=(read,),
        cluster=here.cluster_touch,
        bus=here.bus_touch,
        gateways=lambda: len(members.names()),
        lease=leadership,
    )


@asynccontextmanager
async def autoscaler(
    options: Options, here: Ground, admin: AdminPort, leadership: Leadership, members: Members
) -> AsyncIterator[Serving]:
    """Everything started; stopped in order at the end."""
    parts = _Parts(here, admin, leadership, members, options.settings)
    certificates = here.certificates.run(here.clock)
    works = {**admin.works(here.clock), "certificates": certificates}
    loops = [endless(here.group, work, name=name) for name, work in works.items()]
    parts.start()
    told = {"admin": shown_url(options.admin_host, admin.port), "name": here.name}
    try:
        yield Serving(greeting=told, reload=parts.reload, leave=parts.leave)
    finally:
        await parts.end()
        for loop in loops:
            loop.cancel()

"""The control loop: observe, decide, plan, act, record; every tick, and at once on a poke.

Rule 1: level-triggered. What is missed now, or lost, is seen at the next tick.
Rule 2: within one look, observing and acting go on until nothing is left to do: in one process a
        drain is acknowledged inside the mark's own call, so mark and write share a tick.
Rule 3: a decision is taken on one snapshot. With many models that takes a while, with pauses for
        others; when the fleet has changed by then, or somebody poked, it is taken anew.
Rule 4: an error of a port touches only the revision it is about, and only until the next tick.
"""

import asyncio
import logging
from collections.abc import Mapping

from autoscaler.account import Accounts
from autoscaler.act import Hands
from autoscaler.core.arrange import Case, arrange
from autoscaler.core.plan import Standing, plan, without
from autoscaler.minds import Minds
from autoscaler.observe import Servers, Sight, ready_replicas
from autoscaler.readings import read_servers
from autoscaler.record import Record
from autoscaler.surroundings import Surroundings
from fleet.errors import EbbtideError
from fleet.messages import CostReport, DecisionReport, Look, Received
from fleet.model import Fleet
from fleet.names import GatewayName, RevisionName
from fleet.settings import Settings
from fleet.telemetry import log

__all__ = ["Autoscaler"]

_PASSES = 6
"""Mark, write, clear, and a spare for what comes in between."""
_DISTURBED = 2
"""How often a decision is taken anew in one look: what is written names the version it is about."""
_AT_ONCE = 24
"""Models that are decided without a pause."""
_BREATH_S = 0.005
"""A pause within a look: time for many requests, not for a step of one."""
_SPACING = 0.05
"""Seconds between two looks at least: a burst of pokes is one."""

_log = log(__name__)


class Autoscaler:
    """Drives the replicas of a cluster."""

    def __init__(self, around: Surroundings, settings: Settings) -> None:
        self._cluster = around.cluster
        self._bus = around.bus
        self._clock = clock = around.clock
        self._servers = around.servers
        self._members = around.members
        self._settings = settings
        self._hands = Hands(around.cluster, around.bus, clock)
        self._minds = Minds(settings, clock.now())
        self._accounts = Accounts(settings, clock.now())
        self._record = Record(self._hands, clock, self._breathe)
        self._poked = asyncio.Event()
        self._pokes = 0
        self._looks = 0
        self._urgent = False

    async def run(self) -> None:
        """Endless."""
        ends = (
            self._bus.on_poke(self._poke),
            self._cluster.subscribe(self._account),
        )
        try:
            while True:
                started = self._clock.now()
                self._urgent = self._poked.is_set()
                self._poked.clear()
                await self.look()
                self._say_looked(started)
                await self._pause(started)
        finally:
            for end in ends:
                end()

    def _poke(self, _: RevisionName) -> None:
        self._pokes += 1
        self._poked.set()

    def reload(self, settings: Settings) -> None:
        """Take over what may change while running; from the next tick on."""
        self._settings = settings

    async def look(self) -> None:
        """One tick: everything that can be done now."""
        fleet = self._cluster.fleet()
        self._account(fleet)
        servers = await read_servers(
            fleet,
            ready_replicas(self._received()),
            servers=self._servers,
            clock=self._clock,
            breathe=self._breathe,
        )
        failed: frozenset[RevisionName] = frozenset()
        disturbed = 0
        for _ in range(_PASSES):
            sight, pokes = self._sight(servers), self._pokes
            steps = without(plan(await self._standings(sight)), failed)
            if not steps:
                return
            moved = sight.fleet is not self._cluster.fleet() or pokes != self._pokes
            if moved and disturbed < _DISTURBED:
                disturbed += 1
                continue
            self._minds.number(steps, self._clock.now())
            failed |= await self._hands.carry_out(steps)
        _log("look_unfinished", level=logging.WARNING, steps=len(steps))

    def decision(self, revision: RevisionName) -> DecisionReport | None:
        """The last answer for a revision, with its inputs; None before the first."""
        return self._record.report(revision)

    def cost(self) -> CostReport:
        """The bill until now."""
        self._account(self._cluster.fleet())
        return self._accounts.report()

    def _sight(self, servers: Servers) -> Sight:
        return Sight(
            fleet=self._cluster.fleet(),
            received=self._received(),
            members=self._members.names(),
            servers=servers,
            now=self._clock.now(),
        )

    async def _standings(self, sight: Sight) -> tuple[Standing, ...]:
        cases: list[Case] = []
        for case in self._minds.decide(sight):
            if case is not None:
                cases.append(case)
            if case is None or len(cases) % _AT_ONCE == 0:
                await self._breathe()
        standings = arrange(
            cases,
            sight.fleet.gpus,
            tick=self._settings.tick,
            min_residency=self._settings.min_residency,
            now=sight.now,
        )
        await self._record.take(cases, standings, sight.fleet.revisions)
        return standings

    def _say_looked(self, started: float) -> None:
        """Answer the pokes from before this look."""
        self._looks += 1
        took = self._clock.now() - started
        gateways = max(1, len(self._members.names()))
        try:
            self._bus.looked(Look(term=0, number=self._looks, seconds=took, gateways=gateways))
        except EbbtideError as error:
            _log("look_untold", level=logging.WARNING, error=repr(error))

    def _account(self, fleet: Fleet) -> None:
        self._accounts.take(fleet, self._received(), self._members.names(), now=self._clock.now())

    def _received(self) -> Mapping[GatewayName, Received]:
        try:
            return self._bus.samples()
        except EbbtideError as error:
            # No samples are unknown samples: the scale holds.
            _log("samples_unread", level=logging.WARNING, error=repr(error))
            return {}

    async def _breathe(self) -> None:
        """Let requests go on, unless somebody waits for this look."""
        await self._clock.sleep(0 if self._urgent or self._poked.is_set() else _BREATH_S)

    async def _pause(self, started: float) -> None:
        """Until the next tick, or a poke."""
        spared = started + _SPACING - self._clock.now()
        if spared > 0:
            await self._clock.sleep(spared)
        left = started + self._settings.tick - self._clock.now()
        try:
            async with asyncio.timeout(max(0.0, left)):
                await self._poked.wait()
        except TimeoutError:
            return

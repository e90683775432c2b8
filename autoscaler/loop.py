"""The control loop: observe, decide, plan, act, record; every tick, and at once on a poke.

Rule 1: level-triggered. What is missed now, or lost, is seen at the next tick.
Rule 2: within one look, observing and acting go on until nothing is left to do: in one process a
        drain is acknowledged inside the mark's own call, so mark and write share a tick.
Rule 3: a decision is taken on one snapshot. With many models that takes a while, with pauses for
        others; when the fleet has changed by then, or somebody poked, it is taken anew.
Rule 4: whoever does not hold the lease looks on all the same: it knows what it needs when its turn
        comes, and after a fail-over nothing is lowered for want of readings.
Rule 5: right before replicas are taken away the gateways are counted once more. A member more than
        was heard, and it is decided again at the next look.
Rule 6: so are the model servers of whoever is to lose replicas, unless this look has asked them
        already: with what they say it is decided again, in the same look.
Rule 7: an error of a port touches only the revision it is about, and only until the next tick. Whom
        the cluster lets nobody write gives its GPU after all others, for a minute.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from autoscaler.account import Accounts
from autoscaler.act import Hands
from autoscaler.core.arrange import Case, Rules, arrange
from autoscaler.core.plan import Standing, Step, falling, lowered, plan, without
from autoscaler.minds import Minds
from autoscaler.observe import Sight
from autoscaler.readings import Readings
from autoscaler.record import Record
from autoscaler.surroundings import Surroundings
from fleet.errors import EbbtideError
from fleet.messages import CostReport, DecisionReport, Look, Received
from fleet.model import Fleet
from fleet.names import GatewayName, RevisionName
from fleet.settings import Settings
from fleet.telemetry import log

__all__ = ["Autoscaler"]

_PASSES = 8
"""Ask, mark, write, clear, and as many spares for what comes in between."""
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
        self._members = around.members
        self._lease = around.lease
        self._settings = settings
        self._hands = Hands(around.cluster, around.bus, clock, around.lease)
        self._minds = Minds(settings, clock.now())
        self._accounts = Accounts(settings, clock.now())
        self._readings = Readings(around.servers, clock, self._breathe)
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
            self._lease.subscribe(lambda _: self._poked.set()),
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
        # Whoever does not lead has nothing to answer.
        if self._lease.held():
            self._pokes += 1
            self._poked.set()

    def reload(self, settings: Settings) -> None:
        """Take over what may change while running; from the next tick on."""
        self._settings = settings

    async def look(self) -> None:
        """One tick: everything that can be done now; without the lease it is only looked on."""
        fleet = self._cluster.fleet()
        self._account(fleet)
        await self._readings.look(fleet, self._received())
        failed: frozenset[RevisionName] = frozenset()
        disturbed = 0
        for _ in range(_PASSES):
            sight, pokes = self._sight(), self._pokes
            steps = without(plan(await self._standings(sight)), failed)
            if not (steps and self._lease.held()):
                return
            if await self._readings.confirm(falling(steps), sight.fleet, sight.received):
                continue
            unsafe = await self._unsafe(steps, sight)
            failed, steps = failed | unsafe, without(steps, unsafe)
            moved = sight.fleet is not self._cluster.fleet() or pokes != self._pokes
            if moved and disturbed < _DISTURBED:
                disturbed += 1
                continue
            self._minds.about_to(steps, self._clock.now())
            failed |= await self._hands.carry_out(steps)
            self._minds.refused(self._hands.refused, self._clock.now())
        _log("look_unfinished", level=logging.WARNING, steps=len(steps))

    async def _unsafe(self, steps: Iterable[Step], sight: Sight) -> frozenset[RevisionName]:
        """The revisions that must not be lowered: a gateway may be there that was not asked.

        Whoever began after their drains were marked has seen the marks from the beginning; whoever
        began before is in a list that is made now.
        """
        falling = lowered(steps)
        if not falling:
            return falling
        try:
            there = await self._members.confirm()
        except EbbtideError as error:
            _log("members_unsure", level=logging.DEBUG, error=repr(error))
            return falling
        return frozenset() if set(there) <= set(sight.members) else falling

    def decision(self, revision: RevisionName) -> DecisionReport | None:
        """The last answer for a revision, with its inputs; None before the first."""
        return self._record.report(revision)

    def decisions(self) -> Iterable[DecisionReport]:
        """The last answer for every revision, as it was when it was given."""
        return self._record.reports()

    def decided_at(self) -> float:
        """When all of them held last, Unix time."""
        return self._record.at

    def cost(self) -> CostReport:
        """The bill until now."""
        self._account(self._cluster.fleet())
        return self._accounts.report()

    def _sight(self) -> Sight:
        return Sight(
            fleet=self._cluster.fleet(),
            received=self._received(),
            members=self._members.names(),
            servers=self._readings.said(),
            now=self._clock.now(),
            term=self._lease.term,
        )

    async def _standings(self, sight: Sight) -> tuple[Standing, ...]:
        cases: list[Case] = []
        for case in self._minds.decide(sight):
            if case is not None:
                cases.append(case)
            if case is None or len(cases) % _AT_ONCE == 0:
                await self._breathe()
        if any(case.demands for case in cases):
            # Those at rest hold what others may want.
            cases += self._minds.resting(sight)
        settings = self._settings
        rules = Rules(
            tick=settings.tick,
            min_residency=settings.min_residency,
            gateways=max(1, len(sight.members)),
            grow_first=settings.no_free_gpu == "grow-first",
        )
        standings = arrange(cases, sight.fleet, rules, now=sight.now)
        self._minds.promise(standings)
        await self._record.take(cases, standings, sight.fleet.revisions, aloud=self._lease.held())
        return standings

    def _say_looked(self, started: float) -> None:
        """Answer the pokes from before this look."""
        if not self._lease.held():
            return
        self._looks += 1
        took = self._clock.now() - started
        gateways = max(1, len(self._members.names()))
        look = Look(term=self._lease.term, number=self._looks, seconds=took, gateways=gateways)
        try:
            self._bus.looked(look)
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

"""Gateways, leaders, bus and cluster apart, under requests that never cease: whatever comes late,
is lost, stops or dies, no scale is lowered while a request runs on a replica that goes, and none is
sent there afterwards.

Nor may that rest on the lease: here two may hold it at once, and writes arrive long after they were
decided. In the end, when all is well again, everybody is served, and everything sleeps.
"""

import asyncio
from random import Random

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fleet.model import Policy
from fleet.settings import Settings
from tests.fakes.cluster import revision
from tests.sim.apart import Apart
from tests.sim.loop import VirtualLoop

MODELS = "abc"
NAMES = [revision(name).name for name in MODELS]
POLICY = Policy(slots=2, keep_alive=0.8, max_replicas=3, wait_timeout=3600.0)
SETTINGS = Settings(tick=1.0, stable_window=4.0, panic_window=1.0, min_residency=0.0)

WHICH = st.integers(0, 4)
SPAN = st.sampled_from([0.3, 1.0, 3.0, 8.0])
"""Seconds that a fault lasts."""


class Processes(RuleBasedStateMachine):
    """Every rule breaks something for a while, and lets time go by."""

    @initialize(
        seed=st.integers(0, 10**6),
        gpus=st.integers(1, 3),
        lag=st.sampled_from([0.02, 0.3, 2.0]),
        slowest=st.sampled_from([0.02, 0.2, 1.0]),
        losses=st.sampled_from([0.0, 0.3]),
    )
    def begin(self, seed, gpus, lag, slowest, losses):
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.random = Random(seed)
        self.slowest, self.losses = slowest, losses
        self.term = self.named = 0
        self.runner.run(self._begin(gpus, lag))

    async def _begin(self, gpus, lag):
        self.world = Apart(
            gpus=gpus,
            delay=lambda: self.random.uniform(0.0, self.slowest),
            loses=lambda: self.random.random() < self.losses,
            settings=SETTINGS,
        )
        self.world.cluster.lag = lag
        self.world.cluster.start = 0.3
        for name in MODELS:
            self.world.cluster.put(revision(name, policy=POLICY))
        for _ in range(2):
            await self._gateway()
        for _ in range(2):
            self.world.leader()
        self._lead(0)
        self.traffic = self.world.loop.create_task(self._traffic())

    async def _traffic(self):
        """Bursts for one model and another, and silence between."""
        while True:
            name = self.random.choice(NAMES)
            for _ in range(self.random.choice([1, 1, 2, 6])):
                gateway = self.random.choice(self.world.gateways)
                gateway.call(name, service=self.random.choice([0.05, 0.2, 0.8, 3.0]))
            await asyncio.sleep(self.random.choice([0.02, 0.2, 1.0, 3.0, 5.0]))

    async def _gateway(self):
        self.named += 1
        await self.world.gateway(f"g{self.named}")

    def _lead(self, which):
        self.term += 1
        leaders = self.world.leaders
        leaders[which % len(leaders)].lease.give(self.term)

    def _someone(self, which):
        everybody = [*self.world.gateways, *self.world.leaders]
        return everybody[which % len(everybody)]

    def _go_on(self, seconds=2.0):
        self.runner.run(asyncio.sleep(seconds))

    def _later(self, seconds, what, *args):
        self.world.loop.call_later(seconds, what, *args)
        self._go_on()

    @rule(seconds=SPAN)
    def let_it_be(self, seconds):
        self._go_on(seconds)

    # What may come late or be lost.

    @rule(which=WHICH, late=st.sampled_from([0.3, 2.0, 20.0]), span=SPAN)
    def slow_writes(self, which, late, span):
        """What a process writes now arrives as late as if it was stopped meanwhile."""
        view = self._someone(which).view
        view.out = lambda: late
        self._later(span, setattr, view, "out", lambda: 0.0)

    @rule(which=WHICH, span=SPAN)
    def cut_watch(self, which, span):
        watch = self._someone(which).view.watch
        watch.cut = True
        self._later(span, watch.join)

    @rule(which=WHICH, span=SPAN)
    def lose_answers(self, which, span):
        """What it writes is written, and it does not know."""
        view = self._someone(which).view
        view.mute = True
        self._later(span, setattr, view, "mute", False)

    @rule(which=WHICH, span=SPAN)
    def cut_watch_of_pods(self, which, span):
        """It hears of Deployments all the while."""
        view = self._someone(which).view
        view.see(pods=False)
        self._later(span, lambda: view.see(pods=True))

    @rule(span=SPAN, slowest=SPAN, bus=st.booleans())
    def cut_everything(self, span, slowest, bus):
        """The API server is away, and Redis perhaps; each watch comes back when it does."""

        def back():
            return span + self.random.uniform(0.0, slowest)

        for one in (*self.world.gateways, *self.world.leaders):
            view, end = one.view, one.end
            view.away = view.watch.cut = True
            view.see(pods=False)
            end.cut = bus
            self.world.loop.call_later(span, setattr, view, "away", False)
            self.world.loop.call_later(back(), view.watch.join)
            self.world.loop.call_later(back(), lambda view=view: view.see(pods=True))
            self.world.loop.call_later(back(), setattr, end, "cut", False)
        self._go_on(span)

    @rule(which=WHICH, span=SPAN)
    def cut_bus(self, which, span):
        end = self._someone(which).end
        end.cut = True
        self._later(span, setattr, end, "cut", False)

    @rule()
    def empty_bus(self):
        self.world.wire.empty()
        self._go_on()

    # What may break.

    @rule(which=WHICH)
    def crash_replica(self, which):
        living = [r.name for name in NAMES for r in self.world.cluster.living(name)]

        async def crash():
            if living:
                self.world.cluster.crash(living[which % len(living)])

        self.runner.run(crash())
        self._go_on()

    @rule(which=WHICH, span=SPAN)
    def hold_unready(self, which, span):
        living = [r.name for name in NAMES for r in self.world.cluster.living(name)]

        async def hold():
            if living:
                self.world.cluster.hold_unready(living[which % len(living)])

        self.runner.run(hold())
        self._later(span, self.world.cluster.hold_ready)

    # Who comes, goes and leads.

    @precondition(lambda self: len(self.world.gateways) < 3)
    @rule()
    def start_gateway(self):
        self.runner.run(self._gateway())
        self._go_on()

    @precondition(lambda self: len(self.world.gateways) > 1)
    @rule(which=WHICH, missed_for=SPAN)
    def kill_gateway(self, which, missed_for):
        gateway = self.world.gateways[which % len(self.world.gateways)]
        self.runner.run(self.world.kill(gateway, pod_gone=False))
        self._later(missed_for, self.world.there.discard, gateway.name)

    @precondition(lambda self: len(self.world.gateways) > 1)
    @rule(which=WHICH, noticed=st.booleans(), span=SPAN)
    def start_gateway_anew(self, which, noticed, span):
        """Its container ends, and the next run has its name; it was missed in between, or not."""

        async def anew():
            gateway = self.world.gateways[which % len(self.world.gateways)]
            await self.world.kill(gateway, pod_gone=noticed)
            await asyncio.sleep(span)
            await self.world.gateway(gateway.name)

        self.runner.run(anew())
        self._go_on()

    @rule(which=WHICH, both=st.booleans())
    def lead(self, which, both):
        """Another leads; the one before may not have noticed."""
        if not both:
            for leader in self.world.leaders:
                leader.lease.take(self.term)
        self._lead(which)
        self._go_on()

    @rule(which=WHICH)
    def start_leader_anew(self, which):
        async def anew():
            old = self.world.leaders.pop(which % 2)
            await old.kill()
            self.world.leader()
            self._lead(1)

        self.runner.run(anew())
        self._go_on()

    @invariant()
    def nothing_that_must_never_be(self):
        if hasattr(self, "world"):
            assert self.world.witness.wrongs == self.world.cluster.repeated == []

    def teardown(self):
        if hasattr(self, "world"):
            try:
                self.runner.run(self._end())
            finally:
                self.runner.close()

    async def _end(self):
        """All is well again, and then everybody is served, and everything sleeps."""
        world = self.world
        self.traffic.cancel()
        self.slowest, self.losses = 0.02, 0.0
        await asyncio.sleep(25.0)
        assert world.witness.wrongs == []
        for leader in world.leaders:
            leader.lease.take(self.term)
        self._lead(0)
        calls = [call for gateway in world.gateways for call in gateway.calls]
        await world.until(lambda: all(call.done or call.refusal for call in calls), limit=300.0)
        assert [call.refusal for call in calls if call.refusal] == []
        await world.until(self._sleeps, limit=120.0)
        assert world.witness.wrongs == []
        await world.close()

    def _sleeps(self):
        fleet = self.world.cluster.fleet()
        return not fleet.replicas and all(
            one.drain is None and one.replicas == 0 for one in fleet.revisions.values()
        )


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(
    max_examples=13,
    stateful_step_count=40,
    # A story cut short is another story, since all later chances fall differently.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)

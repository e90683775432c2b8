"""Sweeps through hall and control loop: a fault at every port call, a loss at every moment.

After SQLite and httpcore: the n-th call fails, once and for good; a client leaves, or a replica
dies, at every twentieth of a second; after each run the same things must hold.
"""

import asyncio
import itertools

import pytest

from fleet.errors import ConflictError, UnavailableError
from fleet.model import Phase, Policy
from fleet.names import RevisionName
from tests.fakes.cluster import revision
from tests.sim.loop import VirtualLoop
from tests.sim.world import Client, World, world

GPUS = 1
POLICY = Policy(slots=2, keep_alive=5.0, wait_timeout=40.0)
ENDS_AT = 90.0
FEWEST_CALLS = 10


class Faults:
    """Counts the calls of the ports and fails the n-th, or all from the n-th on."""

    def __init__(self, n: int, *, error: Exception, for_good: bool) -> None:
        self.n, self.error, self.for_good = n, error, for_good
        self.calls = 0
        self.struck = False

    def over(self, port: object, *methods: str) -> None:
        for method in methods:
            setattr(port, method, self._failing(getattr(port, method)))

    def _failing(self, real):
        async def call(*args, **kwargs):
            self.calls += 1
            if self.calls == self.n or (self.for_good and self.calls > self.n):
                self.struck = True
                raise self.error
            return await real(*args, **kwargs)

        return call


class Scenario:
    """Two models take turns on one GPU: six calls each, then the first once more."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults
        self.clients: list[Client] = []
        self.most_gpus = 0

    def run(self, disturb=None) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(self._run(disturb))

    async def _run(self, disturb) -> None:
        async with world(gpus=GPUS) as w:
            self.world = w
            if self.faults is not None:
                self.faults.over(w.cluster, "scale", "mark")
                self.faults.over(w.server, "slots", "warm_up")
            autoscaler = w.autoscaler()
            loop = w.loop.create_task(autoscaler.run())
            for name in ("a", "b"):
                w.cluster.put(revision(name, policy=POLICY))
            w.cluster.subscribe(self._count)
            for at, name, count in ((0.0, "a", 6), (0.5, "b", 6), (20.0, "a", 3)):
                w.loop.call_at(at, self._call, w, name, count)
            if disturb is not None:
                disturb(self)
            await asyncio.sleep(ENDS_AT)
            assert not loop.done(), "the control loop died of a port's error"
            assert w.hall.waiting == w.hall.running == 0
            assert not any(one.phase is Phase.DRAINING for one in w.cluster.fleet().of("a"))
            loop.cancel()

    def _call(self, w: World, name: str, count: int) -> None:
        w.revision = RevisionName(f"default/{name}")
        self.clients += [w.call(service=0.4) for _ in range(count)]

    def _count(self, fleet) -> None:
        self.most_gpus = max(self.most_gpus, fleet.gpus[0].total - fleet.gpus[0].free)

    def check(self) -> None:
        """What holds after any run."""
        assert len(self.clients) == 15
        assert self.most_gpus <= GPUS
        for client in self.clients:
            assert client.left or client.ended_at is not None, "a request without an outcome"

    def lost(self) -> list[Client]:
        return [client for client in self.clients if client.refusal is not None]


def test_without_a_fault_everyone_is_served():
    scenario = Scenario()
    scenario.run()
    scenario.check()
    assert not scenario.lost()


@pytest.mark.parametrize("error", [UnavailableError("not now"), ConflictError("moved on")])
def test_any_one_port_call_may_fail(error):
    for n in itertools.count(1):
        scenario = Scenario(Faults(n, error=error, for_good=False))
        scenario.run()
        scenario.check()
        assert not scenario.lost(), f"call {n} failing once cost a request"
        if not scenario.faults.struck:
            break
    assert n > FEWEST_CALLS


def test_every_port_call_may_fail_for_good():
    for n in itertools.count(1):
        scenario = Scenario(Faults(n, error=UnavailableError("gone"), for_good=True))
        scenario.run()
        scenario.check()
        if not scenario.faults.struck:
            break
    assert n > FEWEST_CALLS


@pytest.mark.parametrize("who", [0, 3, 6, 11, 14])
def test_a_client_may_leave_at_any_moment(who):
    for step in range(0, 500, 11):
        left_at = step / 20

        def leave(scenario: Scenario, left_at=left_at) -> None:
            def go() -> None:
                if len(scenario.clients) > who:
                    client = scenario.clients[who]
                    if client.ended_at is None:
                        client.leave()

            scenario.world.loop.call_at(left_at, go)

        scenario = Scenario()
        scenario.run(leave)
        scenario.check()
        assert not scenario.lost()


def test_a_replica_may_die_at_any_moment():
    for step in range(0, 500, 5):
        scenario = Scenario()
        scenario.run(lambda one, at=step / 20: one.world.loop.call_at(at, _kill, one))
        scenario.check()
        assert not scenario.lost(), f"a replica that died at {step / 20} s cost a request"


def _kill(scenario: Scenario) -> None:
    cluster, loop = scenario.world.cluster, scenario.world.loop
    for replicas in cluster.fleet().replicas.values():
        for replica in replicas:
            if replica.phase is Phase.LOADING:
                cluster.fail(replica.name, message="killed")
                loop.call_later(1.0, cluster.retry, replica.name)
                for client in scenario.clients:
                    client.replica_broke(replica.name)

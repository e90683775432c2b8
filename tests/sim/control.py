"""The real control loop over scripted cluster, gateway and model servers, on virtual time."""

import asyncio
import contextlib
from dataclasses import replace

from autoscaler.loop import Autoscaler
from autoscaler.surroundings import Surroundings
from fleet.bus.memory import MemoryBus
from fleet.clock import LoopClock
from fleet.leases.fixed import Always, Fixed
from fleet.model import Policy
from fleet.settings import Settings
from tests.fakes.cluster import FakeCluster, revision
from tests.fakes.gateway import ScriptedGateway
from tests.fakes.servers import ScriptedServers

A, B, C = (revision(name).name for name in "abc")


class World:
    """Everything, running until the block ends."""

    def __init__(self, *, gpus=2, settings=None, gateways=None, bus=None, start=1.0, **gateway):
        self.loop = asyncio.get_running_loop()
        self.clock = LoopClock()
        self.cluster = FakeCluster(gpus=gpus, start=start)
        self.bus = bus(self.clock) if bus else MemoryBus(self.clock)
        self.servers = ScriptedServers()
        self.gateway = ScriptedGateway(
            self.cluster, self.bus, self.clock, call_later=self.loop.call_later, **gateway
        )
        self.members = {self.gateway.name}
        self.settings = settings or Settings()
        self.autoscaler = self.control()

    def control(self):
        """A control loop that remembers nothing."""
        around = Surroundings(
            cluster=self.cluster,
            bus=self.bus,
            clock=self.clock,
            servers=self.servers,
            members=Fixed(lambda: self.members),
            lease=Always(),
        )
        return Autoscaler(around, self.settings)

    async def __aenter__(self):
        self.tasks = [
            self.loop.create_task(self.gateway.run()),
            self.loop.create_task(self.autoscaler.run()),
        ]
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def add(self, *names, replicas=0, second_writer="", **policy):
        policy = Policy(**{"slots": 4, "keep_alive": 20.0, **policy})
        for name in names:
            made = revision(name.partition("/")[2], policy=policy, replicas=replicas)
            self.cluster.put(replace(made, second_writer=second_writer))

    async def fail_starts(self, name, times, *, message):
        """Once it is asked for: one start after the other ends, for the reason given."""
        await self.until(lambda: self.replicas(name) == 1)
        for _ in range(times):
            await self.until(lambda: any(r.gpus for r in self.cluster.fleet().of(name)))
            replica = self.cluster.fleet().of(name)[-1].name
            self.cluster.fail(replica, message=message)
            await asyncio.sleep(3)
            if self.replicas(name):
                self.cluster.retry(replica)

    async def at(self, time):
        await asyncio.sleep(time - self.loop.time())

    async def until(self, happened, *, limit=600.0):
        """The time at which `happened()` was first seen, within 10 ms."""
        end = self.loop.time() + limit
        while not happened():
            assert self.loop.time() < end, "it did not happen"
            await asyncio.sleep(0.01)
        return self.loop.time()

    def replicas(self, name):
        return self.cluster.fleet().revisions[name].replicas

    def held(self):
        return sum(r.gpus for rs in self.cluster.fleet().replicas.values() for r in rs)

    def events(self, name=None):
        return [entry.event for entry in self.bus.tail(1000, revision=name)]

    def ready(self, name):
        return bool(self.gateway.rows[name].at)

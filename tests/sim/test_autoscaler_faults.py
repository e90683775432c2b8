"""The autoscaler through a whole day, and with ports that fail, on virtual time."""

import asyncio
import logging

import pytest

from fleet.bus.memory import MemoryBus
from fleet.errors import ConflictError, UnavailableError
from fleet.messages import Received
from fleet.model import Phase
from fleet.settings import Settings
from tests.sim.control import A, B, C, World
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


class LiveBus(MemoryBus):
    """Its samples are made when they are read: a day needs no sample every second."""

    gateway = None

    def samples(self):
        if self.gateway is None:
            return {}
        got = Received(sample=self.gateway.sample(), at=self._clock.now())
        return {self.gateway.name: got}


async def test_a_whole_day():
    async with World(gpus=2, settings=Settings(tick=30.0), bus=LiveBus) as world:
        world.tasks[0].cancel()
        world.bus.gateway = world.gateway
        world.add(A, B, C, keep_alive=300.0)
        sent = 0
        for hour in range(24):
            for name in (A, B, C)[: 1 + hour % 3]:
                world.gateway.arrive(name, 5)
                sent += 5
                await asyncio.sleep(1200 / (1 + hour % 3))
                assert world.held() <= 2
            await world.at((hour + 1) * 3600.0)
        assert sum(row.completions for row in world.gateway.rows.values()) == sent
        assert world.gateway.lost == 0
        report = world.autoscaler.cost()
        allocated = sum(line.allocated for line in report.lines)
        assert report.seconds == pytest.approx(86400.0, abs=1)
        assert 0 < allocated < 0.4 * sum(line.always_on for line in report.lines)
        assert sum(line.serving for line in report.lines) == pytest.approx(48 * 2, abs=20)


class Broken:
    """Raises at the n-th port call."""

    def __init__(self, world, n, error):
        self.calls, self.n, self.error = 0, n, error
        for port, method in (
            (world.cluster, "scale"),
            (world.cluster, "mark"),
            (world.bus, "samples"),
            (world.bus, "append"),
            (world.servers, "read"),
        ):
            setattr(port, method, self._wrap(getattr(port, method)))

    def _wrap(self, real):
        if asyncio.iscoroutinefunction(real):

            async def call(*args, **kwargs):
                self._count()
                return await real(*args, **kwargs)
        else:

            def call(*args, **kwargs):
                self._count()
                return real(*args, **kwargs)

        return call

    @property
    def hit(self):
        return self.calls >= self.n

    def _count(self):
        self.calls += 1
        if self.calls == self.n:
            raise self.error


@pytest.mark.parametrize("error", [UnavailableError("x"), ConflictError("x")])
async def test_every_nth_port_call_may_fail(error):
    """A scenario with a wake, an eviction and going to sleep; the invariants hold throughout."""
    n = 0
    while True:
        n += 7 if n > 40 else 1
        async with World(gpus=1) as world:
            broken = Broken(world, n, error)
            world.add(A, B)
            start = world.loop.time()
            for after, name in ((0.5, A), (6.5, B), (13.5, A)):
                await world.at(start + after)
                world.gateway.arrive(name, 3)
            await world.at(start + 60)
            assert not any(task.done() for task in world.tasks), "the loop lives"
            assert world.held() <= 1
            assert world.gateway.lost == 0
            done = {name: world.gateway.rows[name].completions for name in (A, B)}
            assert done == {A: 6, B: 3}
            assert (world.replicas(A), world.replicas(B)) == (0, 0)
            if not broken.hit:
                break
        assert n < 1000


@pytest.mark.parametrize("moment", [3.0, 10.0, 19.0])
async def test_samples_that_cannot_be_read_for_good_never_lower_the_scale(moment):
    async with World(gpus=1) as world:
        world.add(A, replicas=1)
        await world.at(moment)

        def samples():
            raise UnavailableError("bus")

        world.bus.samples = samples
        await asyncio.sleep(120)
        assert not any(task.done() for task in world.tasks), "the loop lives"
        assert world.replicas(A) == 1


async def test_one_sick_revision_does_not_stop_the_others():
    async with World(gpus=2) as world:
        world.add(A, B, replicas=1)
        await world.until(lambda: world.ready(A) and world.ready(B))
        real = world.cluster.mark

        async def mark(name, drain, *, expect):
            if name == A:
                raise UnavailableError(name)
            return await real(name, drain, expect=expect)

        world.cluster.mark = mark
        await world.until(lambda: world.replicas(B) == 0, limit=30)
        assert world.replicas(A) == 1


async def test_a_newcomer_is_not_written_when_its_victims_write_fails():
    async with World(gpus=1) as world:
        world.add(A, B, keep_alive=3600.0)
        world.gateway.arrive(A)
        await world.until(lambda: world.gateway.rows[A].completions)
        real = world.cluster.scale

        async def scale(name, replicas, *, expect, reason):
            if name == A:
                raise UnavailableError(name)
            return await real(name, replicas, expect=expect, reason=reason)

        world.cluster.scale = scale
        world.gateway.arrive(B)
        await asyncio.sleep(20)
        assert (world.replicas(A), world.replicas(B)) == (1, 0)
        world.cluster.scale = real
        await world.until(lambda: world.gateway.rows[B].completions, limit=10)


async def test_a_start_is_not_judged_while_a_gateway_is_not_heard():
    async with World() as world:
        world.gateway.silent = True
        world.add(A, replicas=1, start_timeout=15.0)
        await asyncio.sleep(40)
        world.gateway.silent = False
        await asyncio.sleep(10)
        assert "failed" not in world.events(A)


@pytest.mark.parametrize(
    ("error", "level"),
    [(ConflictError("409"), logging.DEBUG), (UnavailableError("503"), logging.WARNING)],
)
async def test_that_somebody_else_has_written_is_nothing_to_worry_about(error, level, caplog):
    caplog.set_level(logging.DEBUG, logger="ebbtide")
    async with World() as world:
        world.add(A, pinned=True)
        world.cluster.broken = error
        await asyncio.sleep(10)
        said = {one.levelno for one in caplog.records if "write_failed" in one.message}
        assert said == {level}
        world.cluster.broken = None
        await world.until(lambda: world.ready(A))


async def test_a_pinned_model_that_can_never_start_does_not_evict_others_for_ever():
    """The other one is called every half minute, and idle in between."""
    settings = Settings(start_tries=1, start_retry=60.0, min_residency=0.0)
    async with World(gpus=1, settings=settings) as world:
        world.add(A, pinned=True)
        world.add(B, keep_alive=3600.0)

        def fail(fleet):
            for replica in fleet.of(A):
                if replica.gpus and replica.phase is Phase.LOADING:
                    world.loop.call_soon(world.cluster.fail, replica.name)

        world.cluster.subscribe(fail)
        for _ in range(240):
            await asyncio.sleep(30)
            world.gateway.arrive(B)
        evicted = world.events(B).count("evicted")
        assert 3 <= evicted <= 8, "in two hours"
        assert world.gateway.lost == 0
        await world.until(lambda: world.ready(B))


async def test_after_a_restart_a_start_is_not_judged_before_the_gateways_have_probed():
    async with World() as world:
        world.gateway.probing = False
        world.tasks.pop().cancel()
        world.add(A, replicas=1, start_timeout=15.0)
        await asyncio.sleep(30)
        world.tasks.append(world.loop.create_task(world.control().run()))
        await asyncio.sleep(5)
        world.gateway.probing = True
        world.gateway.snapshot(world.cluster.fleet())
        await asyncio.sleep(10)
        assert world.replicas(A) == 1
        assert "failed" not in world.events(A)


async def test_no_drain_number_is_used_twice():
    async with World() as world:
        world.add(A, replicas=1)
        await world.until(lambda: world.ready(A))
        numbers = []

        def listener(fleet):
            drain = fleet.revisions[A].drain
            if drain is not None and drain.number not in numbers:
                numbers.append(drain.number)
                if len(numbers) < 3:
                    # What the hall says once its drain is taken back.
                    world.loop.call_soon(setattr, world.gateway.rows[A], "drained", 0)
                    world.gateway.arrive(A)

        world.cluster.subscribe(listener)
        await world.until(lambda: world.replicas(A) == 0, limit=120)
        assert numbers == [1, 2, 3]

"""What the autoscaler does, by scenario, on virtual time."""

import asyncio
import logging
from dataclasses import replace

import pytest

from fleet.errors import ConflictError
from fleet.model import Drain, Mode, Phase
from fleet.reasons import Reason
from fleet.runtimes import Reading
from fleet.settings import Settings
from tests.fakes.gateway import ScriptedGateway
from tests.sim.control import A, B, World
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


async def test_idle_clock_ends_within_a_tick_of_the_keep_alive():
    async with World() as world:
        world.add(A, keep_alive=20.0)
        world.gateway.arrive(A)
        await world.until(lambda: world.ready(A))
        ended = await world.until(lambda: world.gateway.rows[A].completions)
        slept = await world.until(lambda: world.replicas(A) == 0)
        assert 20.0 <= slept - ended + 0.02 <= 22.1
        assert world.cluster.writes[-1] == (A, 0, Reason.KEEP_ALIVE)
        await world.until(lambda: world.cluster.fleet().revisions[A].drain is None)
        assert "drained" in world.events(A)
        assert world.events(A)[-1] == "asleep"


async def test_keep_alive_auto_is_ten_times_the_time_to_ready():
    async with World(start=6.0) as world:
        world.add(A, keep_alive=None)
        world.gateway.arrive(A)
        ended = await world.until(lambda: world.gateway.rows[A].completions)
        slept = await world.until(lambda: world.replicas(A) == 0)
        assert 60.0 <= slept - ended + 0.02 <= 62.1


async def test_keep_alive_runs_from_ready_when_nobody_came():
    async with World() as world:
        world.add(A, replicas=1)
        ready = await world.until(lambda: world.ready(A))
        slept = await world.until(lambda: world.replicas(A) == 0)
        assert 20.0 <= slept - ready + 0.02 <= 22.1


async def test_every_look_is_told_with_its_beginning_and_the_gateways_there_are():
    async with World() as world:
        world.members |= {"another"}
        await world.at(5.0)
        told = world.bus.last_look()
        assert (told.look.number, told.look.gateways) == (3, 2)
        assert told.began == pytest.approx(4.0, abs=0.05)
        world.bus.poke(A)
        poked = world.loop.time()
        await asyncio.sleep(0.1)
        assert world.bus.last_look().began >= poked


async def test_a_server_that_works_for_others_keeps_its_gpu():
    async with World() as world:
        world.add(A, replicas=1)
        for second in range(1, 60):
            world.servers.reading = Reading(pending=0, completions=second)
            await world.at(float(second))
        assert world.replicas(A) == 1
        await world.until(lambda: world.replicas(A) == 0, limit=10.0)


@pytest.mark.parametrize("how", ["sick server", "odd server", "silent gateway", "unheard member"])
async def test_unknown_readings_hold_the_scale(how):
    async with World() as world:
        world.add(A, replicas=1)
        await world.until(lambda: world.ready(A))
        if how == "sick server":
            world.servers.sick = True
        elif how == "odd server":
            world.servers.sick, world.servers.error = True, RecursionError
        elif how == "silent gateway":
            world.gateway.silent = True
        else:
            world.members = {world.gateway.name, "another"}
        await asyncio.sleep(120)
        assert world.replicas(A) == 1
        assert world.autoscaler.decision(A).reason is Reason.UNKNOWN_READING
        world.servers.sick = world.gateway.silent = False
        world.members = {world.gateway.name}
        await world.until(lambda: world.replicas(A) == 0, limit=6.0)


async def test_a_server_that_gives_no_answer_is_logged_once_until_it_gave_one(caplog):
    caplog.set_level(logging.INFO, logger="ebbtide")

    def told():
        return sum("server_unread" in record.message for record in caplog.records)

    async with World() as world:
        world.add(A, replicas=1, keep_alive=3600.0)
        await world.until(lambda: world.ready(A))
        world.servers.sick = True
        await asyncio.sleep(20)
        assert told() == 1
        world.servers.sick = False
        await asyncio.sleep(5)
        world.servers.sick = True
        await asyncio.sleep(20)
        assert told() == 2


async def test_a_newcomer_takes_the_gpu_of_the_idle_in_one_plan():
    async with World(gpus=1) as world:
        world.add(A, B, keep_alive=3600.0)
        world.gateway.arrive(A)
        await world.until(lambda: world.gateway.rows[A].completions)
        await asyncio.sleep(3.3)
        asked = world.loop.time()
        world.gateway.arrive(B)
        await world.until(lambda: world.replicas(B) == 1)
        assert world.loop.time() - asked < 0.2, "a poke is looked at at once"
        assert world.cluster.writes[-2:] == [(A, 0, Reason.EVICTED), (B, 1, Reason.DEMAND)]
        await world.until(lambda: world.gateway.rows[B].completions)
        assert world.events(A)[-1] == "evicted"
        assert world.gateway.lost == 0


async def test_the_minimum_does_not_protect_and_comes_back_when_a_gpu_is_free():
    async with World(gpus=1) as world:
        world.add(A, min_replicas=1)
        world.add(B, keep_alive=20.0)
        await world.until(lambda: world.ready(A))
        world.gateway.arrive(B)
        await world.until(lambda: world.gateway.rows[B].completions)
        await asyncio.sleep(10)
        assert (world.replicas(A), world.replicas(B)) == (0, 1)
        assert world.autoscaler.decision(A).reason is Reason.NO_FREE_GPU
        assert world.events(A).count("held") == 1
        await world.until(lambda: world.ready(A), limit=30)
        assert world.replicas(B) == 0


async def test_pinned_is_never_evicted_and_the_newcomer_waits():
    async with World(gpus=1) as world:
        world.add(A, pinned=True)
        await world.until(lambda: world.ready(A))
        world.add(B)
        world.gateway.arrive(B)
        await asyncio.sleep(100)
        assert (world.replicas(A), world.replicas(B)) == (1, 0)
        report = world.autoscaler.decision(B)
        assert (report.before, report.after, report.reason) == (0, 0, Reason.NO_FREE_GPU)
        assert world.events(B) == ["held"]


async def test_nobody_busy_is_evicted():
    async with World(gpus=1, service_s=30.0) as world:
        world.add(A, B)
        world.gateway.arrive(A)
        await world.until(lambda: world.gateway.rows[A].running)
        world.gateway.arrive(B)
        await world.until(lambda: world.replicas(B) == 1)
        assert world.gateway.rows[A].completions == 1
        assert world.gateway.lost == 0


class Deaf(ScriptedGateway):
    """Once it is deaf, it takes in no further snapshot."""

    deaf = False

    def snapshot(self, fleet):
        if not self.deaf:
            super().snapshot(fleet)


async def test_a_drain_is_taken_back_when_somebody_waits():
    async with World() as world:
        world.members = {world.gateway.name, "other"}
        other = Deaf(
            world.cluster, world.bus, world.clock, call_later=world.loop.call_later, name="other"
        )
        helper = world.loop.create_task(other.run())
        world.add(A, replicas=1)
        await world.until(lambda: world.ready(A))
        # The second gateway never acknowledges: its rows do not see the mark.
        other.deaf = True
        await world.until(lambda: world.cluster.fleet().revisions[A].drain is not None)
        await asyncio.sleep(10)
        assert world.replicas(A) == 1, "no write before every member has acknowledged"
        world.gateway.arrive(A)
        await world.until(lambda: world.cluster.fleet().revisions[A].drain is None, limit=1.0)
        assert world.replicas(A) == 1
        assert world.events(A)[-1] == "taken_back"
        await world.until(lambda: world.gateway.rows[A].completions == 1)
        helper.cancel()


async def test_demand_within_the_marks_own_call_takes_the_drain_back():
    async with World() as world:
        world.add(A, replicas=1)
        await world.until(lambda: world.ready(A))
        came = []

        def listener(fleet):
            if fleet.revisions[A].drain is not None and not came:
                came.append(True)
                world.gateway.arrive(A)

        world.cluster.subscribe(listener)
        await world.until(lambda: world.gateway.rows[A].completions == 1)
        assert world.cluster.writes == []
        assert world.events(A) == ["drained", "taken_back"]


async def test_a_conflict_is_decided_again_at_the_next_tick():
    async with World() as world:
        world.add(A, replicas=1)
        await world.until(lambda: world.ready(A))
        real, tries = world.cluster.scale, []

        async def scale(name, replicas, *, expect, reason):
            tries.append(world.loop.time())
            if len(tries) == 1:
                raise ConflictError(name)
            return await real(name, replicas, expect=expect, reason=reason)

        world.cluster.scale = scale
        await world.until(lambda: world.replicas(A) == 0)
        assert len(tries) == 2
        assert 1.0 <= tries[1] - tries[0] <= 2.5


async def test_minimum_and_pinned_start_by_themselves_without_any_sample():
    async with World() as world:
        world.gateway.silent = True
        world.add(A, min_replicas=1)
        world.add(B, pinned=True)
        await world.until(lambda: world.replicas(A) == world.replicas(B) == 1, limit=3.0)


async def test_waiting_requests_are_woken_although_nobody_else_does():
    async with World() as world:
        world.add(A)
        world.gateway.arrive(A)
        await asyncio.sleep(0.5)
        assert world.replicas(A) == 0, "with a free GPU the activator is first"
        await world.until(lambda: world.replicas(A) == 1, limit=4.0)
        assert world.cluster.writes == [(A, 1, Reason.DEMAND)]
        assert world.events(A) == ["woken"]


@pytest.mark.parametrize(
    ("mode", "reason"), [(Mode.ADVISE, Reason.KEEP_ALIVE), (Mode.OFF, Reason.MODE_OFF)]
)
async def test_advise_and_off_never_write(mode, reason):
    async with World(gpus=1) as world:
        world.add(A, mode=mode, replicas=1)
        world.add(B)
        await world.until(lambda: world.ready(A))
        await asyncio.sleep(30)
        world.gateway.arrive(B)
        await asyncio.sleep(10)
        assert world.cluster.writes == []
        assert world.cluster.fleet().revisions[A].drain is None
        report = world.autoscaler.decision(A)
        assert report.reason is reason
        assert report.after == (0 if mode is Mode.ADVISE else 1)
        assert world.events(A) == (["advised"] if mode is Mode.ADVISE else [])


async def test_what_something_else_scales_is_routed_to_and_never_scaled():
    async with World(gpus=1) as world:
        world.add(A, keep_alive=1.0, second_writer="HorizontalPodAutoscaler a", replicas=1)
        world.add(B)
        await world.until(lambda: world.ready(A))
        world.gateway.arrive(A)
        world.gateway.arrive(B)
        await asyncio.sleep(30)
        assert world.gateway.rows[A].completions == 1
        assert world.cluster.writes == []
        assert world.autoscaler.decision(A).reason is Reason.SECOND_WRITER
        assert world.autoscaler.decision(B).reason is Reason.NO_FREE_GPU
        world.add(A, keep_alive=1.0, second_writer="HorizontalPodAutoscaler a")
        world.gateway.arrive(A)
        await world.until(lambda: world.ready(B))
        assert world.cluster.writes == [(B, 1, Reason.DEMAND)]


async def test_a_drain_is_taken_back_when_something_else_begins_to_scale():
    async with World() as world:
        world.add(A, replicas=2)
        found = world.cluster.fleet()
        drain = Drain(number=7, replicas=frozenset({found.of(A)[0].name}))
        world.cluster.put(replace(found.revisions[A], drain=drain, second_writer="keda"))
        await world.until(lambda: world.cluster.fleet().revisions[A].drain is None, limit=5.0)
        assert world.cluster.writes == []


async def test_failed_starts_give_the_gpu_back_for_a_while():
    async with World(settings=Settings(start_tries=3, start_retry=60.0)) as world:
        world.add(A)
        world.gateway.probing = False
        world.gateway.arrive(A)
        await world.fail_starts(A, 3, message="no such file")
        blocked = await world.until(lambda: world.replicas(A) == 0, limit=3)
        assert world.cluster.writes[-1] == (A, 0, Reason.START_FAILED)
        failed = next(e for e in world.bus.tail(100, revision=A) if e.event == "failed")
        assert "no such file" in failed.message
        assert world.events(A).count("failed") == 1
        tried = await world.until(lambda: world.replicas(A) == 1, limit=100)
        assert 50 <= tried - blocked <= 65, "one start is tried again"


async def test_an_overdue_start_gives_the_gpu_back():
    async with World(gpus=1) as world:
        world.gateway.probing = False
        world.add(A, start_timeout=15.0)
        world.add(B)
        world.gateway.arrive(A)
        woken = await world.until(lambda: world.replicas(A) == 1)
        given = await world.until(lambda: world.replicas(A) == 0)
        assert 15.0 <= given - woken + 0.02 <= 17.1
        world.gateway.probing = True
        world.gateway.arrive(B)
        await world.until(lambda: world.gateway.rows[B].completions)


async def test_load_adds_replicas_up_to_the_gpus_and_says_so():
    async with World(gpus=3, service_s=2.0) as world:
        world.add(A)
        world.gateway.arrive(A, 400)
        await world.until(lambda: world.replicas(A) == 3)
        assert world.autoscaler.decision(A).reason is Reason.NO_FREE_GPU
        await world.until(lambda: world.gateway.rows[A].completions == 400)
        assert world.held() == 3
        assert world.gateway.lost == 0


async def test_fewer_replicas_after_the_load_has_gone_and_none_is_lost():
    async with World(gpus=3, slots=4) as world:
        world.add(A, keep_alive=3600.0)
        world.gateway.arrive(A, 200)
        await world.until(lambda: world.replicas(A) == 3)
        await world.until(lambda: world.gateway.rows[A].completions == 200)
        for _ in range(400):
            world.gateway.arrive(A)
            await asyncio.sleep(1.0)
        assert world.replicas(A) == 1
        await asyncio.sleep(2)
        assert world.gateway.rows[A].completions == 600
        assert world.gateway.lost == 0


async def test_an_old_drain_left_by_another_process_is_replaced_by_one_of_another_number():
    async with World() as world:
        world.add(A, replicas=1)
        await world.until(lambda: world.ready(A))
        found = world.cluster.fleet().revisions[A]
        world.cluster.put(replace(found, drain=Drain(number=7, replicas=frozenset({"gone"}))))
        numbers = []
        world.cluster.subscribe(
            lambda fleet: numbers.append(d.number) if (d := fleet.revisions[A].drain) else None
        )
        await world.until(lambda: world.replicas(A) == 0, limit=40)
        assert numbers
        assert 7 not in numbers


async def test_a_removed_revision_is_forgotten():
    async with World() as world:
        world.add(A, replicas=1)
        await world.until(lambda: world.ready(A))
        world.cluster.remove(A)
        world.gateway.rows.clear()
        await asyncio.sleep(10)
        assert world.autoscaler.decision(A) is None
        (line,) = world.autoscaler.cost().lines
        assert 0 < line.allocated < 5
        assert all(r.phase is not Phase.LOADING for r in world.cluster.fleet().of(A))

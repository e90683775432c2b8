"""Whom a hall asks for a replica, and what it does when nobody answers, on virtual time."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from activator.core.lately import GRACE
from fleet.errors import UnavailableError
from fleet.messages import Look
from fleet.model import Policy
from fleet.names import RevisionName
from fleet.reasons import Reason
from tests.fakes.cluster import revision
from tests.fakes.plane import Plane
from tests.sim.loop import VIRTUAL
from tests.sim.processes import processes
from tests.sim.world import world

pytestmark = pytest.mark.anyio
BUSY = revision("busy", replicas=1)


@pytest.fixture
def anyio_backend():
    return VIRTUAL


def look(w, *, gateways=1):
    w.bus.looked(Look(term=1, number=1, gateways=gateways))


def call(w, name):
    w.revision = RevisionName(f"default/{name}")
    return w.call()


def attempts(w):
    """When each write is tried, from now on."""
    tried, scale = [], w.cluster.scale

    async def counted(*args, **more):
        tried.append(w.now)
        return await scale(*args, **more)

    w.cluster.scale = counted
    return tried


async def test_without_a_leader_a_model_is_woken_after_five_seconds_although_no_gpu_is_free():
    async with world(gpus=1) as w:
        w.cluster.put(BUSY)
        w.cluster.put(revision())
        w.call()
        await asyncio.sleep(4.9)
        assert w.cluster.writes == []
        await asyncio.sleep(1.2)
        assert w.cluster.writes == [(w.revision, 1, Reason.DEMAND)]


async def test_and_so_it_is_at_once_when_nobody_has_answered_since_and_a_node_has_come():
    plane = Plane({"n1": 1})
    plane.put(BUSY)
    plane.put(revision())
    async with processes(plane, gateways=1, leader=False) as w:
        await asyncio.sleep(1.0)
        first = w.call("demo")
        await asyncio.sleep(1.0)
        first.leave()
        await asyncio.sleep(5.0)
        plane.add_node("n2", 1)
        await asyncio.sleep(1.0)
        caller = w.call("demo")
        await w.until(lambda: caller.ended_at, limit=4.0)
        assert caller.served


async def test_who_waits_is_held_while_a_node_is_away_for_a_moment():
    async with world(gpus=1) as w:
        w.cluster.put(revision())
        w.cluster.gpus = 0
        w.cluster.put(BUSY)
        waits = w.call()
        await asyncio.sleep(100)
        assert waits.refusal is None
        comes = w.call()
        assert comes.refusal is None
        w.cluster.gpus = 1
        w.cluster.remove(BUSY.name)
        await asyncio.sleep(10)
        assert waits.dispatches
        assert comes.dispatches


@pytest.mark.parametrize("away_first", [True, False])
async def test_a_template_that_changes_while_the_node_is_away_ends_no_wait(away_first):
    async with world(gpus=1) as w:
        w.cluster.put(revision())
        w.cluster.gpus = 0
        if away_first:
            w.cluster.put(BUSY)
        waits = w.call()
        w.cluster.put(revision(template="t2"))
        await asyncio.sleep(1)
        assert waits.refusal is None
        comes = w.call()
        assert comes.refusal is None
        w.cluster.put(revision(template="t2", placement="where none has been"))
        assert w.call().refusal.reason is Reason.NO_FREE_GPU


async def test_who_waits_is_told_when_the_nodes_do_not_come_back():
    async with world(gpus=1) as w:
        w.cluster.put(revision())
        w.cluster.gpus = 0
        w.cluster.put(BUSY)
        waits = w.call()
        await asyncio.sleep(GRACE - 2)
        assert waits.refusal is None
        await asyncio.sleep(4)
        assert waits.refusal.reason is Reason.NO_FREE_GPU
        assert w.call().refusal.reason is Reason.NO_FREE_GPU, "at once"


async def test_a_leader_that_answers_is_left_to_choose():
    async with world(gpus=1) as w:
        w.cluster.put(BUSY)
        w.cluster.put(revision())
        w.call()
        for _ in range(20):
            await asyncio.sleep(2)
            look(w)
        assert w.cluster.writes == []
        spoke = w.now
        while not w.cluster.writes:
            await asyncio.sleep(0.1)
        # The first poke after the last look is the one that nobody answered.
        assert 5.0 <= w.now - spoke <= 7.2


async def test_with_a_free_gpu_nobody_is_asked():
    async with world(gpus=1) as w:
        w.cluster.put(revision())
        pokes = []
        w.bus.on_poke(pokes.append)
        client = w.call()
        await asyncio.sleep(3)
        assert client.ended_at is not None
        assert pokes == []


async def test_of_many_wakes_at_once_a_gateway_writes_its_part_and_pokes_for_the_rest():
    async with world(gpus=4, start=3600.0) as w:
        pokes = []
        w.bus.on_poke(pokes.append)
        look(w, gateways=2)
        names = [f"m{number}" for number in range(6)]
        for name in names:
            w.cluster.put(revision(name))
        for name in names:
            call(w, name)
        first = w.cluster.fleet()
        await asyncio.sleep(0)
        assert [name for name, _, _ in w.cluster.writes] == ["default/m0", "default/m1"]
        assert pokes == ["default/m2", "default/m3", "default/m4", "default/m5"]
        assert first is not w.cluster.fleet()


async def test_alone_it_writes_all_for_which_there_is_room():
    async with world(gpus=4, start=3600.0) as w:
        for number in range(6):
            w.cluster.put(revision(f"m{number}"))
        for number in range(6):
            call(w, f"m{number}")
        await asyncio.sleep(0)
        assert [name for name, _, _ in w.cluster.writes] == [f"default/m{n}" for n in range(4)]


async def test_without_the_cluster_requests_wait_and_are_woken_when_it_is_back():
    async with world() as w:
        w.cluster.put(revision(policy=Policy(wait_timeout=120.0)))
        w.cluster.broken = UnavailableError("connection refused")
        tried = attempts(w)
        client = w.call()
        await asyncio.sleep(60)
        assert client.ended_at is None
        # Ever more slowly: at once, then after 0.5, 1, 2, 4 s, then every 8; each second is looked.
        assert 9 <= len(tried) <= 13
        assert max(later - sooner for sooner, later in pairwise(tried)) <= 9.1
        w.cluster.broken = None
        back = w.now
        w.cluster.put(revision("other"))
        await asyncio.sleep(0.01)
        assert w.cluster.writes == [(w.revision, 1, Reason.DEMAND)]
        await asyncio.sleep(3)
        assert client.refusal is None
        assert client.ended_at - back < 2.0


async def test_without_a_new_snapshot_it_is_tried_again_within_some_seconds():
    async with world() as w:
        w.cluster.put(revision())
        w.cluster.broken = UnavailableError("connection refused")
        client = w.call()
        await asyncio.sleep(30)
        w.cluster.broken = None
        await asyncio.sleep(9.1 + 2)
        assert client.ended_at is not None


async def test_snapshots_that_keep_coming_do_not_hurry_a_cluster_that_takes_no_writes():
    async with world() as w:
        w.cluster.put(revision())
        w.cluster.broken = UnavailableError("too many requests")
        tried = attempts(w)
        w.call()
        for number in range(200):
            await asyncio.sleep(0.05)
            w.cluster.put(revision("other", version=str(number + 2)))
        assert len(tried) <= 21


async def test_until_its_deadline_and_not_beyond():
    async with world() as w:
        w.cluster.put(revision(policy=Policy(wait_timeout=20.0)))
        w.cluster.broken = UnavailableError("connection refused")
        client = w.call()
        await asyncio.sleep(21)
        assert client.reason is Reason.WAIT_TIMEOUT
        assert client.ended_at == pytest.approx(20.0, abs=0.1)


@pytest.mark.parametrize("told_first", [True, False])
async def test_a_wake_that_meets_a_change_is_decided_again_at_once(told_first, monkeypatch):
    async with world() as w:
        w.cluster.put(revision())
        await asyncio.sleep(10.3)
        scale = w.cluster.scale

        async def slow(name, replicas, **more):
            await asyncio.sleep(0.02)
            return await scale(name, replicas, **more)

        monkeypatch.setattr(w.cluster, "scale", slow)
        client = w.call()
        await asyncio.sleep(0.01)
        changed = replace(w.line.revision, version="7")
        if told_first:
            w.cluster.put(changed)
        else:
            # Whoever writes hears of it before the snapshot does.
            w.cluster._revisions[changed.name] = changed
            w.loop.call_later(0.03, w.cluster.put, changed)
        await asyncio.sleep(0.09)
        assert w.cluster.writes == [(w.revision, 1, Reason.DEMAND)]
        await asyncio.sleep(5)
        assert client.dispatches

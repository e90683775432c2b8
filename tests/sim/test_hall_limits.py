"""Limits across callers and models, on virtual time: wakes per caller, room for all, turns."""

import asyncio
from dataclasses import replace

import pytest

from fleet.model import Policy, WarmUp
from fleet.reasons import Reason
from fleet.settings import Settings
from tests.fakes.cluster import revision
from tests.sim.loop import VIRTUAL
from tests.sim.world import Client, world

pytestmark = pytest.mark.anyio
HOUR = 3600.0


@pytest.fixture
def anyio_backend():
    return VIRTUAL


def enter(w, name="demo", *, caller="", size=0, precedence=0, service=0.1) -> Client:
    client = Client(w, service)
    client.line = w.hall.lines[f"default/{name}"]
    client.ticket = client.line.enter(client, size=size, caller=caller, precedence=precedence)
    return client


def awake(found, slots: int):
    return replace(found, replicas=1, policy=Policy(slots=slots, warm_up=WarmUp.NONE))


async def test_a_caller_wakes_as_many_models_an_hour_as_it_may():
    async with world(gpus=4) as w:
        for name in ("demo", "two", "three", "four"):
            w.cluster.put(revision(name))
        w.hall.reload(Settings(caller_wakes=2))
        first = [enter(w, "demo", caller="a"), enter(w, "two", caller="a")]
        third = enter(w, "three", caller="a")
        assert third.reason is Reason.TOO_MANY_WAKES
        assert HOUR - 1 < third.refusal.retry_after <= HOUR
        assert not w.hall.lines["default/three"].waiting
        other = enter(w, "three", caller="b")
        # Behind a wake that somebody else began, everyone may wait.
        behind = enter(w, "three", caller="a")
        # Waiting behind is free: of two wakes one is left.
        enter(w, "demo", caller="b")
        enter(w, "two", caller="b")
        assert enter(w, "four", caller="b").reason is None
        await asyncio.sleep(10)
        assert [c.reason for c in (*first, other, behind)] == [None] * 4
        assert all(client.ended_at for client in (*first, other, behind))


async def test_a_wake_under_way_is_nobodys_to_pay_for_and_an_hour_later_all_is_forgotten():
    async with world(gpus=4) as w:
        w.cluster.put(revision("demo"))
        w.cluster.put(revision("two"))
        w.hall.reload(Settings(caller_wakes=1))
        woke = enter(w, caller="a")
        # It leaves, and its wake is carried on: to come back costs nothing.
        await asyncio.sleep(0.1)
        assert w.line.revision.replicas == 1
        woke.leave()
        assert enter(w, caller="a").reason is None
        assert enter(w, "two", caller="a").reason is Reason.TOO_MANY_WAKES
        await asyncio.sleep(HOUR)
        assert enter(w, "two", caller="a").reason is None


async def test_a_refused_request_spends_no_wake():
    async with world(gpus=4) as w:
        w.cluster.put(revision("demo"))
        w.hall.reload(Settings(caller_wakes=1, max_waiting_bytes=10))
        assert enter(w, caller="a", size=11).reason is Reason.GATEWAY_BYTES_FULL
        assert enter(w, caller="a", size=10).reason is None


async def test_all_models_share_the_room_to_wait_and_give_it_back():
    async with world(gpus=4) as w:
        for name in ("demo", "two"):
            w.cluster.put(revision(name))
        w.hall.reload(Settings(max_waiting=3))
        held = [enter(w, name) for name in ("demo", "two", "two")]
        assert enter(w).reason is Reason.GATEWAY_FULL
        assert w.hall.room.waiting == w.hall.waiting == 3
        held[0].leave()
        assert enter(w).reason is None
        w.hall.refuse_waiting(Reason.SHUTTING_DOWN)
        assert (w.hall.room.waiting, w.hall.room.waiting_bytes) == (0, 0)


async def test_callers_take_turns_when_a_model_gets_ready():
    async with world() as w:
        w.cluster.put(awake(revision(), 1))
        await asyncio.sleep(5)
        assert w.line.ready == 1
        running = enter(w, caller="burst")
        burst = [enter(w, caller="burst") for _ in range(20)]
        others = [enter(w, caller=name) for name in ("b", "b", "c")]
        urgent = enter(w, caller="ops", precedence=5)
        await asyncio.sleep(10)
        b, b_too, c = others
        expected = [running, urgent, burst[0], b, c, burst[1], b_too, *burst[2:]]
        assert w.order == expected

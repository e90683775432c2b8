"""A reflector against a scripted API server, on virtual time."""

import asyncio
import contextlib
import logging
import random

import pytest

from fleet.clock import LoopClock
from fleet.errors import ForbiddenError, GoneError, UnavailableError
from fleet.kubernetes.pauses import LONGEST, SELDOM
from fleet.kubernetes.reflector import Reflector, Resource
from tests.fakes.kubernetes import FakeApi
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio
DOWN = UnavailableError("connection refused")


@pytest.fixture
def anyio_backend():
    return VIRTUAL


@pytest.fixture(autouse=True)
def _log(caplog):
    caplog.set_level(logging.INFO, logger="ebbtide")


class Rig:
    def __init__(self, *, optional=False):
        self.api = FakeApi()
        self.told = 0
        resource = Resource(path="/api/v1/things", trim=lambda raw: raw, optional=optional)
        self.reflector = Reflector(self.api, resource, clock=LoopClock(), luck=random.Random(1))
        self.reflector.subscribe(self._tell)

    def _tell(self, _):
        self.told += 1

    @property
    def names(self):
        return {name for _, name in self.reflector.objects}

    @property
    def in_step(self):
        found = {name: item for (_, name), item in self.reflector.objects.items()}
        return found == self.api.objects


@contextlib.asynccontextmanager
async def running(*, wait=1.0):
    rig = Rig()
    for name in "ab":
        rig.api.write(name)
    task = asyncio.create_task(rig.reflector.run())
    await asyncio.sleep(wait)
    yield rig
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_list_then_a_watch_that_is_resumed_where_it_ended():
    async with running() as rig:
        assert (rig.names, rig.reflector.cut_since, rig.told) == ({"a", "b"}, None, 1)
        rig.api.write("c")
        rig.api.delete("a")
        await asyncio.sleep(0.1)
        assert rig.names == {"b", "c"}
        rig.api.cut()
        rig.api.write("a")
        await asyncio.sleep(1)
        assert rig.in_step
        watches = rig.api.watches
        await asyncio.sleep(3600)
        assert rig.api.lists == 1
        assert 3600 / 40 <= rig.api.watches - watches < 3600 / 30


async def test_a_version_that_is_too_old_lists_again_and_tells_only_what_differs():
    async with running() as rig:
        kept = rig.reflector.objects[("default", "b")]
        rig.api.cut(DOWN)
        await asyncio.sleep(1)
        rig.api.delete("a")
        rig.api.write("c")
        rig.api.compact()
        told, rig.api.error = rig.told, None
        await asyncio.sleep(10)
        assert rig.in_step
        assert rig.api.lists == 2
        assert rig.told == told + 1
        assert rig.reflector.objects[("default", "b")] is kept
        rig.api.compact()
        rig.api.cut()
        await asyncio.sleep(10)
        assert rig.api.lists == 3
        assert rig.told == told + 1


async def test_versions_that_are_always_too_old_are_no_reason_to_list_without_pause():
    async with running() as rig:
        rig.api.compacted = 10**9
        rig.api.cut()
        await asyncio.sleep(60)
        assert 60 / LONGEST <= rig.api.lists < 60


async def test_a_bookmark_spares_the_next_list():
    async with running() as rig:
        rig.api.version += 100
        rig.api.bookmark()
        await asyncio.sleep(0.1)
        rig.api.compacted = rig.api.version - 1
        rig.api.cut()
        await asyncio.sleep(5)
        assert rig.api.lists == 1
        assert rig.told == 1


async def test_pages_are_larger_while_nobody_waits_yet(monkeypatch):
    monkeypatch.setattr("fleet.kubernetes.reflector._FIRST_PAGE", "5")
    monkeypatch.setattr("fleet.kubernetes.reflector._PAGE", "2")
    pages = []
    async with running(wait=0.0) as rig:
        for index in range(6):
            rig.api.write(f"x{index}")
        rig.api.on_page = lambda: pages.append(rig.reflector.listed.is_set())
        await asyncio.sleep(1)
        rig.api.compact()
        rig.api.cut()
        await asyncio.sleep(5)
        assert pages == [False] + [True] * 3
        assert rig.in_step


async def test_pages_that_expire_halfway_are_asked_for_in_one(monkeypatch):
    monkeypatch.setattr("fleet.kubernetes.reflector._FIRST_PAGE", "2")
    rig = Rig()
    for index in range(7):
        rig.api.write(f"x{index}")
    rig.api.on_page = rig.api.compact
    task = asyncio.create_task(rig.reflector.run())
    await asyncio.sleep(2)
    assert rig.in_step
    assert len(rig.names) == 7
    assert rig.api.lists == 2
    task.cancel()


async def test_a_server_that_is_down_is_tried_for_ever_and_what_is_known_stays(caplog):
    async with running() as rig:
        rig.api.cut(DOWN)
        await asyncio.sleep(600)
        assert rig.names == {"a", "b"}
        assert rig.reflector.cut_since == pytest.approx(1.0, abs=0.1)
        assert rig.reflector.error is DOWN
        said = [line.message for line in caplog.records if "watch_cut" in line.message]
        assert len(said) == 1
        assert "connection refused" in said[0]
        rig.api.error = None
        rig.api.write("c")
        await asyncio.sleep(LONGEST + 0.5)
        assert rig.in_step
        assert (rig.reflector.cut_since, rig.reflector.error) == (None, None)
        assert any("watch_resumed" in line.message for line in caplog.records)


async def test_a_server_that_is_down_at_the_start_is_waited_for_and_it_is_said(caplog):
    rig = Rig()
    rig.api.error = DOWN
    task = asyncio.create_task(rig.reflector.run())
    await asyncio.sleep(100)
    assert not rig.reflector.asked.is_set()
    assert rig.reflector.cut_since == 0.0
    assert "watch_cut" in caplog.text
    rig.api.error = None
    rig.api.write("a")
    await asyncio.sleep(LONGEST + 0.5)
    assert rig.in_step
    assert rig.reflector.asked.is_set()
    task.cancel()


async def test_a_server_that_ends_each_watch_at_once_is_not_asked_without_pause():
    async with running() as rig:
        for _ in range(2000):
            rig.api.cut()
            await asyncio.sleep(0.01)
        assert rig.api.watches < 80


async def test_what_is_not_allowed_is_asked_for_seldom_and_what_was_known_stays(caplog):
    async with running() as rig:
        rig.api.cut(ForbiddenError("403: no"))
        await asyncio.sleep(300)
        assert rig.names == {"a", "b"}
        assert rig.api.refusals < 50
        watches, rig.api.error = rig.api.watches, None
        await asyncio.sleep(SELDOM)
        assert rig.api.watches == watches + 1


async def test_a_refusal_in_passing_after_an_outage_is_asked_about_soon():
    async with running() as rig:
        rig.api.cut(DOWN)
        await asyncio.sleep(120)
        refusals = rig.api.refusals
        rig.api.error = ForbiddenError("403: not yet")
        await asyncio.sleep(LONGEST + 0.1)
        assert rig.api.refusals > refusals
        rig.api.error = None
        await asyncio.sleep(LONGEST + 0.1)
        assert rig.reflector.cut_since is None


async def test_failures_that_change_are_no_reason_to_ask_without_pause():
    async with running() as rig:
        rig.api.cut(DOWN)
        await asyncio.sleep(60)
        refusals = rig.api.refusals
        for _ in range(60):
            rig.api.error = ForbiddenError("403") if rig.api.error is DOWN else DOWN
            await asyncio.sleep(1)
        assert rig.api.refusals - refusals < 50


async def test_what_every_cluster_has_is_not_gone_whoever_says_so():
    async with running() as rig:
        told = rig.told
        rig.api.cut(GoneError("404 page not found"))
        await asyncio.sleep(60)
        assert (rig.names, rig.told, rig.api.lists) == ({"a", "b"}, told, 1)
        assert rig.reflector.cut_since == pytest.approx(1.0, abs=0.1)
        assert isinstance(rig.reflector.error, UnavailableError)
        rig.api.error = None
        rig.api.write("c")
        await asyncio.sleep(LONGEST + 0.5)
        assert rig.in_step
        assert rig.api.lists == 1


async def test_what_every_cluster_has_is_not_known_because_somebody_says_404():
    rig = Rig()
    rig.api.error = GoneError("404 page not found")
    task = asyncio.create_task(rig.reflector.run())
    await asyncio.sleep(60)
    assert not rig.reflector.asked.is_set()
    task.cancel()


async def test_a_resource_that_there_is_not_has_no_objects_until_there_is():
    rig = Rig(optional=True)
    rig.api.error = GoneError("404: no such resource")
    task = asyncio.create_task(rig.reflector.run())
    await asyncio.sleep(60)
    assert rig.reflector.asked.is_set()
    assert rig.told == 0
    rig.api.error = None
    rig.api.write("a")
    await asyncio.sleep(SELDOM)
    assert rig.in_step
    rig.api.cut(GoneError("404: no such resource"))
    await asyncio.sleep(1)
    assert rig.names == set()
    task.cancel()


async def test_that_a_resource_is_not_there_is_said_once_and_is_no_trouble(caplog):
    rig = Rig(optional=True)
    absent = GoneError("404: no such resource")
    rig.api.error = absent
    task = asyncio.create_task(rig.reflector.run())
    for error in (DOWN, absent, DOWN, absent):
        await asyncio.sleep(100)
        rig.api.error = error
    await asyncio.sleep(100)
    (said,) = caplog.records
    assert (said.levelno, said.message) == (logging.INFO, "not_served resource=/api/v1/things")
    rig.api.error = None
    await asyncio.sleep(SELDOM)
    caplog.clear()
    rig.api.cut(DOWN)
    await asyncio.sleep(10)
    assert "watch_cut" in caplog.text, "it is there by now"
    task.cancel()


@pytest.mark.parametrize(
    "event",
    [
        {"type": "MODIFIED", "object": None},
        {"type": "MODIFIED", "object": {"metadata": None}},
        {"type": "MODIFIED", "object": {"metadata": {"name": "z"}}},
        {},
    ],
)
async def test_what_is_no_event_leads_to_a_list(event):
    async with running() as rig:
        rig.api.say(event)
        await asyncio.sleep(0.05)
        rig.api.history.pop()
        await asyncio.sleep(5)
        assert rig.api.lists == 2
        rig.api.write("c")
        await asyncio.sleep(5)
        assert rig.in_step


async def test_the_answer_to_a_write_is_known_before_the_watch_tells_of_it():
    async with running() as rig:
        answer = rig.api.write("a", replicas=1)
        told = rig.told
        rig.reflector.fold(answer)
        assert rig.told == told + 1
        await asyncio.sleep(1)
        assert rig.told == told + 1
        assert rig.in_step


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_in_the_end_it_has_what_the_server_has(seed):
    chance = random.Random(seed)
    async with running() as rig:
        for _ in range(200):
            name = chance.choice("abcdef")
            match chance.randrange(9):
                case 0 | 1 | 2:
                    rig.api.write(name)
                case 3 if name in rig.api.objects:
                    rig.api.delete(name)
                case 4:
                    rig.api.compact()
                case 5:
                    rig.api.cut(chance.choice([DOWN, ForbiddenError("403")]))
                case 6:
                    rig.api.cut()
                case 7:
                    rig.api.bookmark()
                case _:
                    rig.api.error = None
            await asyncio.sleep(chance.choice([0, 0, 0.02, 5]))
        rig.api.error = None
        await asyncio.sleep(2 * SELDOM)
        assert rig.in_step
        assert rig.reflector.cut_since is None

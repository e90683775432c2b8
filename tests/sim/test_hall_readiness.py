"""When a model counts as ready, what was spent on that, and its warm-up; on virtual time."""

import asyncio
import os
from pathlib import Path

import pytest

from activator.probe import warm_up
from fleet.model import Phase, Policy, Ports, Served, WarmUp
from fleet.names import ModelName
from fleet.reasons import Reason
from fleet.runtimes import Endpoint
from tests.fakes.cluster import revision
from tests.fakes.modelserver import ScriptedServer
from tests.sim.loop import VIRTUAL
from tests.sim.world import ModelUnderTest, world

pytestmark = pytest.mark.anyio
BOTH = ("one", "two")


@pytest.fixture
def anyio_backend():
    return VIRTUAL


@pytest.mark.parametrize("early", BOTH)
async def test_a_replica_of_two_models_is_ready_when_both_answer(early):
    async with world(server=ScriptedServer(known=[early])) as w:
        w.cluster.put(revision(models=tuple(Served(name=ModelName(m), served=m) for m in BOTH)))
        client = w.call()
        await asyncio.sleep(10)
        assert sum(w.server.asked.values()) > 100, "its server listens and was asked"
        assert w.line.phase() is not Phase.READY
        assert not client.dispatches
        w.server.known = BOTH
        await asyncio.sleep(0.1)
        assert w.line.phase() is Phase.READY
        assert client.dispatches


async def test_the_phases_of_a_cold_start_add_up_to_all_of_it():
    async with world(gpus=1, start=2.0, server=ScriptedServer(ready_after=3.0)) as w:
        w.cluster.put(revision("other", replicas=1))
        w.cluster.put(revision())
        w.call(service=1.0)
        await asyncio.sleep(4)
        other = w.cluster.fleet().revisions["default/other"]
        await w.cluster.scale(other.name, 0, expect=other.version, reason=Reason.EVICTED)
        asleep = w.line.revision
        await w.cluster.scale(asleep.name, 1, expect=asleep.version, reason=Reason.DEMAND)
        await asyncio.sleep(10)
        phases = w.line.cold_start_phases
        expected = {"ask": 4, "wait_for_gpu": 0.5, "load": 2, "probe": 3, "first_inference": 0.5}
        assert phases == pytest.approx(expected, abs=0.02)
        assert sum(phases.values()) == pytest.approx(w.line.last_cold_start_s)


@pytest.mark.parametrize(
    ("warm_up", "request_sent"), [(WarmUp.FILE, b'{"inputs": [\x00\xff'), (WarmUp.AUTO, None)]
)
async def test_a_model_is_warmed_up_with_the_bytes_of_the_file(tmp_path, warm_up, request_sent):
    file = tmp_path / "request"
    file.write_bytes(b'{"inputs": [\x00\xff')
    policy = Policy(slots=4, warm_up=warm_up, warm_up_file=str(file))
    async with world(server=ScriptedServer()) as w:
        w.cluster.put(revision(replicas=1, policy=policy))
        await asyncio.sleep(3)
        assert [(m, request) for _, m, request in w.server.warm_ups] == [("demo", request_sent)]
        assert w.call().dispatches


async def test_a_warm_up_file_that_is_gone_keeps_nobody_waiting(tmp_path):
    gone = Policy(slots=4, warm_up=WarmUp.FILE, warm_up_file=str(tmp_path / "gone"))
    async with world(server=ScriptedServer()) as w:
        w.cluster.put(revision(replicas=1, policy=gone))
        await asyncio.sleep(3)
        assert w.server.warm_ups == []
        assert w.call().dispatches


@pytest.mark.parametrize("kind", ["endless", "large", "pipe", "folder"])
async def test_only_a_regular_file_of_a_sane_size_is_sent(tmp_path, kind):
    path = tmp_path / "request"
    if kind == "endless":
        path = Path("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.touch()
        os.truncate(path, 16 * 2**20 + 1)
    policy = Policy(slots=4, warm_up=WarmUp.FILE, warm_up_file=str(path))
    server = ScriptedServer()
    await warm_up(revision(policy=policy), server, Endpoint(address="a", ports=Ports(http=1)))
    assert server.warm_ups == []


class Odd(ModelUnderTest):
    """Raises what nobody foresaw, in one of its methods, while told to."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method

    def _odd(self, method: str) -> None:
        if method == self.method:
            raise RecursionError(method)

    async def ready(self, endpoint, models, *, timeout):
        self._odd("ready")
        return await super().ready(endpoint, models, timeout=timeout)

    async def slots(self, endpoint, models, *, timeout):
        self._odd("slots")
        return await super().slots(endpoint, models, timeout=timeout)

    async def sequence_idle(self, endpoint, models, *, timeout):
        self._odd("sequence_idle")
        return await super().sequence_idle(endpoint, models, timeout=timeout)

    async def warm_up(self, endpoint, model, *, request, timeout):
        self._odd("warm_up")
        await super().warm_up(endpoint, model, request=request, timeout=timeout)


@pytest.mark.parametrize("method", ["ready", "slots", "sequence_idle", "warm_up"])
async def test_what_nobody_foresaw_of_one_replica_ends_nothing_and_passes(method):
    async with world(server=Odd(method)) as w:
        w.cluster.put(revision(replicas=1, policy=Policy()))
        await asyncio.sleep(5)
        w.server.method = ""
        client = w.call()
        await asyncio.sleep(5)
        assert client.dispatches
        assert not any(seat.warming or seat.doubtful for seat in w.line.ledger.seats.values())


async def test_a_replica_that_moves_while_it_is_probed_is_probed_where_it_is():
    server = ScriptedServer(ready_after=3600)
    async with world(server=server) as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        (replica,) = w.cluster.fleet().replicas[w.revision]
        w.cluster.move(replica.name, "10.0.0.9")
        await asyncio.sleep(1)
        before = server.asked[replica.address]
        server.wake("10.0.0.9")
        client = w.call()
        await asyncio.sleep(5)
        assert server.asked[replica.address] == before
        assert [seat.host for _, seat in client.dispatches] == ["10.0.0.9"]


async def test_a_replica_that_moves_gets_a_seat_anew():
    server = ScriptedServer()
    async with world(server=server) as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        old = w.call(service=20.0)
        (replica,) = w.cluster.fleet().replicas[w.revision]
        w.cluster.move(replica.name, "10.0.0.9")
        client = w.call()
        await asyncio.sleep(5)
        assert [seat.host for _, seat in old.dispatches] == [replica.address]
        assert [seat.host for _, seat in client.dispatches] == ["10.0.0.9"]
        await asyncio.sleep(30)
        assert w.call().dispatches


async def test_a_gateway_that_starts_beside_old_replicas_waits_for_their_word():
    """They have had their GPU for longer than a start may take: that says nothing to it."""
    async with world() as w:
        w.cluster.put(revision(replicas=1, policy=Policy(slots=4, start_timeout=60.0)))
        await asyncio.sleep(100)
        assert w.line.phase() is Phase.READY
        w.server.dead.add("127.1.0.1")
        with w.begun_anew() as later:
            client = later.call()
            await asyncio.sleep(3)
            assert client.refusal is None
            w.server.dead.clear()
            await asyncio.sleep(0.1)
            assert client.dispatches


async def test_an_old_replica_that_does_not_answer_a_new_gateway_is_given_up_all_the_same():
    async with world() as w:
        w.cluster.put(revision(replicas=1, policy=Policy(slots=4, start_timeout=60.0)))
        await asyncio.sleep(100)
        w.server.dead.add("127.1.0.1")
        with w.begun_anew() as later:
            client = later.call()
            running = asyncio.ensure_future(later.hall.run())
            await asyncio.sleep(15)
            running.cancel()
            assert client.reason is Reason.START_FAILED


def _told(w):
    """Of each replica in the hall's next sample: seconds from having its GPU to ready."""
    row = w.bus.samples()[w.hall.name].sample.revisions[w.revision]
    found = [replica.ready_after for replica in row.replicas]
    return [None if one is None else round(one, 2) for one in found]


def _journaled(w):
    return [round(entry.seconds, 2) for entry in w.bus.tail(100) if entry.event == "ready"]


async def test_who_finds_a_replica_ready_knows_not_since_when_and_learns_nothing():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(1000)
        assert (_told(w), _journaled(w)) == ([1.5], [1.5])
        with w.begun_anew() as later:
            await asyncio.sleep(0.1)
            later.hall.publish()
            assert later.line.phase() is Phase.READY
            assert (_told(later), _journaled(later)) == ([None], [1.5])


async def test_who_saw_a_replica_come_learns_how_long_it_took_though_it_answers_at_once():
    async with world(start=7.0, server=ModelUnderTest(load=0.0)) as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(10)
        assert (_told(w), _journaled(w)) == ([7.0], [7.0])


@pytest.mark.parametrize(("available", "after"), [(False, 31.0), (True, None)])
async def test_who_waited_for_an_old_replica_learns_how_long_it_took(available, after):
    """But not of one that the cluster holds ready: it may only have missed a question."""
    async with world(server=ModelUnderTest(load=30.0)) as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(20)
        (one,) = w.cluster.fleet().of(w.revision)
        w.cluster._change(one.name, available=available)
        with w.begun_anew() as later:
            await asyncio.sleep(20)
            later.hall.publish()
            assert _told(later) == [after if after is None else pytest.approx(after, abs=0.3)]

"""The hall while the fleet changes under it: drains, replicas and manifests that come and go."""

import asyncio
from dataclasses import replace

import pytest

from fleet.model import Drain, Mode, Policy, Ports, Served, TlsPorts
from fleet.names import ModelName
from fleet.reasons import Reason
from tests.fakes.cluster import revision
from tests.sim.loop import VIRTUAL
from tests.sim.world import ModelUnderTest, world

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


def replicas(w):
    return w.cluster.fleet().of(w.revision)


async def test_those_who_wait_take_over_another_wait_timeout():
    async with world(gpus=1) as w:
        w.cluster.put(revision("busy", replicas=1))
        w.cluster.put(revision(policy=Policy(slots=4, wait_timeout=100)))
        client = w.call()
        await asyncio.sleep(1)
        seen = w.cluster.fleet().revisions[w.revision]
        w.cluster.put(replace(seen, policy=Policy(slots=4, wait_timeout=3)))
        await asyncio.sleep(2.1)
        assert client.reason is Reason.NO_FREE_GPU
        assert client.ended_at == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize(
    "policy", [Policy(mode=Mode.OFF), Policy(mode=Mode.ADVISE), Policy(max_replicas=0)]
)
async def test_those_who_wait_are_refused_when_nothing_may_be_woken_any_more(policy):
    async with world(gpus=1) as w:
        w.cluster.put(revision("busy", replicas=1))
        w.cluster.put(revision())
        client = w.call()
        await asyncio.sleep(1)
        w.cluster.put(replace(w.cluster.fleet().revisions[w.revision], policy=policy))
        assert client.reason is Reason.ASLEEP


@pytest.mark.parametrize(("slots", "most"), [(2, 2), (6, 6), (None, 5)])
async def test_a_ready_replica_takes_over_other_slots(slots, most):
    async with world(server=ModelUnderTest(slots=5)) as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        seen = w.cluster.fleet().revisions[w.revision]
        w.cluster.put(replace(seen, policy=Policy(slots=slots)))
        await asyncio.sleep(1)
        for _ in range(10):
            w.call(service=50)
        assert w.line.running == most


class Strict(ModelUnderTest):
    """Answers at its own port, over TLS, for its own model."""

    async def ready(self, endpoint, models, *, timeout):
        right = endpoint.ports.http == 8000 and endpoint.tls is not None and models == ("demo",)
        return right and await super().ready(endpoint, models, timeout=timeout)


TLS = Policy(slots=4, tls=TlsPorts.ON)


@pytest.mark.parametrize(
    "slip",
    [
        {"ports": Ports(http=9000, grpc=8001, metrics=8002)},
        {"models": (Served(name=ModelName("demo"), served="dmeo"),)},
        {"policy": Policy(slots=4)},
    ],
)
async def test_a_slip_that_is_put_right_while_a_replica_is_asked_keeps_nobody_waiting(slip):
    async with world(server=Strict()) as w:
        right = revision(replicas=1, policy=TLS)
        w.cluster.put(replace(right, **slip))
        client = w.call()
        await asyncio.sleep(5)
        assert not client.dispatches
        w.cluster.put(right)
        await asyncio.sleep(1)
        ((_, seat),) = client.dispatches
        assert seat.port == 8000


async def test_a_ready_replica_takes_over_other_ports_and_ends_what_runs():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        running = w.call(service=2)
        seen = w.cluster.fleet().revisions[w.revision]
        w.cluster.put(replace(seen, ports=Ports(http=9000, grpc=9001)))
        client = w.call()
        await asyncio.sleep(1)
        ((_, seat),) = client.dispatches
        assert (seat.port, seat.grpc_port) == (9000, 9001)
        await asyncio.sleep(1.1)
        assert running.ended_at is not None


async def test_a_ready_replica_serves_on_while_others_with_other_ports_are_rolled_out():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        seen = w.cluster.fleet().revisions[w.revision]
        rolled = replace(seen, ports=Ports(http=9000, grpc=9001), template="t2")
        w.cluster.put(rolled)
        w.cluster.put(replace(rolled, ports=Ports(http=9100, grpc=9101)))
        ((_, seat),) = w.call().dispatches
        assert (seat.port, seat.grpc_port) == (8000, 8001)


async def test_another_name_takes_no_ready_replica_away():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        seen = w.cluster.fleet().revisions[w.revision]
        more = Served(name=ModelName("other"), served="other")
        w.cluster.put(replace(seen, models=(*seen.models, more)))
        assert w.call().dispatches


async def test_a_drain_is_acknowledged_once_nothing_runs_there():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        running = w.call(service=2)
        (one,) = replicas(w)
        version = w.line.revision.version
        await w.cluster.mark(
            w.revision, Drain(number=7, replicas=frozenset({one.name})), expect=version
        )

        def acknowledged():
            return w.bus.samples()["g1"].sample.revisions[w.revision].drained

        assert acknowledged() == 0
        pokes = []
        w.bus.on_poke(pokes.append)
        late = w.call()
        assert pokes == [w.revision], "only the leader can take a drain back"
        await asyncio.sleep(2.001)
        assert running.ended_at is not None
        assert acknowledged() == 7
        assert not late.dispatches, "a draining seat takes nothing new"
        await w.cluster.mark(w.revision, None, expect=w.line.revision.version)
        assert late.dispatches, "a drain taken back releases at once"


async def test_an_idle_replica_is_acknowledged_within_the_mark():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        (one,) = replicas(w)
        await w.cluster.mark(
            w.revision,
            Drain(number=1, replicas=frozenset({one.name})),
            expect=w.line.revision.version,
        )
        assert w.bus.samples()["g1"].sample.revisions[w.revision].drained == 1


async def test_a_replica_that_gets_ready_after_its_drain_was_acknowledged_takes_nothing():
    async with world(start=1.0) as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(1.2)
        (one,) = replicas(w)
        assert one.address is not None, "it is being probed, and not ready yet"
        drain = Drain(number=3, replicas=frozenset({one.name}))
        await w.cluster.mark(w.revision, drain, expect=w.line.revision.version)
        assert w.bus.samples()["g1"].sample.revisions[w.revision].drained == 3
        late = w.call()
        await asyncio.sleep(3)
        assert one.name in w.line.ledger.seats, "its model answers"
        assert not late.dispatches
        await w.cluster.mark(w.revision, None, expect=w.line.revision.version)
        assert late.dispatches


async def test_a_replica_that_is_stopped_while_idle_is_quiet_at_once():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        (one,) = replicas(w)
        quiet = []
        w.hall.on_quiet(quiet.append)
        await w.cluster.scale(w.revision, 0, expect=w.line.revision.version, reason=Reason.IDLE)
        assert quiet == [one.name]


async def test_a_replica_that_is_gone_is_not_asked_any_more():
    async with world(server=ModelUnderTest(load=1000)) as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        await w.cluster.scale(w.revision, 0, expect=w.line.revision.version, reason=Reason.IDLE)
        await asyncio.sleep(1)
        asked = w.server.questions
        await asyncio.sleep(10)
        assert asked == w.server.questions > 0


async def test_a_removed_deployment_refuses_who_waits_and_finishes_what_runs():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        line = w.line
        running = [w.call(service=1) for _ in range(4)]
        waiting = w.call()
        (one,) = replicas(w)
        quiet = []
        w.hall.on_quiet(quiet.append)
        w.cluster.remove(w.revision)
        assert waiting.reason is Reason.MODEL_REMOVED
        assert w.revision not in w.hall.lines
        assert w.hall.running_on(one.name) == 4
        assert not quiet
        for client in running:
            line.leave(client.ticket)
        assert quiet == [one.name]
        assert w.hall.running_on(one.name) == 0


async def test_slots_that_change_while_a_replica_loads_count():
    async with world() as w:
        w.cluster.put(revision(replicas=1, policy=Policy(slots=2)))
        await asyncio.sleep(0.5)
        seen = w.cluster.fleet().revisions[w.revision]
        w.cluster.put(replace(seen, policy=Policy(slots=3)))
        await asyncio.sleep(1.2)
        changed = w.cluster.fleet().revisions[w.revision]
        w.cluster.put(replace(changed, policy=Policy(slots=7)))
        await asyncio.sleep(3)
        for _ in range(10):
            w.call(service=50)
        assert w.line.running == 7


async def test_a_closed_hall_asks_no_replica_any_more():
    async with asyncio.timeout(20), world(server=ModelUnderTest(load=1000)) as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        asked = w.server.questions
        assert asked
        w.hall.close()
        await asyncio.sleep(1)
        assert w.server.questions == asked


async def test_what_breaks_after_the_hall_is_closed_starts_no_probe():
    async with asyncio.timeout(20), world() as w:
        w.cluster.put(revision(replicas=1))
        await asyncio.sleep(3)
        client = w.call(service=5)
        (one,) = replicas(w)
        w.server.dead.add(one.address)
        w.hall.close()
        client.replica_broke(one.name)
        asked = w.server.questions
        await asyncio.sleep(1)
        assert w.server.questions == asked

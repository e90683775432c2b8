"""Which replica a request goes to: away from one that fails, slowly to a new one."""

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from activator.core.outliers import MOST_FAILURES
from activator.core.seats import State
from fleet.model import Policy, WarmUp
from tests.fakes.cluster import revision
from tests.sim.loop import VIRTUAL
from tests.sim.world import ModelUnderTest, world

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


class Failing:
    """A guest whose request one replica always fails, and any other serves at once."""

    def __init__(self, line, bad: str | None) -> None:
        self.line, self.bad = line, bad
        self.seat = None

    def dispatched(self, ticket, seat) -> None:
        self.seat = seat
        if seat.name == self.bad:
            self.line.failed(ticket)
        else:
            self.line.first_byte(ticket)
            seat.failures = 0

    def refused(self, ticket, refusal) -> None:
        raise AssertionError(refusal)


async def ready(w, count: int) -> list:
    while sum(seat.proved for seat in w.line.ledger.seats.values()) < count:
        await asyncio.sleep(0.1)
    return list(w.line.ledger.seats.values())


async def test_a_replica_that_fails_while_others_are_fine_takes_nothing_for_longer_and_longer():
    async with world() as w:
        w.cluster.put(revision(replicas=2))
        bad, good = await ready(w, 2)
        failures = []
        until = w.now + 40
        while w.now < until:
            guest = Failing(w.line, bad.name)
            ticket = w.line.enter(guest)
            if guest.seat is bad:
                failures.append(w.now)
            w.line.leave(ticket)
            assert good.open
            await asyncio.sleep(0.01)
        # Five in a row, then one each time that it comes back: after 1, 2, 4, 8 and 16 s.
        gaps = [later - earlier for earlier, later in pairwise(failures)]
        assert [gap for gap in gaps if gap > 0.5] == pytest.approx([1, 2, 4, 8, 16], abs=0.1)
        assert len(failures) == MOST_FAILURES + 5
        # Well again, it takes requests again and is not put out.
        while not bad.open:
            await asyncio.sleep(0.1)
        guest = Failing(w.line, None)
        w.line.leave(w.line.enter(guest))
        assert guest.seat is bad
        assert bad.failures == 0


async def test_a_replica_put_out_whose_model_does_not_answer_stays_out():
    async with world() as w:
        w.cluster.put(revision(replicas=2))
        bad, _ = await ready(w, 2)
        w.server.dead.add(bad.host)
        while bad.open:
            ticket = w.line.enter(Failing(w.line, bad.name))
            w.line.leave(ticket)
        await asyncio.sleep(30)
        assert not bad.open
        w.server.dead.clear()
        await asyncio.sleep(0.1)
        assert bad.open


async def test_the_only_replica_is_never_put_out():
    async with world() as w:
        w.cluster.put(revision(replicas=1))
        (only,) = await ready(w, 1)
        for _ in range(20):
            w.line.leave(w.line.enter(Failing(w.line, only.name)))
        assert only.open
        assert only.failures == 20


@pytest.mark.parametrize(("slow_start", "early"), [(0.0, 20), (60.0, 4)])
async def test_a_new_replica_gets_its_share_at_once_or_slowly(slow_start, early):
    policy = Policy(slots=100, warm_up=WarmUp.NONE, slow_start=slow_start)
    async with world(server=ModelUnderTest(slots=100)) as w:
        w.cluster.put(revision(policy=policy, replicas=1))
        await ready(w, 1)
        await asyncio.sleep(100)
        found = w.cluster.fleet().revisions[w.revision]
        w.cluster.put(replace(found, replicas=2, version="9"))
        old, new = await ready(w, 2)

        async def taken() -> int:
            clients = [w.call(service=1.0) for _ in range(40)]
            count = Counter(client.ticket.seat for client in clients)[new]
            await asyncio.sleep(2)
            assert all(client.ticket.state is State.LEFT for client in clients)
            return count

        assert await taken() == pytest.approx(early, abs=1)
        await asyncio.sleep(100)
        assert await taken() == 20
        assert old.open

"""The leader's Lease and the shell around it, on virtual time."""

import asyncio

import pytest

from fleet.leases.record import lease_path
from tests.sim.leasing import LEADER, SPACE, Stage
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


async def test_one_of_two_leads_and_goes_on():
    async with Stage() as stage:
        one, two = stage.candidate("one"), stage.candidate("two")
        await stage.until(one.held)
        for _ in range(200):
            await asyncio.sleep(0.5)
            assert one.held()
            assert not two.held()
        assert one.term == two.term == 1
        assert one.news == [(0.0, True)]
        assert two.news == []


async def test_a_killed_leader_is_followed_when_its_lease_has_expired():
    async with Stage() as stage:
        one, two = stage.candidate("one"), stage.candidate("two")
        await stage.until(one.held)
        await asyncio.sleep(30)
        await stage.kill(one.task)
        killed = stage.loop.time()
        taken = await stage.until(two.held)
        assert 12.0 <= taken - killed <= 18.0
        assert not one.held(), "by its own clock"
        assert two.term == 2


async def test_one_that_leaves_in_order_is_followed_within_a_try():
    async with Stage() as stage:
        one, two = stage.candidate("one"), stage.candidate("two")
        await stage.until(one.held)
        await one.release()
        assert not one.held()
        assert one.news[-1][1] is False
        left = stage.loop.time()
        assert await stage.until(two.held) - left <= 2.5
        await asyncio.sleep(60)
        assert not one.held(), "it never comes back"


async def test_giving_up_meets_a_renewal_that_is_under_way():
    async with Stage() as stage:
        one = stage.candidate("one")
        await stage.until(one.held)
        one.client.delay = 1.0
        calls = one.client.calls
        await stage.until(lambda: one.client.calls > calls)
        await one.release()
        await asyncio.sleep(3)
        assert stage.store.objects[LEADER]["spec"]["holderIdentity"] == ""


async def test_a_leader_that_cannot_renew_stops_before_another_begins():
    async with Stage() as stage:
        one, two = stage.candidate("one"), stage.candidate("two")
        await stage.until(one.held)
        await asyncio.sleep(7)
        one.client.away = True
        cut = stage.loop.time()
        lost = await stage.until(lambda: not one.held())
        assert lost - cut <= 10.1
        assert one.news[-1] == (pytest.approx(lost, abs=0.1), False), "told when it happens"
        assert not two.held()
        assert one.trouble == "cut off"
        gained = await stage.until(two.held)
        assert gained - lost >= 4.0
        one.client.away = False
        await asyncio.sleep(20)
        assert not one.held()
        assert one.term == 2
        assert one.trouble == ""


async def test_an_answer_that_never_comes_does_not_keep_it_leading():
    async with Stage() as stage:
        one = stage.candidate("one")
        await stage.until(one.held)
        one.client.delay = 1e6
        await stage.until(lambda: not one.held(), limit=13.0)
        assert one.news[-1][1] is False
        one.client.delay = 0.0
        await stage.until(one.held, limit=8.0)
        assert one.term == 1, "nobody else had it meanwhile"


async def test_all_lose_it_while_the_server_is_away_and_one_has_it_after():
    async with Stage() as stage:
        both = [stage.candidate("one"), stage.candidate("two")]
        await stage.until(both[0].held)
        for one in both:
            one.client.away = True
        await asyncio.sleep(60)
        assert not any(one.held() for one in both)
        for one in both:
            one.client.away = False
        await stage.until(lambda: any(one.held() for one in both), limit=18.0)
        await asyncio.sleep(30)
        assert sum(one.held() for one in both) == 1


async def test_a_lease_deleted_by_hand_is_made_again_with_a_new_turn():
    async with Stage() as stage:
        one = stage.candidate("one")
        await stage.until(one.held)
        stage.store.delete(LEADER)
        await stage.until(lambda: LEADER in stage.store.objects, limit=5.0)
        assert one.held()
        assert one.term == 2


async def test_without_its_namespace_nobody_leads_and_it_says_why(caplog):
    async with Stage() as stage:
        stage.store.missing.add(lease_path(SPACE))
        one = stage.candidate("one")
        one.client.delay = 0.01
        await asyncio.sleep(60)
        assert not one.held()
        assert "no such namespace; EBBTIDE_NAMESPACE names" in one.trouble
        assert caplog.text.count("lease_unsure") == 1
        stage.store.missing.clear()
        await stage.until(one.held, limit=3.0)
        assert one.trouble == ""

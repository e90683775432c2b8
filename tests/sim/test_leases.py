"""The shells around the Leases, on virtual time, over an API server that is slow or away."""

import asyncio
import contextlib
from random import Random

import pytest

from fleet.clock import LoopClock
from fleet.errors import ForbiddenError, UnavailableError
from fleet.leases.identity import Identity
from fleet.leases.leader import LEADER_LEASE, KubernetesLease
from fleet.leases.member import Membership, NameTakenError
from fleet.leases.members import KubernetesMembers
from fleet.leases.membership import lease_name
from fleet.leases.record import lease_path
from fleet.names import GatewayName
from tests.fakes.leaseapi import LeaseStore
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio
SPACE = "ebbtide"
LEADER = lease_path(SPACE, LEADER_LEASE)
POD, OUTSIDE = GatewayName("ebbtide/gw-1"), GatewayName("box:8081")


@pytest.fixture
def anyio_backend():
    return VIRTUAL


class Stage:
    """An API server and the processes that use it."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.store = LeaseStore()
        self.tasks = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            await self.kill(task)

    def run(self, work):
        task = self.loop.create_task(work)
        self.tasks.append(task)
        return task

    async def kill(self, task):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, NameTakenError):
            await task

    def candidate(self, me):
        """A process that wants to lead."""
        client = self.store.client()
        lease = KubernetesLease(
            client, SPACE, me, clock=LoopClock(), now=self.loop.time, luck=Random(1)
        )
        lease.client, lease.news = client, []
        lease.subscribe(lambda held: lease.news.append((self.loop.time(), held)))
        lease.task = self.run(lease.run())
        return lease

    def gateway(self, name, process="p1", *, uid=""):
        client = self.store.client()
        who = Identity(name=name, process=process, namespace=SPACE, pod_uid=uid)
        member = Membership(client, who, clock=LoopClock(), luck=Random(2))
        member.client, member.task = client, self.run(member.run())
        return member

    def members(self):
        client = self.store.client()
        members = KubernetesMembers(
            client, SPACE, clock=LoopClock(), now=self.loop.time, luck=Random(3)
        )
        members.client, members.task = client, self.run(members.run())
        return members

    async def until(self, happened, *, limit=120.0):
        end = self.loop.time() + limit
        while not happened():
            assert self.loop.time() < end, "it did not happen"
            await asyncio.sleep(0.05)
        return self.loop.time()


def lease_of(stage, name):
    return stage.store.objects[lease_path(SPACE, lease_name(name))]


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


async def test_a_gateway_is_a_member_from_its_lease_on():
    async with Stage() as stage:
        members = stage.members()
        await asyncio.sleep(1)
        assert list(members.names()) == []
        gateway = stage.gateway(POD, uid="u1")
        await gateway.taken()
        assert POD in await members.confirm()
        made = lease_of(stage, POD)
        assert made["metadata"]["labels"] == {"ebbtide.dev/member": "gateway"}
        assert made["metadata"]["annotations"] == {"ebbtide.dev/gateway": POD}
        (owner,) = made["metadata"]["ownerReferences"]
        assert owner == {"apiVersion": "v1", "kind": "Pod", "name": "gw-1", "uid": "u1"}
        assert made["spec"]["holderIdentity"] == "ebbtide/gw-1_p1"


async def test_nothing_is_a_member_before_the_server_has_said_so():
    async with Stage() as stage:
        gateway = stage.gateway(POD)
        gateway.client.away = True
        waiting = stage.run(gateway.taken())
        await asyncio.sleep(60)
        assert not waiting.done()
        assert gateway.trouble == "cut off"
        assert gateway.cut_since is not None
        gateway.client.away = False
        await stage.until(waiting.done, limit=6.0)
        await asyncio.sleep(1)
        assert gateway.cut_since is None


async def test_a_killed_gateway_in_a_pod_is_missed_until_its_pod_is_gone():
    async with Stage() as stage:
        stage.store.put_pod(SPACE, "gw-1")
        members, gateway = stage.members(), stage.gateway(POD)
        await gateway.taken()
        await stage.kill(gateway.task)
        await asyncio.sleep(300)
        assert POD in members.names()
        stage.store.delete_pod(SPACE, "gw-1")
        await stage.until(lambda: POD not in members.names(), limit=3.0)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
async def test_a_pod_that_has_ended_for_good_is_as_good_as_gone(phase):
    async with Stage() as stage:
        stage.store.put_pod(SPACE, "gw-1")
        members, gateway = stage.members(), stage.gateway(POD)
        await gateway.taken()
        await stage.kill(gateway.task)
        stage.store.put_pod(SPACE, "gw-1", phase=phase)
        await stage.until(lambda: POD not in members.names(), limit=30.0)


async def test_a_killed_gateway_outside_a_pod_is_gone_after_a_while():
    async with Stage() as stage:
        members, gateway = stage.members(), stage.gateway(OUTSIDE)
        await gateway.taken()
        await asyncio.sleep(20)
        await stage.kill(gateway.task)
        killed = stage.loop.time()
        gone = await stage.until(lambda: OUTSIDE not in members.names())
        assert 25.0 <= gone - killed <= 33.0


async def test_the_next_process_of_a_name_takes_the_place_of_the_one_before_at_once():
    async with Stage() as stage:
        members, first = stage.members(), stage.gateway(OUTSIDE)
        await first.taken()
        await stage.kill(first.task)
        second = stage.gateway(OUTSIDE, "p2")
        await second.taken()
        assert lease_of(stage, OUTSIDE)["spec"]["holderIdentity"] == "box:8081_p2"
        await asyncio.sleep(200)
        assert list(members.names()) == [OUTSIDE]


async def test_of_two_of_one_name_the_elder_ends():
    async with Stage() as stage:
        first = stage.gateway(OUTSIDE)
        await first.taken()
        second = stage.gateway(OUTSIDE, "p2")
        await second.taken()
        await asyncio.sleep(10)
        assert first.task.done()
        with pytest.raises(NameTakenError, match=r"box:8081_p2.*HOST:ADMIN-PORT"):
            first.task.result()
        assert not second.task.done()


async def test_a_refusal_in_passing_after_an_outage_is_asked_about_soon():
    async with Stage() as stage:
        gateway = stage.gateway(POD)
        await asyncio.sleep(1)
        gateway.client.away = True
        await asyncio.sleep(120)
        calls, gateway.client.error = gateway.client.calls, ForbiddenError("403: not yet")
        await stage.until(lambda: gateway.client.calls > calls, limit=6.0)
        gateway.client.away = False
        await stage.until(lambda: gateway.cut_since is None, limit=6.0)


async def test_one_that_leaves_in_order_is_no_member_at_once():
    async with Stage() as stage:
        stage.store.put_pod(SPACE, "gw-1")
        members, gateway = stage.members(), stage.gateway(POD)
        await gateway.taken()
        assert POD in await members.confirm()
        await gateway.release()
        assert list(await members.confirm()) == []
        await asyncio.sleep(30)
        assert lease_of(stage, POD)["spec"]["holderIdentity"] == "", "and it stays so"


async def test_leaving_meets_a_renewal_that_is_under_way():
    async with Stage() as stage:
        members, gateway = stage.members(), stage.gateway(POD)
        await gateway.taken()
        for delay in (0.4, 1.0, 2.0):
            gateway.client.delay = delay
            calls = gateway.client.calls
            await stage.until(lambda calls=calls: gateway.client.calls > calls)
        gateway.client.delay = 0.0
        await gateway.release()
        await asyncio.sleep(30)
        assert lease_of(stage, POD)["spec"]["holderIdentity"] == ""
        assert list(members.names()) == []


async def test_a_lease_that_somebody_changed_or_deleted_is_put_right():
    async with Stage() as stage:
        members, gateway = stage.members(), stage.gateway(POD)
        await gateway.taken()
        await asyncio.sleep(1)
        body = lease_of(stage, POD)
        changed = {**body, "metadata": {**body["metadata"], "annotations": {"their": "own"}}}
        stage.store.write(lease_path(SPACE, lease_name(POD)), changed)
        await asyncio.sleep(11)
        assert lease_of(stage, POD)["metadata"]["annotations"] == {
            "their": "own",
            "ebbtide.dev/gateway": POD,
        }
        stage.store.delete(lease_path(SPACE, lease_name(POD)))
        await asyncio.sleep(11)
        assert list(members.names()) == [POD]
        assert not gateway.task.done()


async def test_while_nothing_can_be_read_the_members_are_those_known_last():
    async with Stage() as stage:
        members, gateway = stage.members(), stage.gateway(OUTSIDE)
        await gateway.taken()
        await asyncio.sleep(3)
        members.client.away = True
        with pytest.raises(UnavailableError, match="the Leases of the gateways: cut off"):
            await members.confirm()
        await asyncio.sleep(300)
        assert list(members.names()) == [OUTSIDE]
        assert members.trouble == "cut off"
        assert members.cut_since is not None


async def test_when_the_server_is_back_every_gateway_has_time_to_renew():
    async with Stage() as stage:
        members, gateway = stage.members(), stage.gateway(OUTSIDE)
        await gateway.taken()
        await asyncio.sleep(3)
        members.client.away = gateway.client.away = True
        await asyncio.sleep(300)
        members.client.away = False
        gateway.client.delay = 4.0
        assert OUTSIDE in await members.confirm()
        await asyncio.sleep(5)
        gateway.client.away = False
        for _ in range(100):
            await asyncio.sleep(0.5)
            assert OUTSIDE in members.names()


async def test_an_answer_that_took_too_long_proves_nothing_either():
    async with Stage() as stage:
        members, gateway = stage.members(), stage.gateway(OUTSIDE)
        await gateway.taken()
        await asyncio.sleep(3)
        gateway.client.away = True
        members.client.delay = 20.0
        await asyncio.sleep(60)
        members.client.delay = 0.0
        gateway.client.away = False
        await stage.until(lambda: members.cut_since is None, limit=5.0)
        for _ in range(30):
            assert OUTSIDE in members.names()
            await asyncio.sleep(0.5)

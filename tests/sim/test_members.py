"""The Leases of gateways and the shells around them, on virtual time."""

import asyncio

import pytest

from fleet.clock import LoopClock, rfc3339
from fleet.errors import ForbiddenError, UnavailableError
from fleet.leases.member import NameTakenError
from fleet.leases.membership import lease_name
from fleet.leases.record import lease_path
from tests.sim.leasing import OUTSIDE, POD, SPACE, Stage
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return VIRTUAL


def lease_of(stage, name):
    return stage.store.objects[lease_path(SPACE, lease_name(name, SPACE))]


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


async def test_without_its_namespace_a_gateway_says_so_and_asks_now_and_then():
    async with Stage() as stage:
        stage.store.missing.add(lease_path(SPACE))
        gateway = stage.gateway(OUTSIDE)
        gateway.client.delay = 0.01
        waiting = stage.run(gateway.taken())
        await asyncio.sleep(120)
        assert not waiting.done()
        assert "no such namespace; EBBTIDE_NAMESPACE names" in gateway.trouble
        assert gateway.client.calls < 400
        stage.store.missing.clear()
        await stage.until(waiting.done, limit=6.0)


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


def second(ahead=0.0):
    """The wall clock's second now, or some time ahead, as a kubelet writes it."""
    return f"{rfc3339(LoopClock().wall() + ahead)[:19]}Z"


async def test_a_gateway_whose_container_ends_again_and_again_is_missed_for_a_lease_only():
    async with Stage() as stage:
        stage.store.put_pod(SPACE, "gw-1")
        members = stage.members()
        for process in ("p1", "p2", "p3"):
            gateway = stage.gateway(POD, process, container="gateway")
            await gateway.taken()
            assert POD in await members.confirm()
            await asyncio.sleep(1)
            await stage.kill(gateway.task)
            stage.store.put_pod(SPACE, "gw-1", ended=second())
            await stage.until(lambda: POD not in members.names(), limit=18.0)
            await asyncio.sleep(60)
            assert list(members.names()) == []


async def test_the_status_of_the_run_before_says_nothing_of_the_one_that_has_the_lease():
    async with Stage() as stage:
        members = stage.members()
        stage.store.put_pod(SPACE, "gw-1", ended=second(-2.0))
        gateway = stage.gateway(POD, container="gateway")
        await gateway.taken()
        assert lease_of(stage, POD)["metadata"]["annotations"]["ebbtide.dev/container"] == "gateway"
        await asyncio.sleep(3)
        # It runs on, cut off from the server, as is its kubelet.
        gateway.client.away = True
        await asyncio.sleep(300)
        assert list(members.names()) == [POD]


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
        stage.store.write(lease_path(SPACE, lease_name(POD, SPACE)), changed)
        await asyncio.sleep(11)
        assert lease_of(stage, POD)["metadata"]["annotations"] == {
            "their": "own",
            "ebbtide.dev/gateway": POD,
        }
        stage.store.delete(lease_path(SPACE, lease_name(POD, SPACE)))
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

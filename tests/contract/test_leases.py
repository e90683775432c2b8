"""What every `Lease` and every `Members` hold to: Leases on a real control plane, the one for a
process alone, and the fakes of the other tests.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Protocol

import pytest

from fleet.clock import LoopClock, machine_time, rfc3339
from fleet.kubernetes.api import Api
from fleet.leases import Lease, Members
from fleet.leases.fixed import Always, Fixed
from fleet.leases.identity import Identity
from fleet.leases.leader import LEADER_LEASE, KubernetesLease
from fleet.leases.member import Membership
from fleet.leases.members import KubernetesMembers
from fleet.leases.record import lease_path, made, taken
from fleet.names import GatewayName
from tests.fakes.leases import ScriptedLease, ScriptedMembers
from tests.kube.plane import ControlPlane

pytestmark = pytest.mark.anyio
LONG_AGO = "2020-01-01T00:00:00.000000Z"


async def soon(condition: Callable[[], object], *, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class Turns(Protocol):
    """A lease, and the turns of others."""

    lease: Lease
    alone: bool
    """No other process takes part."""

    async def end(self) -> None:
        """This process's turn is over, and another's begins."""
        ...


class AlwaysTurns:
    alone = True

    def __init__(self) -> None:
        self.lease = Always()


class ScriptedTurns:
    alone = False

    def __init__(self) -> None:
        self.lease = ScriptedLease()
        asyncio.get_running_loop().call_later(0.05, self.lease.give, 1)

    async def end(self) -> None:
        self.lease.take(2)


class RealTurns:
    alone = False

    def __init__(self, lease: KubernetesLease, other: KubernetesLease) -> None:
        self.lease, self.other = lease, other

    async def end(self) -> None:
        await self.lease.release()
        await soon(self.other.held)


OpenTurns = Callable[[], contextlib.AbstractAsyncContextManager[Turns]]


@contextlib.asynccontextmanager
async def running(*works) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def candidate(api: Api, namespace: str, me: str) -> KubernetesLease:
    return KubernetesLease(api, namespace, me, clock=LoopClock(), now=machine_time, luck=Random(1))


@pytest.fixture(params=["always", "scripted", "kubernetes"])
def turns(request: pytest.FixtureRequest) -> OpenTurns:
    @contextlib.asynccontextmanager
    async def always() -> AsyncIterator[Turns]:
        yield AlwaysTurns()

    @contextlib.asynccontextmanager
    async def scripted() -> AsyncIterator[Turns]:
        yield ScriptedTurns()

    @contextlib.asynccontextmanager
    async def real() -> AsyncIterator[Turns]:
        plane: ControlPlane = request.getfixturevalue("control_plane")
        namespace: str = request.getfixturevalue("namespace")
        async with await Api.open(str(plane.kubeconfig)) as api:
            one, two = (candidate(api, namespace, me) for me in ("one", "two"))
            async with running(one.run()):
                await soon(one.held)
                async with running(two.run()):
                    yield RealTurns(one, two)

    if request.param == "kubernetes":
        request.getfixturevalue("namespace")
    return {"always": always, "scripted": scripted, "kubernetes": real}[request.param]


class TestLease:
    async def test_it_is_held_sooner_or_later_and_the_term_stands(self, turns: OpenTurns) -> None:
        async with turns() as t:
            await soon(t.lease.held)
            term = t.lease.term
            assert (term == 0) is t.alone
            await asyncio.sleep(0.1)
            assert t.lease.held()
            assert t.lease.term == term

    async def test_who_listens_is_told_when_it_is_lost(self, turns: OpenTurns) -> None:
        async with turns() as t:
            told: list[bool] = []
            await soon(t.lease.held)
            ends = [t.lease.subscribe(told.append), t.lease.subscribe(lambda _: told.append(True))]
            ends.pop()()
            if not t.alone:
                await t.end()
                assert not t.lease.held()
                assert told == [False]
            ends.pop()()

    async def test_the_term_never_falls(self, turns: OpenTurns) -> None:
        async with turns() as t:
            await soon(t.lease.held)
            before = t.lease.term
            if not t.alone:
                await t.end()
            assert t.lease.term >= before


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[Api]:
    async with await Api.open(str(control_plane.kubeconfig)) as api:
        yield api


async def test_on_a_real_server_the_turns_are_counted(api: Api, namespace: str) -> None:
    terms = []
    for me in ("one", "two", "three"):
        lease = candidate(api, namespace, me)
        async with running(lease.run()):
            await soon(lease.held)
            terms.append(lease.term)
            await lease.release()
    assert terms == [1, 2, 3]
    found = await api.get(lease_path(namespace, LEADER_LEASE))
    assert found["spec"]["leaseTransitions"] == 3
    assert not found["spec"].get("holderIdentity")


async def test_on_a_real_server_one_that_has_expired_is_taken(api: Api, namespace: str) -> None:
    body = taken(made(LEADER_LEASE, namespace), holder="dead", at=LONG_AGO, lasts=1.0, turns=7)
    del body["metadata"]["resourceVersion"]
    await api.post(lease_path(namespace), body=body)
    lease = candidate(api, namespace, "next")
    async with running(lease.run()):
        await soon(lease.held)
        assert lease.term == 8


async def test_on_a_real_server_two_never_hold_it(api: Api, namespace: str) -> None:
    leases = [candidate(api, namespace, f"me-{n}") for n in range(5)]
    async with running(*(lease.run() for lease in leases)):
        await soon(lambda: any(lease.held() for lease in leases))
        for _ in range(100):
            assert sum(lease.held() for lease in leases) == 1
            await asyncio.sleep(0.03)


class Staff(Protocol):
    """Members, and gateways that come and go."""

    members: Members

    async def come(self, name: GatewayName) -> None:
        """A gateway takes up its work."""
        ...

    async def leave(self, name: GatewayName) -> None:
        """It leaves in order."""
        ...


class FixedStaff:
    def __init__(self) -> None:
        self.there: set[GatewayName] = set()
        self.members = Fixed(lambda: frozenset(self.there))

    async def come(self, name: GatewayName) -> None:
        self.there.add(name)

    async def leave(self, name: GatewayName) -> None:
        self.there.remove(name)


class ScriptedStaff:
    def __init__(self) -> None:
        self.members = ScriptedMembers()

    async def come(self, name: GatewayName) -> None:
        self.members.there.add(name)

    async def leave(self, name: GatewayName) -> None:
        self.members.there.remove(name)


class RealStaff:
    def __init__(self, api: Api, namespace: str, group: asyncio.TaskGroup) -> None:
        self.api, self.namespace, self.group = api, namespace, group
        self.members = members_of(api, namespace)
        self.there: dict[GatewayName, Membership] = {}
        self.tasks = [group.create_task(self.members.run())]

    async def come(self, name: GatewayName) -> None:
        who = Identity(name=name, process="p1", namespace=self.namespace)
        member = Membership(self.api, who, clock=LoopClock(), luck=Random(2))
        self.tasks.append(self.group.create_task(member.run()))
        self.there[name] = member
        await member.taken()

    async def leave(self, name: GatewayName) -> None:
        await self.there.pop(name).release()


def members_of(api: Api, namespace: str) -> KubernetesMembers:
    return KubernetesMembers(api, namespace, clock=LoopClock(), now=machine_time, luck=Random(3))


OpenStaff = Callable[[], contextlib.AbstractAsyncContextManager[Staff]]


@pytest.fixture(params=["fixed", "scripted", "kubernetes"])
def staff(request: pytest.FixtureRequest) -> OpenStaff:
    @contextlib.asynccontextmanager
    async def fixed() -> AsyncIterator[Staff]:
        yield FixedStaff()

    @contextlib.asynccontextmanager
    async def scripted() -> AsyncIterator[Staff]:
        yield ScriptedStaff()

    @contextlib.asynccontextmanager
    async def real() -> AsyncIterator[Staff]:
        plane: ControlPlane = request.getfixturevalue("control_plane")
        namespace: str = request.getfixturevalue("namespace")
        async with await Api.open(str(plane.kubeconfig)) as api, asyncio.TaskGroup() as group:
            made = RealStaff(api, namespace, group)
            yield made
            for task in made.tasks:
                task.cancel()

    if request.param == "kubernetes":
        request.getfixturevalue("namespace")
    return {"fixed": fixed, "scripted": scripted, "kubernetes": real}[request.param]


class TestMembers:
    async def test_whoever_has_come_is_confirmed_and_then_known(self, staff: OpenStaff) -> None:
        async with staff() as s:
            assert list(await s.members.confirm()) == []
            names = {GatewayName(f"host-{n}:8081") for n in range(3)}
            for name in names:
                await s.come(name)
                assert name in await s.members.confirm()
            assert set(s.members.names()) == names

    async def test_who_has_left_in_order_is_none_any_more(self, staff: OpenStaff) -> None:
        async with staff() as s:
            one, two = GatewayName("one:1"), GatewayName("two:1")
            await s.come(one)
            await s.come(two)
            assert set(await s.members.confirm()) == {one, two}
            await s.leave(one)
            assert set(await s.members.confirm()) == {two}
            assert set(s.members.names()) == {two}

    async def test_one_that_comes_again_is_one_again(self, staff: OpenStaff) -> None:
        async with staff() as s:
            name = GatewayName("one:1")
            for _ in range(2):
                await s.come(name)
                assert set(await s.members.confirm()) == {name}
                await s.leave(name)
                assert set(await s.members.confirm()) == set()


async def test_on_a_real_server_a_gateways_lease_goes_with_its_pod(
    api: Api, namespace: str
) -> None:
    pod = {
        "metadata": {"name": "gw-1"},
        "spec": {"containers": [{"name": "gateway", "image": "docker.io/local/none:1"}]},
    }
    path = f"/api/v1/namespaces/{namespace}/pods"
    uid = (await api.post(path, body=pod))["metadata"]["uid"]
    name = GatewayName(f"{namespace}/gw-1")
    who = Identity(name=name, process="p1", namespace=namespace, pod_uid=uid)
    member = Membership(api, who, clock=LoopClock(), luck=Random(2))
    members = members_of(api, namespace)
    async with running(member.run()):
        await member.taken()
        assert set(await members.confirm()) == {name}
    await api.delete(f"{path}/gw-1", query={"gracePeriodSeconds": "0"})

    async def listed() -> bool:
        return bool((await api.get(lease_path(namespace)))["items"])

    async with asyncio.timeout(30):
        while await listed():
            await asyncio.sleep(0.1)
    assert set(await members.confirm()) == set()


async def test_on_a_real_server_a_gateway_is_missed_while_its_pod_is_there(
    api: Api, namespace: str
) -> None:
    """Its Lease has expired; without an owner, so that only the pod tells.

    That is to say: while no run of its container has ended since it was renewed.
    """
    name = GatewayName(f"{namespace}/gw-1")
    path = f"/api/v1/namespaces/{namespace}/pods"
    pod = {
        "metadata": {"name": "gw-1"},
        "spec": {"containers": [{"name": "gateway", "image": "docker.io/local/none:1"}]},
    }
    await api.post(path, body=pod)
    who = Identity(name=name, process="p1", namespace=namespace, container="gateway")
    member = Membership(api, who, clock=LoopClock(), luck=Random(2))
    async with running(member.run()):
        await member.taken()

    async def end_at(stamp: str) -> None:
        last = {"terminated": {"exitCode": 1, "finishedAt": stamp}}
        status = {"name": "gateway", "image": "i", "imageID": "", "ready": False}
        told = {**status, "restartCount": 1, "state": {"waiting": {}}, "lastState": last}
        await api.patch(f"{path}/gw-1/status", body={"status": {"containerStatuses": [told]}})

    found = (await api.get(lease_path(namespace)))["items"][0]
    found["spec"]["leaseDurationSeconds"] = 1
    await api.put(lease_path(namespace, found["metadata"]["name"]), body=found)
    members = members_of(api, namespace)
    for _ in range(4):
        assert set(await members.confirm()) == {name}
        await asyncio.sleep(0.5)
    await end_at(f"{rfc3339(LoopClock().wall() + 60)[:19]}Z")
    assert set(await members.confirm()) == set()
    await end_at("2020-01-01T00:00:00Z")
    assert set(await members.confirm()) == {name}
    await api.delete(f"{path}/gw-1", query={"gracePeriodSeconds": "0"})
    assert set(await members.confirm()) == set()

"""Gateways and autoscalers as processes: a real control plane, a real Redis, pods that are played.

The pods' model server is one of this machine; all else is what a user's cluster would have.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from fleet.kubernetes.api import Api
from tests.kube.clusters import running
from tests.kube.kubelet import Kubelet
from tests.kube.objects import deployment
from tests.kube.plane import ControlPlane
from tests.kube.processes import ModelServer, Process, Site, process, until
from tests.kube.redis import RedisServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def site(
    control_plane: ControlPlane, namespace: str, redis_server: RedisServer, tmp_path: Path
) -> Site:
    folder = tmp_path / "logs"
    folder.mkdir()
    return Site(control_plane.kubeconfig, redis_server.url, namespace, folder)


@asynccontextmanager
async def pods(control_plane: ControlPlane) -> AsyncIterator[ModelServer]:
    """Kubelets are played, and what they start answers."""
    async with (
        await Api.open(str(control_plane.kubeconfig)) as api,
        running(Kubelet(api).run()),
        ModelServer().serving() as server,
    ):
        yield server


def apply(plane: ControlPlane, site: Site, name: str, server: ModelServer, **more: str) -> str:
    """A Deployment of a model that needs one GPU; returns its path."""
    annotations = {
        "model": name,
        "runtime": "plain",
        "allow": "GET /run",
        "port": str(server.port),
        "request-timeout": "30s",
        **{key.replace("_", "-"): value for key, value in more.items()},
    }
    path = f"/apis/apps/v1/namespaces/{site.namespace}/deployments"
    plane.admin.post(path, deployment(name, site.namespace, annotations=annotations, gpus=1))
    return f"{path}/{name}"


async def _ready(one: Process) -> bool:
    return (await one.ready())[0]


async def registered(name: str, *processes: Process) -> None:
    for one in processes:
        await until(lambda one=one: _knows(one, name))


async def _knows(one: Process, name: str) -> bool:
    models = (await one.api("api/models"))["models"]
    return any(model["model"] == name for model in models)


async def leads(one: Process) -> bool:
    return (await one.api("api/process"))["leader"] is True


def events(plane: ControlPlane, site: Site) -> list[tuple[str, str, str]]:
    """(who, reason, note) of ebbtide's."""
    path = f"/apis/events.k8s.io/v1/namespaces/{site.namespace}/events"
    return [
        (each["reportingController"].removeprefix("ebbtide.dev/"), each["reason"], each["note"])
        for each in plane.admin.get(path)["items"]
        if each.get("reportingController", "").startswith("ebbtide.dev/")
    ]


async def test_two_of_each_wake_a_model_tell_it_once_and_hand_over(
    control_plane: ControlPlane, site: Site, nodes: Callable[..., str]
) -> None:
    nodes(gpus=2)
    async with (
        pods(control_plane) as server,
        process(site, "gateway") as one,
        process(site, "gateway") as other,
        process(site, "autoscaler", tick="200ms") as first,
        process(site, "autoscaler", tick="200ms") as second,
    ):
        assert one.told["name"] != other.told["name"]
        for each in (one, other, first, second):
            await until(lambda each=each: _ready(each))
        path = apply(control_plane, site, "demo", server, keep_alive="3s", max_replicas="1")
        await registered("demo", one, other)
        answers = await asyncio.gather(
            *(each.call("demo") for each in (one, other) for _ in range(20))
        )
        assert {(answer.status_code, answer.text) for answer in answers} == {(200, "ok")}
        assert server.calls == 40
        assert control_plane.admin.get(path)["spec"]["replicas"] == 1

        leader = await until(lambda: _leader(first, second))
        follower = second if leader is first else first
        assert not await leads(follower)
        # Each says the same, whoever is asked: the decisions and the bill are the leader's.
        for each in (one, other, follower):
            await until(lambda each=each: _decided(each))
            state = await each.api("api/process")
            assert (state["gateways"], state["leader_cut_s"]) == (2, 0)
        assert "ebbtide_gpu_seconds_total{" in (await _metrics(leader))
        for each in (one, other, follower):
            assert "ebbtide_gpu_seconds_total{" not in (await _metrics(each))

        await until(lambda: any(event[1] == "ready" for event in events(control_plane, site)))
        await until(lambda: _journal(follower, "ready"))
        # The leader leaves, and the other one leads at once, without telling anything anew.
        assert await leader.stop() == 0
        await until(lambda: leads(follower), seconds=5)
        await until(lambda: control_plane.admin.get(path)["spec"]["replicas"] == 0)
        await until(lambda: any(event[1] == "asleep" for event in events(control_plane, site)))
        told = [event[1] for event in events(control_plane, site)]
        assert told.count("registered") == 1
        assert told.count("ready") == 1
        assert told.count("asleep") == 1
        ready = next(event for event in events(control_plane, site) if event[1] == "ready")
        assert ready[0] == "autoscaler"
        assert " after " in ready[2]
        for each in (one, other):
            journal = await until(lambda each=each: _journal(each, "asleep"))
            assert [line["event"] for line in journal].count("ready") == 1

        # Gateways that leave in order are members no more.
        assert await one.stop() == 0
        assert (await other.call("demo")).status_code == 200
        assert await other.stop() == 0
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{site.namespace}/leases"
        holders = [each["spec"].get("holderIdentity") for each in _members(control_plane, leases)]
        assert [holder for holder in holders if holder] == []


def _members(plane: ControlPlane, path: str) -> list[dict]:
    return plane.admin.get(path, labelSelector="ebbtide.dev/member=gateway")["items"]


async def _leader(*autoscalers: Process) -> Process | None:
    found = [one for one in autoscalers if await leads(one)]
    assert len(found) < 2
    return found[0] if found else None


async def _decided(one: Process) -> bool:
    return (await one.api("api/models/demo"))["decision"] is not None


async def _journal(one: Process, event: str) -> list[dict]:
    journal = (await one.api("api/journal"))["journal"]
    return journal if any(line["event"] == event for line in journal) else []


async def _metrics(one: Process) -> str:
    return (await one.client.get(f"http://{one.told['admin']}/metrics")).text


async def test_warm_requests_go_on_and_gateways_stay_ready_whatever_is_down(
    control_plane: ControlPlane,
    site: Site,
    nodes: Callable[..., str],
    redis_server: RedisServer,
) -> None:
    nodes(gpus=2)
    async with (
        pods(control_plane) as server,
        process(site, "gateway") as gateway,
        process(site, "autoscaler") as autoscaler,
    ):
        await until(lambda: _ready(gateway))
        apply(control_plane, site, "warm", server, pinned="true")
        cold = apply(control_plane, site, "cold", server)
        await registered("warm", gateway)
        await registered("cold", gateway)
        assert (await gateway.call("warm")).status_code == 200

        async def serves() -> None:
            answers = await asyncio.gather(*(gateway.call("warm") for _ in range(10)))
            assert {answer.status_code for answer in answers} == {200}
            assert await gateway.ready() == (True, "")

        await autoscaler.kill()
        await serves()
        redis_server.stop()
        await until(lambda: _cut(gateway, "bus_cut_s"))
        await serves()
        # Without Redis and leader a gateway still wakes.
        assert (await gateway.call("cold")).status_code == 200
        control_plane.admin.patch(f"{cold}/scale", {"spec": {"replicas": 0}})
        await until(lambda: _asleep(gateway, "cold"))
        with control_plane.without("kube-apiserver"):
            await until(lambda: _cut(gateway, "cluster_cut_s"))
            await serves()
            assert (await _metrics(gateway)).count("ebbtide_ready 1.0") == 1
            waits = asyncio.create_task(gateway.call("cold"))
            await until(lambda: _waits(gateway, "cold"))
            await serves()
            assert not waits.done()
        # Whoever waited is woken for as soon as the API server is back.
        assert (await waits).status_code == 200
        redis_server.start()
        for what in ("cluster_cut_s", "bus_cut_s"):
            await until(lambda what=what: _whole(gateway, what))


async def _cut(one: Process, what: str) -> bool:
    return (await one.api("api/process"))[what] > 0


async def _whole(one: Process, what: str) -> bool:
    return (await one.api("api/process"))[what] == 0


async def _asleep(one: Process, name: str) -> bool:
    return (await one.api(f"api/models/{name}"))["phase"] == "asleep"


async def _waits(one: Process, name: str) -> bool:
    return (await one.api(f"api/models/{name}"))["waiting"] == 1


async def test_without_an_api_server_it_comes_up_says_so_and_goes_on_trying(
    control_plane: ControlPlane, site: Site
) -> None:
    async with AsyncExitStack() as stack:
        with control_plane.without("kube-apiserver"):
            gateway = await stack.enter_async_context(process(site, "gateway"))
            autoscaler = await stack.enter_async_context(process(site, "autoscaler"))
            for one, lacks in (
                (gateway, "this gateway has no place among the members yet: "),
                (autoscaler, "the cluster has not been read yet: "),
            ):
                said = await until(lambda one=one, lacks=lacks: _said(one, lacks))
                assert "onnection refused" in said
                assert (await one.client.get(f"http://{one.told['admin']}/healthz")).is_success
            host, _, port = gateway.told["requests"].rpartition(":")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(host, int(port))
            # Told to stop it does, though it never began.
            assert await autoscaler.stop() == 0
        await until(lambda: _ready(gateway), seconds=30)
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()


async def _said(one: Process, lacks: str) -> str:
    ready, message = await one.ready()
    return message if not ready and message.startswith(lacks) and len(message) > len(lacks) else ""

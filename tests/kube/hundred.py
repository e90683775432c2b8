"""Many models woken at the same moment: what was written when, and who could not be placed.

Two gateways and an autoscaler are processes; kubelets are played; the rest of the cluster is real.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fleet.kubernetes.api import Api
from tests.kube.clusters import running
from tests.kube.kubelet import Kubelet
from tests.kube.objects import deployment
from tests.kube.plane import ControlPlane
from tests.kube.processes import ModelServer, Process, Site, process, until
from tests.kube.scales import first_wakes, most_unschedulable
from tests.kube.watching import Watching, watching

__all__ = ["Woken", "wake_at_once"]

_LOADING_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Woken:
    """What came of it."""

    written_s: dict[str, float]
    """By model: from the first request to its 0 -> 1."""
    unschedulable: int
    """The most pods at once that the scheduler could not place."""
    answered: int
    """Requests that got 200 within the time given."""


async def wake_at_once(
    plane: ControlPlane, site: Site, *, models: int, gpus: int, within_s: float
) -> Woken:
    """One request for each of `models` sleeping models, all at once; nodes have `gpus` GPUs."""
    names = [f"model-{number}" for number in range(models)]
    budget = {"gpu_budget": str(gpus), "min_residency": "0s"}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(_pods(plane))
        gateways = [
            await stack.enter_async_context(process(site, "gateway", **budget)) for _ in range(2)
        ]
        leader = await stack.enter_async_context(process(site, "autoscaler", **budget))
        await until(lambda: _all_ready([*gateways, leader]))
        _apply(plane, site, names, server)
        for gateway in gateways:
            await until(partial(_knows, gateway, models))
        changes, pods = _watches(stack, plane, site)
        began = time.monotonic()
        calls = [_call(gateways[n % 2], name, within_s) for n, name in enumerate(names)]
        answered = sum(await asyncio.gather(*calls))
        written = first_wakes(changes.events())
        return Woken(
            written_s={name: at - began for name, at in written.items()},
            unschedulable=most_unschedulable(pods.events()),
            answered=answered,
        )


def _watches(stack: AsyncExitStack, plane: ControlPlane, site: Site) -> tuple[Watching, Watching]:
    paths = (
        f"/apis/apps/v1/namespaces/{site.namespace}/deployments",
        f"/api/v1/namespaces/{site.namespace}/pods",
    )
    changes, pods = (stack.enter_context(watching(plane.admin, path)) for path in paths)
    return changes, pods


def _apply(plane: ControlPlane, site: Site, names: Sequence[str], server: ModelServer) -> None:
    for name in names:
        annotations = {
            "model": name,
            "runtime": "plain",
            "allow": "GET /run",
            "port": str(server.port),
            "max-replicas": "1",
        }
        document = deployment(name, site.namespace, annotations=annotations, gpus=1)
        plane.admin.post(f"/apis/apps/v1/namespaces/{site.namespace}/deployments", document)


@asynccontextmanager
async def _pods(plane: ControlPlane) -> AsyncIterator[ModelServer]:
    async with (
        await Api.open(str(plane.kubeconfig)) as api,
        running(Kubelet(api, start=_LOADING_S).run()),
        ModelServer().serving() as server,
    ):
        yield server


async def _all_ready(processes: Sequence[Process]) -> bool:
    return all([(await one.ready())[0] for one in processes])


async def _knows(gateway: Process, models: int) -> bool:
    return len((await gateway.api("api/models"))["models"]) == models


async def _call(gateway: Process, name: str, within_s: float) -> bool:
    """Whether it was answered before its client left."""
    host, _, port = gateway.told["requests"].partition(":")
    head = f"GET /models/{name}/run HTTP/1.1\r\nHost: ebbtide\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(head.encode())
                return (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            finally:
                writer.close()
    except TimeoutError:
        return False

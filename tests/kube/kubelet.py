"""Plays the kubelets of nodes that are only written down: pods that were placed run, and end.

The API server, the scheduler and the controllers are real, and so is all that they decide; this
only writes what a kubelet would write: that a pod runs and at which address, and that it has ended.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from fleet.clock import LoopClock
from fleet.errors import ConflictError, GoneError, UnavailableError
from fleet.kubernetes.api import Api
from fleet.kubernetes.objects import Object
from fleet.kubernetes.reflector import Reflector, Resource
from tests.kube.objects import ready_pod

__all__ = ["Kubelet"]


class Kubelet:
    """For all nodes: each pod is ready `start` seconds after it was placed, and gone `stop` seconds
    after it was deleted."""

    def __init__(self, api: Api, *, start: float = 0.05, stop: float = 0.05) -> None:
        self._api = api
        self.start, self.stop = start, stop
        self._numbers = itertools.count(1)
        self._begun: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        resource = Resource(path="/api/v1/pods", trim=lambda pod: pod)
        self._pods = Reflector(api, resource, clock=LoopClock(), luck=random.Random())

    async def run(self) -> None:
        """Endless."""
        async with asyncio.TaskGroup() as group:
            self._pods.subscribe(lambda _: self._look(group))
            await self._pods.run()

    def _look(self, group: asyncio.TaskGroup) -> None:
        for pod in self._pods.objects.values():
            if not pod["spec"].get("nodeName"):
                continue
            going = "deletionTimestamp" in pod["metadata"]
            step = (pod["metadata"]["uid"], "end" if going else "begin")
            if step not in self._begun:
                self._begun.add(step)
                group.create_task(self._end(pod) if going else self._begin(pod))

    async def _begin(self, pod: Object) -> None:
        await asyncio.sleep(self.start)
        number = next(self._numbers)
        address = f"127.77.{number // 256}.{number % 256}"
        container = pod["spec"]["containers"][0]["name"]
        await self._say(pod, ready_pod(address, started=_now(), container=container))

    async def _end(self, pod: Object) -> None:
        await asyncio.sleep(self.stop)
        now = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        await _persist(lambda: self._api.delete(_path(pod), body=now))

    async def _say(self, pod: Object, status: Object) -> None:
        path = f"{_path(pod)}/status"
        await _persist(lambda: self._api.patch(path, body={"status": status}))


async def _persist(work: Callable[[], Awaitable[Object]]) -> None:
    """As a kubelet does while the API server is away; a pod that is gone needs nothing more."""
    while True:
        try:
            await work()
        except (GoneError, ConflictError):
            return
        except UnavailableError:
            await asyncio.sleep(0.2)
        else:
            return


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

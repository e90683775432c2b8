"""Leases and pods as an API server keeps them, in memory, for the shells in `fleet.leases`.

A write names the version that it was decided on; each client may be slow, cut off, or stopped.
"""

import asyncio
import copy
import itertools
from typing import Any

from fleet.errors import ConflictError, GoneError, UnavailableError


class LeaseStore:
    """What the server keeps, by path."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.versions = itertools.count(1)
        self.missing: set[str] = set()
        """Folders in which nothing can be made: their namespace is not there."""

    def client(self) -> "LeaseClient":
        return LeaseClient(self)

    def put_pod(
        self, namespace: str, name: str, *, phase: str = "Running", ended: str = ""
    ) -> None:
        """`ended`: when the last run of its container `gateway` did; it waits in a back-off."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        self.objects[path] = {
            "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"},
            "status": {"phase": phase},
        }
        if ended:
            state = {"waiting": {"reason": "CrashLoopBackOff"}}
            last = {"terminated": {"finishedAt": ended}}
            status = {"name": "gateway", "state": state, "lastState": last}
            self.objects[path]["status"]["containerStatuses"] = [status]

    def delete(self, path: str) -> None:
        del self.objects[path]

    def delete_pod(self, namespace: str, name: str) -> None:
        self.delete(f"/api/v1/namespaces/{namespace}/pods/{name}")

    def write(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        kept = copy.deepcopy(body)
        kept["metadata"]["resourceVersion"] = str(next(self.versions))
        self.objects[path] = kept
        return copy.deepcopy(kept)


class LeaseClient:
    """One process's way to it: half of `delay` before the server acts, half after."""

    def __init__(self, store: LeaseStore) -> None:
        self.store = store
        self.delay = 0.0
        self.away = False
        self.error: Exception = UnavailableError("cut off")
        """What a call meets while `away`."""
        self.calls = 0

    async def get(self, path: str, *, query: object = None) -> dict[str, Any]:
        await self._on_the_way()
        if path.endswith("/leases"):
            inside = [o for p, o in sorted(self.store.objects.items()) if p.startswith(f"{path}/")]
            labelled = [o for o in inside if o["metadata"].get("labels")]
            answer: dict[str, Any] = {"items": copy.deepcopy(labelled if query else inside)}
        elif path in self.store.objects:
            answer = copy.deepcopy(self.store.objects[path])
        else:
            raise GoneError(path)
        await self._on_the_way()
        return answer

    async def post(self, path: str, *, body: dict[str, Any]) -> dict[str, Any]:
        await self._on_the_way()
        if path in self.store.missing:
            raise GoneError(f"{path}: 404: there is no such namespace")
        path = f"{path}/{body['metadata']['name']}"
        if path in self.store.objects:
            raise ConflictError(path)
        assert "resourceVersion" not in body["metadata"]
        answer = self.store.write(path, body)
        await self._on_the_way()
        return answer

    async def put(self, path: str, *, body: dict[str, Any]) -> dict[str, Any]:
        await self._on_the_way()
        if path not in self.store.objects:
            raise GoneError(path)
        known = self.store.objects[path]["metadata"]["resourceVersion"]
        if body["metadata"]["resourceVersion"] != known:
            raise ConflictError(path)
        answer = self.store.write(path, body)
        await self._on_the_way()
        return answer

    async def _on_the_way(self) -> None:
        self.calls += 1
        if self.delay:
            await asyncio.sleep(self.delay / 2)
        if self.away:
            raise self.error

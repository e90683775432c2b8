"""One of ebbtide's service accounts, and what its holder is forbidden while it does its work."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from fleet.cluster.kubernetes.cluster import KubernetesCluster
from fleet.cluster.kubernetes.notes import Teller
from fleet.errors import ConflictError, ForbiddenError
from fleet.kubernetes.api import Api
from fleet.kubernetes.objects import Object
from fleet.names import RevisionName
from tests.kube.admin import Admin
from tests.kube.clusters import TELLER, kubernetes_cluster
from tests.kube.objects import deployment

__all__ = ["NUMBERS", "Stand", "Witness", "again", "soon"]

NUMBERS = itertools.count()
"""For names that nobody has used."""
_PATIENCE_S = 15.0


class Witness:
    """An `Api` that remembers what it was forbidden."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.server = api.server
        self.forbidden: list[ForbiddenError] = []
        self.denied = asyncio.Event()

    async def get(self, path: str, **how: Any) -> Object:
        return await self._seen(self._api.get(path, **how))

    async def post(self, path: str, **how: Any) -> Object:
        return await self._seen(self._api.post(path, **how))

    async def put(self, path: str, **how: Any) -> Object:
        return await self._seen(self._api.put(path, **how))

    async def patch(self, path: str, **how: Any) -> Object:
        return await self._seen(self._api.patch(path, **how))

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, query: Mapping[str, str], *, silence: float
    ) -> AsyncIterator[AsyncIterator[Object]]:
        async with contextlib.AsyncExitStack() as stack:
            opening = stack.enter_async_context(self._api.watch(path, query, silence=silence))
            yield await self._seen(opening)

    async def _seen(self, asked: Awaitable[Any]) -> Any:
        try:
            return await asked
        except ForbiddenError as error:
            self.forbidden.append(error)
            self.denied.set()
            raise


class Stand:
    """One component's account, and the administrator who looks whether it did anything.

    `own` is ebbtide's namespace, `models` one with models.
    """

    def __init__(self, api: Witness, admin: Admin, *, own: str, models: str) -> None:
        self.api: Any = api
        self.admin = admin
        self.own = own
        self.models = models

    @property
    def deployments(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.models}/deployments"

    def make(self, *, replicas: int = 0) -> RevisionName:
        """A model's Deployment, new."""
        name = f"m{next(NUMBERS)}"
        document = deployment(name, self.models, annotations={"model": name}, replicas=replicas)
        self.admin.post(self.deployments, document)
        return RevisionName(f"{self.models}/{name}")

    def path(self, revision: RevisionName) -> str:
        return f"{self.deployments}/{revision.partition('/')[2]}"

    @contextlib.asynccontextmanager
    async def knowing(
        self, revision: RevisionName, *, teller: Teller = TELLER
    ) -> AsyncIterator[KubernetesCluster]:
        """The cluster as the component sees it, with this revision in it."""
        async with kubernetes_cluster(self.api, teller=teller) as cluster:
            await soon(lambda: revision in cluster.fleet().revisions)
            yield cluster


async def soon(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def again(write: Callable[[], Awaitable[str]]) -> None:
    """As the control loop does it: what conflicts is decided anew. (Controllers write too.)"""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            try:
                await write()
            except ConflictError:
                await asyncio.sleep(0.02)
            else:
                return

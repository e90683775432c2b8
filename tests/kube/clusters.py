"""A `KubernetesCluster` on the tests' control plane."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence

from fleet.clock import LoopClock, wall_ahead
from fleet.cluster.kubernetes.cluster import KubernetesCluster
from fleet.cluster.kubernetes.notes import Teller
from fleet.cluster.kubernetes.snapshot import Reader
from fleet.kubernetes.api import Api

__all__ = ["TELLER", "kubernetes_cluster", "running"]

TELLER = Teller(controller="ebbtide.dev/tests", instance="tests", run="t")


@contextlib.asynccontextmanager
async def running(*coroutines: object) -> AsyncIterator[None]:
    """Endless coroutines, for as long as the block lasts."""
    tasks = [asyncio.ensure_future(each) for each in coroutines]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


@contextlib.asynccontextmanager
async def kubernetes_cluster(
    api: Api, *, namespaces: Sequence[str] = (), teller: Teller = TELLER, wait: bool = True
) -> AsyncIterator[KubernetesCluster]:
    """One that watches; with `wait` it knows its first snapshot."""
    clock = LoopClock()
    cluster = KubernetesCluster(
        api,
        Reader(offset=lambda: wall_ahead(clock)),
        clock=clock,
        luck=random.Random(),
        namespaces=namespaces,
        teller=teller,
    )
    async with running(cluster.run()):
        if wait:
            async with asyncio.timeout(20):
                await cluster.known()
        yield cluster

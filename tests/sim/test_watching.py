"""All that is watched of a cluster, against scripted API servers, on virtual time."""

import asyncio
import contextlib
import logging
import random
from collections import defaultdict

import pytest

from fleet.clock import LoopClock
from fleet.cluster.kubernetes.objects import Kind
from fleet.cluster.kubernetes.watching import Watching
from fleet.errors import ForbiddenError, UnavailableError
from tests.fakes.kubernetes import FakeApi
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio
NO = ForbiddenError("403: no")


@pytest.fixture
def anyio_backend():
    return VIRTUAL


class Server:
    """One scripted server for each path."""

    server = "fake://"

    def __init__(self):
        self.paths = defaultdict(FakeApi)

    def get(self, path, **how):
        return self.paths[path].get(path, **how)

    def watch(self, path, query, **how):
        return self.paths[path].watch(path, query, **how)


@contextlib.asynccontextmanager
async def watched(server, *namespaces):
    watching = Watching(server, namespaces=namespaces, clock=LoopClock(), luck=random.Random(1))
    task = asyncio.create_task(watching.run())
    try:
        yield watching
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def pods(namespace):
    return f"/api/v1/namespaces/{namespace}/pods"


def refuse(server, namespace, error):
    for path in ("/apis/apps/v1/{}/deployments", "/apis/apps/v1/{}/replicasets", "/api/v1/{}/pods"):
        server.paths[path.format(f"namespaces/{namespace}")].error = error


async def test_a_namespace_that_may_not_be_read_holds_up_no_other(caplog):
    caplog.set_level(logging.INFO, logger="ebbtide")
    server = Server()
    refuse(server, "theirs", NO)
    async with watched(server, "ours", "theirs") as watching:
        async with asyncio.timeout(60):
            await watching.known()
        assert watching.cut_since is None
        assert watching.lacking()[Kind.POD] is NO
        said = [line.message for line in caplog.records if "not_permitted" in line.message]
        assert any(pods("theirs") in line for line in said)
        refuse(server, "theirs", None)
        await asyncio.sleep(20)
        assert Kind.POD not in watching.lacking()
        server.paths[pods("theirs")].cut(NO)
        await asyncio.sleep(1)
        assert watching.cut_since is not None, "it was read: what is known is of then"


@pytest.mark.parametrize("error", [NO, UnavailableError("503")])
async def test_without_any_namespace_nothing_is_known(error):
    server = Server()
    refuse(server, "ours", error)
    refuse(server, "theirs", error)
    async with watched(server, "ours", "theirs") as watching:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await watching.known()
        assert watching.cut_since is not None


async def test_a_namespace_that_cannot_be_reached_or_is_refused_in_passing_is_waited_for():
    server = Server()
    refuse(server, "theirs", NO)
    async with watched(server, "ours", "theirs") as watching:
        known = asyncio.create_task(watching.known())
        await asyncio.sleep(2)
        refuse(server, "theirs", UnavailableError("503"))
        await asyncio.sleep(60)
        assert not known.done()
        refuse(server, "theirs", None)
        async with asyncio.timeout(20):
            await known


async def test_what_is_not_needed_and_fails_keeps_nobody_waiting(caplog):
    caplog.set_level(logging.INFO, logger="ebbtide")
    server = Server()
    nodes = server.paths["/api/v1/nodes"]
    nodes.error = UnavailableError("503")
    async with watched(server) as watching:
        async with asyncio.timeout(20):
            await watching.known()
        assert watching.of(Kind.NODE) is None
        assert Kind.NODE in watching.lacking()
        assert any("no_answer what=nodes" in line.message for line in caplog.records)
        told = []
        watching.subscribe(told.append)
        nodes.error = None
        nodes.write("n")
        await asyncio.sleep(5)
        assert told == [Kind.NODE]
        assert watching.of(Kind.NODE)


async def test_what_is_not_needed_is_waited_for_a_moment():
    server = Server()
    nodes = server.paths["/api/v1/nodes"]
    nodes.error = UnavailableError("503")
    async with watched(server) as watching:
        known = asyncio.create_task(watching.known())
        await asyncio.sleep(1)
        nodes.error = None
        nodes.write("n")
        await known
        assert watching.of(Kind.NODE)

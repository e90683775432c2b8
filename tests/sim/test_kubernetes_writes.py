"""What is written to a cluster, word for word, where the watch has told of nothing yet."""

import asyncio
import contextlib
import random

import pytest

from fleet.clock import LoopClock
from fleet.cluster.kubernetes.cluster import KubernetesCluster
from fleet.cluster.kubernetes.notes import Teller
from fleet.cluster.kubernetes.objects import Kind
from fleet.cluster.kubernetes.snapshot import Reader
from fleet.errors import ConflictError, GoneError, UnavailableError
from fleet.kubernetes.api import APPLY, MERGE
from fleet.kubernetes.pauses import LONGEST
from fleet.model import Drain
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from tests.fakes.local import manifest
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio
A = RevisionName("default/a")
PATH = "/apis/apps/v1/namespaces/default/deployments/a"
SIGNED = {"fieldManager": "ebbtide"}


@pytest.fixture
def anyio_backend():
    return VIRTUAL


class DeafApi:
    """One Deployment; its watches never tell anything."""

    server = "fake://"

    def __init__(self):
        self.deployment = manifest("a")
        self.deployment["metadata"] |= {"namespace": "default", "uid": "u", "resourceVersion": "7"}
        self.writes = []
        self.error = None
        self.cut = asyncio.Event()
        """Watches end, and none is accepted."""

    async def get(self, path, *, query=None, timeout=0):
        items = [self.deployment] if path.endswith("/deployments") else []
        return {"metadata": {"resourceVersion": "7"}, "items": items}

    @contextlib.asynccontextmanager
    async def watch(self, path, query, *, silence=0):
        if self.cut.is_set():
            raise UnavailableError("down")
        yield self._nothing()

    async def _nothing(self):
        await self.cut.wait()
        raise UnavailableError("cut")
        yield

    async def patch(self, path, *, body, query=None, content_type=MERGE):
        assert (content_type == APPLY) is path.endswith("/scale")
        self.writes.append((path, body, query))
        if self.error is not None:
            raise self.error
        version = str(int(body["metadata"]["resourceVersion"]) + 1)
        if path.endswith("/scale"):
            return {"metadata": {"resourceVersion": version}, "spec": body["spec"]}
        meta = {**self.deployment["metadata"], "resourceVersion": version}
        meta["annotations"] = {**meta["annotations"], **body["metadata"]["annotations"]}
        return {**self.deployment, "metadata": meta}


@contextlib.asynccontextmanager
async def deaf():
    api, clock = DeafApi(), LoopClock()
    cluster = KubernetesCluster(
        api,
        Reader(offset=lambda: 0.0, owner="own"),
        clock=clock,
        luck=random.Random(1),
        teller=Teller(controller="ebbtide.dev/x", instance="me", run="r"),
    )
    task = asyncio.create_task(cluster.run())
    await cluster.known()
    yield api, cluster
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_scale_is_in_the_snapshot_that_is_told_before_it_returns():
    async with deaf() as (api, cluster):
        told = []
        cluster.subscribe(told.append)
        version = await cluster.scale(A, 2, expect="7", reason=Reason.DEMAND)
        body = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"namespace": "default", "name": "a", "resourceVersion": "7"},
            "spec": {"replicas": 2},
        }
        assert api.writes == [(f"{PATH}/scale", body, {**SIGNED, "force": "true"})]
        (fleet,) = told
        assert fleet is cluster.fleet()
        assert (fleet.revisions[A].replicas, fleet.revisions[A].version) == (2, version) == (2, "8")


async def test_who_undoes_a_scale_before_the_watch_tells_of_it_is_seen_to_have_done_so():
    async with deaf() as (api, cluster):
        by = {"manager": "argocd", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
        for version in (7, 9):
            assert not cluster.fleet().revisions[A].second_writer
            await cluster.scale(A, 1, expect=str(version), reason=Reason.DEMAND)
            told = {**api.deployment["metadata"], "resourceVersion": str(version + 2)}
            undone = {**api.deployment, "metadata": {**told, "managedFields": [by]}}
            cluster.watching.fold(Kind.DEPLOYMENT, undone)
            await asyncio.sleep(1)
        assert cluster.fleet().revisions[A].second_writer.startswith("argocd has changed")


async def test_a_mark_is_in_the_snapshot_that_is_told_before_it_returns():
    async with deaf() as (api, cluster):
        drain = Drain(number=3, term=2, replicas=frozenset({ReplicaName("default/a-1")}))
        version = await cluster.mark(A, drain, expect="7")
        text = '{"number": 3, "owner": "own", "replicas": ["a-1"], "term": 2}'
        annotations = {"ebbtide.dev/draining": text}
        body = {"metadata": {"resourceVersion": "7", "annotations": annotations}}
        assert api.writes == [(PATH, body, SIGNED)]
        found = cluster.fleet().revisions[A]
        assert (found.drain, found.version) == (drain, version) == (drain, "8")
        await cluster.mark(A, None, expect="8")
        assert api.writes[1][1]["metadata"]["annotations"] == {"ebbtide.dev/draining": ""}
        assert cluster.fleet().revisions[A].drain is None


async def test_what_is_known_to_be_old_or_gone_is_not_even_asked():
    async with deaf() as (api, cluster):
        with pytest.raises(ConflictError, match="decided on version 6, but it is 7"):
            await cluster.scale(A, 1, expect="6", reason=Reason.DEMAND)
        with pytest.raises(GoneError):
            await cluster.mark(RevisionName("default/b"), None, expect="7")
        assert api.writes == []


@pytest.mark.parametrize("error", [ConflictError("409"), GoneError("404"), UnavailableError("?")])
async def test_a_write_that_fails_changes_no_snapshot(error):
    async with deaf() as (api, cluster):
        before, api.error = cluster.fleet(), error
        with pytest.raises(type(error)):
            await cluster.scale(A, 1, expect="7", reason=Reason.DEMAND)
        with pytest.raises(type(error)):
            await cluster.mark(A, None, expect="7")
        await asyncio.sleep(1)
        assert cluster.fleet() is before


async def test_when_the_api_server_is_back_there_is_a_snapshot_though_nothing_has_changed():
    """Whoever could not write tries again by it, and not only when its pause is over."""
    async with deaf() as (api, cluster):
        before, told = cluster.fleet(), []
        cluster.subscribe(told.append)
        api.cut.set()
        await asyncio.sleep(60)
        assert told == []
        assert cluster.cut_since is not None
        api.cut.clear()
        await asyncio.sleep(LONGEST + 0.1)
        assert told
        assert told[-1].number > before.number
        assert told[-1].revisions == before.revisions
        many = len(told)
        await asyncio.sleep(600)
        assert len(told) == many

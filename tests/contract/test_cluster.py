"""What every `Cluster` holds to: the real one on this machine, a real Kubernetes, one that another
process holds, and the fake of the other tests.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

import pytest

from fleet.channel.messages import MarkAsked, Noted, ScaleAsked, Written
from fleet.channel.news import FleetNews
from fleet.cluster import Cluster
from fleet.cluster.far import FarCluster, share_cluster
from fleet.codec import Codec
from fleet.errors import ConflictError, GoneError
from fleet.kubernetes.api import Api
from fleet.model import Drain, Fleet, Phase, Replica
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from tests.contract.channels import channels
from tests.fakes import local
from tests.fakes.cluster import FakeCluster, revision
from tests.fakes.local import named, open_ones, until
from tests.kube.admin import Admin
from tests.kube.clusters import kubernetes_cluster, running
from tests.kube.fixtures import empty
from tests.kube.kubelet import Kubelet
from tests.kube.plane import ControlPlane

pytestmark = pytest.mark.anyio

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
CODEC = Codec(FleetNews, ScaleAsked, MarkAsked, Written, Noted)


class Rig(Protocol):
    """A cluster with Deployments `a`, `b`, `c` of no replicas and one GPU each."""

    cluster: Cluster
    prompt: bool
    """What a write leads to is done when it returns; else controllers do it soon."""

    def remove(self, name: str) -> None:
        """Delete a Deployment; takes effect soon."""
        ...


class FakeRig:
    prompt = True

    def __init__(self, gpus: int) -> None:
        self.cluster = FakeCluster(gpus=gpus, start=0.05, stop=0.05)
        for name in "abc":
            self.cluster.put(revision(name))

    def remove(self, name: str) -> None:
        self.cluster.remove(named(name))


class FarRig(FakeRig):
    """A fake one, at the other end of a channel."""

    def __init__(self, gpus: int) -> None:
        super().__init__(gpus)
        self.real = self.cluster

    def use(self, cluster: FarCluster) -> None:
        self.cluster = cluster  # type: ignore[assignment]

    def remove(self, name: str) -> None:
        self.real.remove(named(name))


class LocalRig:
    prompt = True

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self._folder = cluster, folder

    def remove(self, name: str) -> None:
        (self._folder / f"{name}.json").unlink()


class KubernetesRig:
    prompt = False

    def __init__(self, cluster: Cluster, admin: Admin) -> None:
        self.cluster, self._admin = cluster, admin

    def remove(self, name: str) -> None:
        self._admin.delete(f"{DEPLOYMENTS}/{name}")


Open = Callable[..., contextlib.AbstractAsyncContextManager[Rig]]
OURS = ("fake", "far", "local")
"""Those in which ebbtide itself chooses which replica goes."""


@pytest.fixture(params=[*OURS, "kubernetes"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens a cluster with so many GPUs."""

    @contextlib.asynccontextmanager
    async def fake(gpus: int = 2) -> AsyncIterator[Rig]:
        yield FakeRig(gpus)

    @contextlib.asynccontextmanager
    async def real(gpus: int = 2) -> AsyncIterator[Rig]:
        folder = tmp_path / "manifests"
        local.write(folder, *(local.manifest(name) for name in "abc"))
        async with local.local_cluster(folder, gpus=gpus) as cluster:
            yield LocalRig(cluster, folder)

    @contextlib.asynccontextmanager
    async def far(gpus: int = 2) -> AsyncIterator[Rig]:
        made = FarRig(gpus)
        async with channels(CODEC) as (near, other), asyncio.TaskGroup() as group:
            end = share_cluster(made.real, other, group)
            cluster = FarCluster(near)
            await cluster.known()
            made.use(cluster)
            yield made
            end()

    @contextlib.asynccontextmanager
    async def kubernetes(gpus: int = 2) -> AsyncIterator[Rig]:
        plane: ControlPlane = request.getfixturevalue("control_plane")
        if gpus:
            request.getfixturevalue("nodes")(gpus=gpus)
        for name in "abc":
            plane.admin.post(DEPLOYMENTS, local.manifest(name))
        try:
            async with (
                await Api.open(str(plane.kubeconfig)) as api,
                running(Kubelet(api).run()),
                kubernetes_cluster(api) as cluster,
            ):
                yield KubernetesRig(cluster, plane.admin)
        finally:
            empty(plane.admin, "default")

    return {"fake": fake, "far": far, "local": real, "kubernetes": kubernetes}[request.param]


async def scale(cluster: Cluster, name: str, replicas: int) -> str:
    return await decided(
        cluster,
        name,
        lambda version: cluster.scale(named(name), replicas, expect=version, reason=Reason.DEMAND),
    )


async def mark(cluster: Cluster, name: str, *drained: ReplicaName) -> str:
    drain = Drain(number=1, replicas=frozenset(drained)) if drained else None
    return await decided(
        cluster, name, lambda version: cluster.mark(named(name), drain, expect=version)
    )


async def decided(cluster: Cluster, name: str, write: Callable[[str], Awaitable[str]]) -> str:
    """A write, decided anew for as long as others (controllers) have written since."""
    while True:
        version = cluster.fleet().revisions[named(name)].version
        try:
            return await write(version)
        except ConflictError:
            await until(cluster, lambda f, v=version: f.revisions[named(name)].version != v)


async def then(r: Rig, holds: Callable[[Fleet], object]) -> Fleet:
    """What a write has led to: at once, or soon."""
    fleet = r.cluster.fleet()
    if r.prompt:
        assert holds(fleet)
        return fleet
    return await until(r.cluster, holds)


def only(fleet: Fleet, name: str) -> Replica | None:
    """The one replica of a revision; None when there are more or less."""
    replicas = fleet.of(named(name))
    return replicas[0] if len(replicas) == 1 else None


def stands(fleet: Fleet, name: str, phase: Phase, reason: Reason | None = None) -> bool:
    """Whether the one replica of a revision does, for that reason where one is given."""
    found = only(fleet, name)
    return found is not None and found.phase is phase and reason in (None, found.reason)


def living(fleet: Fleet, name: str) -> list[Replica]:
    return [r for r in fleet.of(named(name)) if r.phase is not Phase.DRAINING]


class TestCluster:
    async def test_a_write_is_told_to_listeners_before_it_returns(self, rig: Open) -> None:
        async with rig() as r:
            told: list[Fleet] = []
            end = r.cluster.subscribe(told.append)
            version = await scale(r.cluster, "a", 1)
            assert told
            assert told[-1] is r.cluster.fleet()
            assert told[-1].revisions[named("a")].replicas == 1
            assert told[-1].revisions[named("a")].version == version
            await then(r, lambda fleet: stands(fleet, "a", Phase.LOADING))
            assert told[-1] is r.cluster.fleet()
            end()
            count = len(told)
            await scale(r.cluster, "a", 0)
            assert len(told) == count

    async def test_snapshots_are_numbered_upwards_and_cannot_be_changed(self, rig: Open) -> None:
        async with rig() as r:
            before = r.cluster.fleet()
            assert before is r.cluster.fleet()
            await scale(r.cluster, "a", 1)
            assert r.cluster.fleet().number > before.number
            assert before.of(named("a")) == ()
            with pytest.raises(TypeError):
                before.revisions[named("x")] = before.revisions[named("a")]  # type: ignore[index]
            with pytest.raises(TypeError):
                before.replicas[named("x")] = ()  # type: ignore[index]

    async def test_a_write_decided_on_an_old_version_changes_nothing(self, rig: Open) -> None:
        async with rig() as r:
            old = r.cluster.fleet().revisions[named("a")].version
            new = await scale(r.cluster, "a", 1)
            assert new != old
            await until(r.cluster, lambda fleet: open_ones(fleet, "a"))
            for write in (
                r.cluster.scale(named("a"), 0, expect=old, reason=Reason.IDLE),
                r.cluster.mark(named("a"), None, expect=old),
            ):
                with pytest.raises(ConflictError):
                    await write
            assert r.cluster.fleet().revisions[named("a")].replicas == 1
            assert r.cluster.fleet().revisions[named("a")].drain is None

    async def test_a_write_to_what_is_not_there_says_gone(self, rig: Open) -> None:
        async with rig() as r:
            nobody = RevisionName("default/nobody")
            with pytest.raises(GoneError):
                await r.cluster.scale(nobody, 1, expect="1", reason=Reason.DEMAND)
            with pytest.raises(GoneError):
                await r.cluster.mark(nobody, None, expect="1")

    async def test_a_note_never_raises(self, rig: Open) -> None:
        async with rig() as r:
            await r.cluster.note(named("a"), "woken", "said\nto nobody")
            await r.cluster.note(RevisionName("default/nobody"), "woken", "")

    async def test_a_woken_replica_loads_then_opens_and_is_never_called_ready(
        self, rig: Open
    ) -> None:
        async with rig() as r:
            told: list[Fleet] = []
            r.cluster.subscribe(told.append)
            await scale(r.cluster, "a", 1)
            fleet = await until(r.cluster, lambda fleet: open_ones(fleet, "a"))
            (replica,) = fleet.of(named("a"))
            assert replica.phase is Phase.LOADING
            assert replica.gpus == 1
            assert replica.started is not None
            phases = {x.phase for fleet in told for x in fleet.of(named("a"))}
            assert phases <= {Phase.PENDING, Phase.LOADING}

    async def test_the_drain_mark_stays_until_it_is_cleared(self, rig: Open) -> None:
        async with rig() as r:
            nobody = ReplicaName("default/x")
            version = await mark(r.cluster, "a", nobody)
            found = r.cluster.fleet().revisions[named("a")]
            assert found.version == version
            assert found.drain == Drain(number=1, replicas=frozenset({nobody}))
            await scale(r.cluster, "a", 1)
            await until(r.cluster, lambda fleet: open_ones(fleet, "a"))
            found = r.cluster.fleet().revisions[named("a")]
            assert found.drain is not None
            await mark(r.cluster, "a")
            assert r.cluster.fleet().revisions[named("a")].drain is None

    async def test_the_eldest_pending_gets_the_gpu_once_it_is_free(self, rig: Open) -> None:
        async with rig(gpus=1) as r:
            await scale(r.cluster, "a", 1)
            await until(r.cluster, lambda fleet: open_ones(fleet, "a"))
            for name in "cb":
                await scale(r.cluster, name, 1)
                fleet = await then(
                    r, lambda f, n=name: stands(f, n, Phase.PENDING, Reason.NO_FREE_GPU)
                )
                replica = only(fleet, name)
                assert replica is not None
                assert (replica.gpus, replica.started, replica.address) == (0, None, None)
            await scale(r.cluster, "a", 0)
            fleet = await then(r, lambda f: stands(f, "a", Phase.DRAINING))
            stopping = only(fleet, "a")
            assert stopping is not None
            assert stopping.gpus == 1
            assert fleet.gpus[0].free == 0
            await until(r.cluster, lambda f: not f.of(named("a")))
            await then(r, lambda f: stands(f, "c", Phase.LOADING))
            assert stands(r.cluster.fleet(), "b", Phase.PENDING)

    async def test_free_gpus_and_held_ones_always_add_up(self, rig: Open) -> None:
        async with rig(gpus=2) as r:
            told: list[Fleet] = []
            r.cluster.subscribe(told.append)
            await scale(r.cluster, "a", 2)
            # Of those that come together, any may be placed before the others.
            await until(r.cluster, lambda fleet: len(open_ones(fleet, "a")) == 2)
            await scale(r.cluster, "b", 1)
            await scale(r.cluster, "a", 0)
            await until(r.cluster, lambda f: open_ones(f, "b") and not f.of(named("a")))
            for fleet in told:
                held = sum(x.gpus for replicas in fleet.replicas.values() for x in replicas)
                (pool,) = fleet.gpus
                assert (pool.total, pool.free) == (2, 2 - held)

    @pytest.mark.parametrize("rig", OURS, indirect=True)
    async def test_the_youngest_goes_first(self, rig: Open) -> None:
        async with rig() as r:
            await scale(r.cluster, "a", 1)
            await until(r.cluster, lambda fleet: open_ones(fleet, "a"))
            await scale(r.cluster, "a", 2)
            fleet = await until(r.cluster, lambda fleet: len(open_ones(fleet, "a")) == 2)
            elder, _ = fleet.of(named("a"))
            await scale(r.cluster, "a", 1)
            assert [x.name for x in living(r.cluster.fleet(), "a")] == [elder.name]

    async def test_a_replica_that_is_not_open_goes_before_one_that_is(self, rig: Open) -> None:
        async with rig(gpus=1) as r:
            await scale(r.cluster, "a", 2)
            fleet = await until(r.cluster, lambda fleet: open_ones(fleet, "a"))
            first = open_ones(fleet, "a")[0].name
            await then(r, lambda f: len(f.of(named("a"))) == 2)
            await scale(r.cluster, "a", 1)
            await then(r, lambda f: [x.name for x in f.of(named("a"))] == [first])

    async def test_one_named_in_the_drain_goes_before_a_younger_one(self, rig: Open) -> None:
        async with rig() as r:
            await scale(r.cluster, "a", 2)
            fleet = await until(r.cluster, lambda fleet: len(open_ones(fleet, "a")) == 2)
            elder, younger = fleet.of(named("a"))
            await mark(r.cluster, "a", elder.name)
            await then(r, lambda fleet: fleet.revisions[named("a")].settled)
            await scale(r.cluster, "a", 1)
            await then(r, lambda f: [x.name for x in living(f, "a")] == [younger.name])

    async def test_names_and_addresses_are_never_used_again(self, rig: Open) -> None:
        async with rig(gpus=1) as r:
            names, addresses = set(), set()
            for _ in range(3):
                await scale(r.cluster, "a", 1)
                fleet = await until(r.cluster, lambda fleet: open_ones(fleet, "a"))
                names.add(fleet.of(named("a"))[0].name)
                addresses.add(fleet.of(named("a"))[0].address)
                await scale(r.cluster, "a", 0)
                await until(r.cluster, lambda fleet: not fleet.of(named("a")))
            assert len(names) == len(addresses) == 3

    async def test_a_removed_deployment_leaves_its_last_replicas_until_they_end(
        self, rig: Open
    ) -> None:
        async with rig() as r:
            await scale(r.cluster, "a", 1)
            await until(r.cluster, lambda fleet: open_ones(fleet, "a"))
            version = r.cluster.fleet().revisions[named("a")].version
            r.remove("a")
            await until(r.cluster, lambda fleet: named("a") not in fleet.revisions)
            fleet = await then(r, lambda fleet: stands(fleet, "a", Phase.DRAINING))
            last = only(fleet, "a")
            assert last is not None
            assert last.gpus == 1
            with pytest.raises(GoneError):
                await r.cluster.scale(named("a"), 1, expect=version, reason=Reason.DEMAND)
            fleet = await until(r.cluster, lambda fleet: not fleet.of(named("a")))
            assert fleet.gpus[0].free == 2

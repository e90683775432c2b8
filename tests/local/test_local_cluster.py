"""Deployments on this machine: failures, GPUs, manifests edited while they run, retiring."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from fleet.cluster.local.cluster import LocalCluster
from fleet.cluster.local.gpus import Gpus, count_gpus
from fleet.errors import GoneError, UnavailableError
from fleet.model import Fleet, Phase, Replica
from fleet.names import ReplicaName
from fleet.reasons import Reason
from tests.fakes import local
from tests.fakes.local import local_cluster, manifest, named, open_ones, until, wanted

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "manifests"


def in_phase(fleet: Fleet, name: str, phase: Phase) -> list[Replica]:
    return [replica for replica in fleet.of(named(name)) if replica.phase is phase]


# Failures.


async def test_a_crash_gives_the_gpu_back_and_another_replica_tries_after_the_back_off(
    folder: Path,
) -> None:
    local.write(folder, manifest("a", "crash", replicas=1), manifest("b"))
    async with local_cluster(folder, gpus=1) as cluster:
        fleet = await until(cluster, lambda f: in_phase(f, "a", Phase.FAILED))
        (first,) = fleet.of(named("a"))
        assert first.reason is Reason.EXITED
        assert first.message == "exited with code 3: cannot load the weights"
        assert first.log == ("cannot load the weights",)
        assert (first.gpus, first.gpu_ids, first.address) == (0, (), None)
        assert fleet.gpus[0].free == 1
        await wanted(cluster, "b", 1)
        (other,) = cluster.fleet().of(named("b"))
        assert other.phase is Phase.LOADING
        fleet = await until(
            cluster, lambda f: [r for r in f.of(named("a")) if r.name != first.name]
        )
        (second,) = fleet.of(named("a"))
        assert second.since - first.since >= 0.9
        assert (second.phase, second.reason) == (Phase.PENDING, Reason.NO_FREE_GPU)
        await wanted(cluster, "b", 0)
        fleet = await until(cluster, lambda f: in_phase(f, "a", Phase.FAILED))
        (failed,) = fleet.of(named("a"))
        assert failed.name == second.name
        assert failed.reason is Reason.CRASH_LOOP_BACK_OFF
        assert failed.message == first.message


async def test_a_failed_one_that_nobody_wants_is_gone_at_once_and_a_new_wake_tries_at_once(
    folder: Path,
) -> None:
    local.write(folder, manifest("a", "crash", replicas=1))
    async with local_cluster(folder) as cluster:
        await until(cluster, lambda f: in_phase(f, "a", Phase.FAILED))
        await wanted(cluster, "a", 0)
        assert not cluster.fleet().of(named("a"))
        await wanted(cluster, "a", 1)
        assert [r.phase for r in cluster.fleet().of(named("a"))] == [Phase.LOADING]


async def test_a_mended_manifest_is_tried_without_waiting_for_the_back_off(folder: Path) -> None:
    local.write(folder, manifest("a", "crash", replicas=1))
    async with local_cluster(folder) as cluster:
        await until(cluster, lambda f: in_phase(f, "a", Phase.FAILED))
        await until(cluster, lambda f: in_phase(f, "a", Phase.LOADING))
        await until(cluster, lambda f: in_phase(f, "a", Phase.FAILED))
        local.write(folder, manifest("a"))
        await until(cluster, lambda f: open_ones(f, "a"))


async def test_triton_that_is_nowhere_fails_with_what_to_install(folder: Path) -> None:
    broken = manifest("a", replicas=1, command=["tritonserver", "--model-repository=/m"])
    local.write(folder, broken)
    async with local_cluster(folder) as cluster:
        fleet = await until(cluster, lambda f: in_phase(f, "a", Phase.FAILED))
        (failed,) = fleet.of(named("a"))
        assert failed.reason is Reason.CANNOT_EXECUTE
        assert "nvidia-pytriton" in failed.message
        assert "EBBTIDE_TRITONSERVER" in failed.message


# GPUs.


async def test_a_machine_without_gpus_says_what_to_do(folder: Path) -> None:
    local.write(folder, manifest("a", replicas=1), manifest("b", replicas=1, gpus=0))
    none = Gpus(ids=(), real=False, counted=False)
    async with local_cluster(folder, gpus=none) as cluster:
        fleet = await until(cluster, lambda f: open_ones(f, "b"))
        (pending,) = fleet.of(named("a"))
        assert (pending.phase, pending.reason) == (Phase.PENDING, Reason.NO_FREE_GPU)
        said = "this machine has no GPU; start with --gpus N to count imaginary ones"
        assert pending.message == said
        (problem,) = fleet.problems
        assert (problem.deployment, problem.warning, problem.allowed) == ("default/a", True, said)


async def test_a_model_that_asks_for_more_gpus_than_there_are_says_so(folder: Path) -> None:
    local.write(folder, manifest("a", replicas=1, gpus=3))
    async with local_cluster(folder, gpus=2) as cluster:
        (pending,) = cluster.fleet().of(named("a"))
        assert pending.phase is Phase.PENDING
        assert pending.message == "it asks for 3 GPUs per replica, and this machine has 2"
        assert [problem.value for problem in cluster.fleet().problems] == ["3"]


async def test_replicas_see_their_own_real_gpus_and_no_others(folder: Path) -> None:
    tell = ["sh", "-c", 'echo "cuda=${CUDA_VISIBLE_DEVICES-unset}"; exit 3']
    local.write(
        folder,
        manifest("a", replicas=1, gpus=2, command=tell),
        manifest("b", replicas=1, gpus=0, command=tell),
        manifest("c", replicas=1, gpus=1, command=tell),
    )
    async with local_cluster(folder, gpus=Gpus(ids=("x", "y", "z"), real=True)) as cluster:
        seen: dict[str, str] = {}
        for name in "abc":
            fleet = await until(cluster, lambda f, n=name: in_phase(f, n, Phase.FAILED))
            seen[name] = fleet.of(named(name))[0].log[0]
        assert seen == {"a": "cuda=x,y", "b": "cuda=", "c": "cuda=z"}


async def test_imaginary_gpus_are_told_to_nobody(folder: Path) -> None:
    tell = ["sh", "-c", 'echo "cuda=${CUDA_VISIBLE_DEVICES-unset}"; exit 3']
    local.write(folder, manifest("a", replicas=1, command=tell))
    async with local_cluster(folder, gpus=1) as cluster:
        fleet = await until(cluster, lambda f: in_phase(f, "a", Phase.FAILED))
        expected = os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
        assert fleet.of(named("a"))[0].log == (f"cuda={expected}",)


def put_smi(folder: Path, script: str) -> dict[str, str]:
    """An environment in which nvidia-smi is `script`."""
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


TWO = "printf '0, GPU-aa, Some Card\\n1, GPU-bb, Some Card\\n'"


@pytest.mark.parametrize(
    ("script", "given", "ids", "real", "counted"),
    [
        (TWO, None, ("GPU-aa", "GPU-bb"), True, True),
        (TWO, 1, ("GPU-aa",), True, True),
        (TWO, 3, ("imaginary-0", "imaginary-1", "imaginary-2"), False, True),
        (TWO, 0, (), True, True),
        ("echo no devices were found; exit 9", None, (), False, False),
        ("echo no devices were found; exit 9", 2, ("imaginary-0", "imaginary-1"), False, True),
        ("exit 9", 0, (), False, True),
    ],
)
async def test_gpus_are_counted(
    tmp_path: Path,
    script: str,
    given: int | None,
    ids: tuple[str, ...],
    real: bool,
    counted: bool,
) -> None:
    environ = put_smi(tmp_path, script)
    assert await count_gpus(given, environ) == Gpus(ids=ids, real=real, counted=counted)


async def test_no_nvidia_smi_is_no_gpu_and_cuda_visible_devices_is_heeded(tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path)}
    assert await count_gpus(None, nothing) == Gpus(ids=(), real=False, counted=False)
    environ = put_smi(tmp_path, TWO) | {"CUDA_VISIBLE_DEVICES": "1"}
    assert (await count_gpus(None, environ)).ids == ("GPU-bb",)


# Manifests edited while they run.


async def test_a_changed_policy_is_taken_over_with_the_replicas_as_they_are(folder: Path) -> None:
    local.write(folder, manifest("a"))
    async with local_cluster(folder) as cluster:
        await wanted(cluster, "a", 2)
        before = await until(cluster, lambda f: len(open_ones(f, "a")) == 2)
        local.write(folder, manifest("a", replicas=0, annotations={"keep-alive": "7s"}))
        after = await until(cluster, lambda f: f.revisions[named("a")].policy.keep_alive == 7.0)
        assert after.of(named("a")) == before.of(named("a"))
        assert after.revisions[named("a")].replicas == 2
        assert after.revisions[named("a")].version != before.revisions[named("a")].version


async def test_a_file_that_breaks_keeps_its_deployment_until_it_is_mended(folder: Path) -> None:
    local.write(folder, manifest("a", replicas=1), manifest("b"))
    async with local_cluster(folder) as cluster:
        before = await until(cluster, lambda f: open_ones(f, "a"))
        for broken in ("{nonsense", json.dumps(manifest("a", annotations={"slots": "many"}))):
            (folder / "a.json").write_text(broken)
            fleet = await until(cluster, lambda f: f.problems)
            assert all("a.json" in problem.source for problem in fleet.problems)
            assert fleet.of(named("a")) == before.of(named("a"))
            assert fleet.revisions[named("a")] == before.revisions[named("a")]
            local.write(folder, manifest("a", replicas=1))
            fleet = await until(cluster, lambda f: not f.problems)
            assert fleet.of(named("a")) == before.of(named("a"))


async def test_added_and_removed_files_and_folders_are_taken_over(folder: Path) -> None:
    local.write(folder, manifest("a"))
    async with local_cluster(folder) as cluster:
        local.write(folder / "deeper" / "still", manifest("b", replicas=1))
        await until(cluster, lambda f: open_ones(f, "b"))
        (folder / "deeper" / "still" / "b.json").unlink()
        (folder / "a.json").unlink()
        fleet = await until(cluster, lambda f: not f.revisions)
        assert [r.phase for r in fleet.of(named("b"))] == [Phase.DRAINING]
        await until(cluster, lambda f: not f.replicas)


async def test_a_named_file_that_is_deleted_is_removed(folder: Path) -> None:
    local.write(folder, manifest("a"))
    async with local_cluster(folder / "a.json") as cluster:
        assert named("a") in cluster.fleet().revisions
        (folder / "a.json").unlink()
        fleet = await until(cluster, lambda f: not f.revisions)
        with pytest.raises(GoneError):
            await cluster.scale(named("a"), 1, expect="1", reason=Reason.DEMAND)
        assert fleet.problems
        local.write(folder, manifest("a"))
        await until(cluster, lambda f: f.revisions)


async def test_a_changed_template_surges_when_a_gpu_is_free(folder: Path) -> None:
    local.write(folder, manifest("a", replicas=1))
    async with local_cluster(folder, gpus=2) as cluster:
        before, seen, after = await _replacing(cluster, folder)
        assert all(open_ones(fleet, "a") for fleet in seen)
        assert after.of(named("a"))[0].template != before.of(named("a"))[0].template
        stopped = [r for f in seen for r in f.of(named("a")) if r.phase is Phase.DRAINING]
        assert {r.reason for r in stopped} == {Reason.TEMPLATE_CHANGED}


async def test_a_changed_template_replaces_in_place_when_no_gpu_is_free(folder: Path) -> None:
    local.write(folder, manifest("a", replicas=1))
    async with local_cluster(folder, gpus=1) as cluster:
        before, seen, _ = await _replacing(cluster, folder)
        # The new one got its GPU only when the old one was gone.
        assert all(sum(r.gpus for r in fleet.of(named("a"))) <= 1 for fleet in seen)
        old = before.of(named("a"))[0].name
        starts = [f for f in seen if any(r.started for r in f.of(named("a")) if r.name != old)]
        assert all(old not in {r.name for r in f.of(named("a"))} for f in starts)


async def _replacing(cluster: LocalCluster, folder: Path) -> tuple[Fleet, list[Fleet], Fleet]:
    """Change the template of `a`, whose replica is ready: before, every snapshot, and after."""
    before = await until(cluster, lambda f: open_ones(f, "a"))
    seen: list[Fleet] = []
    cluster.subscribe(seen.append)
    local.write(folder, manifest("a", env={"NEW": "1"}))
    return before, seen, await until(cluster, lambda f: _replaced(f, before))


def _replaced(fleet: Fleet, before: Fleet) -> bool:
    old = before.of(named("a"))[0].name
    replicas = fleet.of(named("a"))
    return bool(open_ones(fleet, "a")) and old not in {r.name for r in replicas}


# Retiring.


class Hall:
    """Says how many requests are on a replica."""

    def __init__(self) -> None:
        self.running = 1

    def __call__(self, name: ReplicaName) -> int:
        return self.running


async def test_a_retired_replica_is_stopped_when_its_last_request_has_ended(folder: Path) -> None:
    local.write(folder, manifest("a", replicas=1))
    hall = Hall()
    async with local_cluster(folder, running=hall) as cluster:
        fleet = await until(cluster, lambda f: open_ones(f, "a"))
        (replica,) = fleet.of(named("a"))
        await wanted(cluster, "a", 0)
        (draining,) = cluster.fleet().of(named("a"))
        # Marked at once, so that nothing new is sent there; stopped only later.
        assert (draining.phase, draining.gpus) == (Phase.DRAINING, 1)
        assert draining.address == replica.address
        cluster.quiet(replica.name)
        await asyncio.sleep(0.4)
        assert await _answers(replica)
        hall.running = 0
        cluster.quiet(replica.name)
        await until(cluster, lambda f: not f.of(named("a")))


async def test_a_retired_replica_waits_for_its_requests_for_their_timeout_at_most(
    folder: Path,
) -> None:
    local.write(folder, manifest("a", replicas=1, annotations={"request-timeout": "1s"}))
    async with local_cluster(folder, running=Hall()) as cluster:
        await until(cluster, lambda f: open_ones(f, "a"))
        loop = asyncio.get_running_loop()
        began = loop.time()
        await wanted(cluster, "a", 0)
        await until(cluster, lambda f: not f.of(named("a")))
        assert 0.9 < loop.time() - began < 3


async def test_stopping_the_cluster_waits_for_no_request(folder: Path) -> None:
    local.write(folder, manifest("a", replicas=1))
    async with local_cluster(folder, running=Hall()) as cluster:
        await until(cluster, lambda f: open_ones(f, "a"))
        loop = asyncio.get_running_loop()
        began = loop.time()
        await cluster.stop()
        assert loop.time() - began < 3
        assert not cluster.fleet().replicas
        with pytest.raises(UnavailableError):
            await wanted(cluster, "a", 1)


async def _answers(replica: Replica) -> bool:
    reader, writer = await asyncio.open_connection(replica.address, 8000)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.startswith(b"HTTP/1.1 200")

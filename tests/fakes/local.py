"""Manifests for the local cluster's tests, and a cluster that runs them."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from fleet.clock import LoopClock
from fleet.cluster.local.cluster import Host, LocalCluster
from fleet.cluster.local.gpus import Gpus
from fleet.model import Fleet, Replica
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.settings import Settings

SERVER = Path(__file__).with_name("tiny_server.py")
PATIENCE = 60.0


def manifest(
    name: str,
    *modes: str,
    replicas: int = 0,
    gpus: int = 1,
    grace: int = 5,
    annotations: dict[str, str] | None = None,
    env: dict[str, str] | None = None,
    command: list[str] | None = None,
    port: int = 8000,
) -> dict[str, object]:
    """A Deployment that runs the tiny server."""
    # It is told its address, as a server has to be that cannot ask for it.
    server = [sys.executable, "-I", "-S", str(SERVER), *modes, "$(POD_IP)"]
    pod_ip = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    variables = {"PORT": str(port), **(env or {})}
    container: dict[str, object] = {
        "name": "server",
        "image": "tiny",
        "command": command or server,
        "env": [
            pod_ip,
            *({"name": key, "value": value} for key, value in variables.items()),
        ],
        "ports": [{"name": "http", "containerPort": port}],
    }
    if gpus:
        container["resources"] = {"limits": {"nvidia.com/gpu": gpus}}
    own = {"model": name, "runtime": "plain", "allow": "all", **(annotations or {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "annotations": {f"ebbtide.dev/{key}": value for key, value in own.items()},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": grace, "containers": [container]},
            },
        },
    }


def write(folder: Path, *manifests: dict[str, object]) -> None:
    """One file for each of `manifests`, named after it; replaced whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for document in manifests:
        metadata = document["metadata"]
        assert isinstance(metadata, dict)
        draft = folder / f".{metadata['name']}.draft"
        draft.write_text(json.dumps(document))
        draft.rename(folder / f"{metadata['name']}.json")


@contextlib.asynccontextmanager
async def local_cluster(
    folder: Path,
    *,
    gpus: int | Gpus = 2,
    running: Callable[[ReplicaName], int] = lambda _: 0,
    settings: Settings | None = None,
) -> AsyncIterator[LocalCluster]:
    """A cluster that runs the manifests in `folder`, its state beside it."""
    if isinstance(gpus, int):
        gpus = Gpus(ids=tuple(f"imaginary-{n}" for n in range(gpus)), real=False)
    async with asyncio.TaskGroup() as group:
        host = Host(
            clock=LoopClock(),
            group=group,
            settings=settings or Settings(state_dir=str(folder.parent / "state")),
            environ=dict(os.environ),
        )
        async with LocalCluster(
            [folder],
            host=host,
            gpus=gpus,
            running=running,
            explain=lambda _, lines: lines[-1] if lines else "",
        ) as cluster:
            yield cluster


class Subscribes:
    """What `until` needs of a cluster."""

    def fleet(self) -> Fleet: ...
    def subscribe(self, listener: Callable[[Fleet], None]) -> Callable[[], None]: ...


async def until(cluster: Subscribes, holds: Callable[[Fleet], object]) -> Fleet:
    """The first snapshot, from the present one on, for which `holds`."""
    found = asyncio.get_running_loop().create_future()

    def look(fleet: Fleet) -> None:
        if not found.done() and holds(fleet):
            found.set_result(fleet)

    look(cluster.fleet())
    end = cluster.subscribe(look)
    try:
        async with asyncio.timeout(PATIENCE):
            return await found
    except TimeoutError:
        msg = f"not within {PATIENCE:g} s; last: {cluster.fleet()}"
        raise AssertionError(msg) from None
    finally:
        end()


def named(name: str) -> RevisionName:
    return RevisionName(f"default/{name}")


def open_ones(fleet: Fleet, name: str) -> list[Replica]:
    """The replicas that may be sent to."""
    return [r for r in fleet.of(named(name)) if r.address and r.phase.value == "loading"]


def free_port() -> int:
    """A port that nobody listens on, on any address of this machine."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


async def wanted(cluster: LocalCluster, name: str, replicas: int) -> None:
    """Scale a Deployment."""
    version = cluster.fleet().revisions[named(name)].version
    await cluster.scale(named(name), replicas, expect=version, reason=Reason.DEMAND)


def alive(pid: int) -> bool:
    """Whether a process is there and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def command(pid: int) -> str:
    """The words a process was started with."""
    return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")

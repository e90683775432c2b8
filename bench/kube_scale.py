"""A large cluster at rest: what knowing it costs the gateway and the autoscaler.

1,000 Deployments with 5,000 ready pods, on a real control plane; nodes and kubelets
are simulated (kwok), and one small model server answers for every pod. A gateway and an autoscaler
start anew in each round.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.case import Run
from bench.entries import Measured
from bench.gateway import ask
from bench.peers import PeerMissingError
from bench.process import DiedError, Process, free_port, listening
from bench.progress import say
from bench.stats import Row
from bench.waiting import until
from scripts.kube.binaries import MissingError
from tests.kube.admin import Admin
from tests.kube.objects import deployment, gpu_node
from tests.kube.plane import ControlPlane
from tests.kube.redis import RedisServer
from tests.kube.simulated import Simulation

__all__ = ["measure"]

_DEPLOYMENTS, _REPLICAS, _NODES = 1000, 5, 50
_PODS = _DEPLOYMENTS * _REPLICAS
_ADDRESS, _NAMESPACE, _TICK_S = "127.77.0.1", "models", 2.0
_MUST = {"start-up": 10.0, "CPU": 2.0, "memory": 300.0, "tick": 100.0}
_KNOWN_S, _FILL_S, _SAY_EVERY = 60.0, 600.0, 500
_SETTLE_S, _REST_S = 10.0, 30.0
"""At rest is what comes after the first decision of every model, and long enough for all that is
done every ten seconds."""


def measure(run: Run) -> Measured:
    """Start-up, CPU and memory at rest of a gateway; what a tick takes."""
    try:
        with ExitStack() as stack:
            plane, redis = _cluster(run, stack)
            _fill(plane.admin)
            rounds = [_round(run, plane, redis, number) for number in range(run.rounds)]
    except MissingError as error:
        raise PeerMissingError(str(error)) from error
    what = f"{_DEPLOYMENTS:,} Deployments, {_PODS:,} pods"
    figures = (
        (f"gateway ready, {what}", "s", "start-up"),
        ("CPU of a gateway at rest, of a core", "%", "CPU"),
        ("memory of a gateway", "MB", "memory"),
        ("CPU of the leader for a tick", "ms", "tick"),
    )
    rows = tuple(
        Row(
            case="cluster-scale",
            figure=figure,
            unit=unit,
            values=tuple(each[key] for each in rounds),
            aim=_MUST[key],
            must=True,
        )
        for figure, unit, key in figures
    )
    return Measured(rows=rows)


def _cluster(run: Run, stack: ExitStack) -> tuple[ControlPlane, RedisServer]:
    say("cluster-scale: starting a control plane, a Redis and simulated nodes")
    folder = run.folder / "cluster"
    for name in ("redis", "kwok"):
        (folder / name).mkdir(parents=True)
    plane, redis = ControlPlane(folder / "plane"), RedisServer(folder / "redis")
    stack.callback(plane.stop)
    plane.start()
    stack.callback(redis.stop)
    redis.start()
    simulation = Simulation(plane, folder / "kwok", address=_ADDRESS)
    stack.callback(simulation.stop)
    simulation.start()
    for number in range(_NODES):
        node = gpu_node(f"node-{number}", gpus=_PODS // _NODES)
        plane.admin.post("/api/v1/nodes", simulation.mark(node))
    command = [sys.executable, "-m", "bench.model", _ADDRESS, "8000"]
    server = stack.enter_context(Process(command, log=folder / "model.log"))
    server.wait_until(lambda: listening(_ADDRESS, 8000), what="listening")
    return plane, redis


def _fill(admin: Admin) -> None:
    """Make the Deployments, and wait until every pod is ready."""
    say(f"cluster-scale: {_DEPLOYMENTS:,} Deployments of {_REPLICAS} replicas")
    admin.post("/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}})
    path = f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments"
    count = str(_REPLICAS)
    for number in range(_DEPLOYMENTS):
        name = f"model-{number}"
        annotations = {
            "model": name,
            "warm-up": "none",
            "slots": "8",
            "min-replicas": count,
            "max-replicas": count,
        }
        made = deployment(name, _NAMESPACE, annotations=annotations, replicas=_REPLICAS, gpus=1)
        admin.post(path, made)
    _wait_for_pods(admin, path)


def _wait_for_pods(admin: Admin, path: str) -> None:
    """By what the Deployments at `path` tell of themselves when they change."""
    listed = admin.get(path)
    ready = {each["metadata"]["name"]: _ready(each) for each in listed["items"]}
    version, end, said = listed["metadata"]["resourceVersion"], time.monotonic() + _FILL_S, 0
    while (there := sum(ready.values())) < _PODS:
        if time.monotonic() > end:
            msg = f"{there} of {_PODS} simulated pods are ready after {_FILL_S:g} s"
            raise DiedError(msg)
        if there - said >= _SAY_EVERY:
            said = there
            say(f"cluster-scale: {there:,} of {_PODS:,} pods are ready")
        for kind, found in admin.watch(path, version):
            version = found["metadata"]["resourceVersion"]
            if kind != "BOOKMARK":
                ready[found["metadata"]["name"]] = _ready(found)


def _ready(deployment: Mapping[str, Any]) -> int:
    found: int = deployment["status"].get("readyReplicas", 0)
    return found


def _round(run: Run, plane: ControlPlane, redis: RedisServer, number: int) -> dict[str, float]:
    say(f"cluster-scale: round {number + 1} of {run.rounds}")
    folder = run.folder / f"scale-{number}"
    folder.mkdir()
    with ExitStack() as stack:
        leader, _ = stack.enter_context(_started("autoscaler", plane, redis, folder))
        began = time.monotonic()
        gateway, admin = stack.enter_context(_started("gateway", plane, redis, folder))
        start_up = time.monotonic() - began
        until(lambda: _all_known(admin), what="a seat for every pod", seconds=_KNOWN_S, every=1.0)
        time.sleep(_SETTLE_S)
        before, ticking, began = gateway.cpu_s(), leader.cpu_s(), time.monotonic()
        time.sleep(_REST_S)
        passed = time.monotonic() - began
        return {
            "start-up": start_up,
            "CPU": 100 * (gateway.cpu_s() - before) / passed,
            "memory": gateway.rss_bytes() / 1e6,
            "tick": 1000 * (leader.cpu_s() - ticking) / (passed / _TICK_S),
        }


@contextmanager
def _started(
    command: str, plane: ControlPlane, redis: RedisServer, folder: Path
) -> Iterator[tuple[Process, int]]:
    """One of ebbtide's processes, ready; and its admin port."""
    log, admin = folder / f"{command}.log", free_port()
    ports = ["--admin-port", str(admin), *(["--port", "0"] if command == "gateway" else [])]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("EBBTIDE_")}
    settings = {
        "EBBTIDE_REDIS_URL": redis.url,
        "EBBTIDE_NAMESPACE": _NAMESPACE,
        "EBBTIDE_TICK": f"{_TICK_S:g}s",
    }
    program = [sys.executable, "-m", "ebbtide", command, "--kubeconfig", str(plane.kubeconfig)]
    with Process([*program, *ports], log=log, env={**kept, **settings}) as process:
        process.wait_until(lambda: _says_ready(admin), what="ready", seconds=60.0)
        yield process, admin


def _all_known(admin: int) -> bool | None:
    """Whether a gateway knows every replica as ready."""
    models = json.loads(ask(admin, "GET", "/api/models").body)["models"]
    ready = sum(each["replicas"]["ready"] for each in models)
    return True if ready == _PODS else None


def _says_ready(admin: int) -> bool:
    try:
        return ask(admin, "GET", "/readyz").status == 200
    except OSError:
        return False

"""A hundred models woken at the same moment on Kubernetes: how soon every scale is written.

Two gateways, a leader, a real control plane; kubelets are played (`tests/kube/hundred.py`). Times
are from the first request until a watch of the Deployments shows the 0 -> 1.
"""

import asyncio
from contextlib import ExitStack

from bench.case import Run
from bench.entries import Measured
from bench.peers import PeerMissingError
from bench.process import DiedError
from bench.progress import say
from bench.stats import Row
from scripts.kube.binaries import MissingError
from tests.kube.hundred import Woken, wake_at_once
from tests.kube.objects import gpu_node
from tests.kube.plane import ControlPlane
from tests.kube.processes import Site
from tests.kube.redis import RedisServer

__all__ = ["measure"]

_MODELS, _FEW_GPUS = 100, 4
_ALL_WRITTEN_S = 2.0
_WITHIN_S, _TOO_FEW_WITHIN_S = 60.0, 15.0


def measure(run: Run) -> Measured:
    """With room for all: the last write; without: the pods that the scheduler could not place."""
    try:
        with_room = [_round(run, number, gpus=_MODELS) for number in range(run.rounds)]
        without = [_round(run, number, gpus=_FEW_GPUS) for number in range(run.rounds)]
    except MissingError as error:
        raise PeerMissingError(str(error)) from error
    unanswered = [_MODELS - each.answered for each in with_room]
    if any(unanswered):
        msg = f"{max(unanswered)} of {_MODELS} requests were not answered"
        raise DiedError(msg)
    last = tuple(max(each.written_s.values()) for each in with_room)
    unplaced = tuple(float(each.unschedulable) for each in without)
    rows = (
        Row(
            case="cluster-crowd",
            figure=f"{_MODELS} scales written",
            unit="s",
            values=last,
            aim=_ALL_WRITTEN_S,
            must=True,
        ),
        Row(
            case="cluster-crowd",
            figure=f"unschedulable at once, {_FEW_GPUS} GPUs",
            unit="pods",
            values=unplaced,
            aim=_FEW_GPUS + 1.0,
            must=True,
        ),
    )
    return Measured(rows=rows)


def _round(run: Run, number: int, *, gpus: int) -> Woken:
    """On a cluster of its own: nothing is left of the round before."""
    say(f"cluster-crowd: {_MODELS} models, {gpus} GPUs, round {number + 1} of {run.rounds}")
    folder = run.folder / f"crowd-{gpus}-{number}"
    (folder / "logs").mkdir(parents=True)
    (folder / "redis").mkdir()
    within = _WITHIN_S if gpus >= _MODELS else _TOO_FEW_WITHIN_S
    with ExitStack() as stack:
        plane, redis = ControlPlane(folder / "plane"), RedisServer(folder / "redis")
        stack.callback(plane.stop)
        plane.start()
        stack.callback(redis.stop)
        redis.start()
        plane.admin.post("/api/v1/nodes", gpu_node("node-1", gpus=gpus))
        site = Site(plane.kubeconfig, redis.url, "default", folder / "logs")
        woken = wake_at_once(plane, site, models=_MODELS, gpus=gpus, within_s=within)
        return asyncio.run(woken)

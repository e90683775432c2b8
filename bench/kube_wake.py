"""What a cold start takes on a real Kubernetes, and what ebbtide adds to it.

One node of our own (root; see docs/development.md) and ebbtide installed by Helm: two gateways, two
autoscalers, Redis. Each model is woken once, after its Deployment has come to rest. From the
model's own notes, from the API server's audit log and from the client come three figures: how soon
a scale is written, how soon a model that is ready gets its request, and the whole. Beside the whole
stands what one would do by hand, in turns with it: `kubectl scale`, then `curl` at the pod again
and again until it answers.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from bench.case import Run
from bench.entries import Measured
from bench.gateway import infer_path
from bench.peers import PeerMissingError
from bench.process import DiedError
from bench.progress import say
from bench.stats import Row
from bench.waiting import until
from bench.wrk import BODY
from scripts.kube.binaries import MissingError, find
from tests.kube.cluster import RealCluster
from tests.kube.contents import EBBTIDE, REDIS, ebbtide_image, redis_image
from tests.kube.images import HOST
from tests.kube.release import Release

__all__ = ["AIM_ADDED_MS", "AIM_DISPATCH_MS", "AIM_WRITTEN_MS", "measure"]

AIM_WRITTEN_MS = 10.0
AIM_DISPATCH_MS = 20.0
AIM_ADDED_MS = 50.0
_WAKES_PER_ROUND = 4
_LOADING_S, _WAIT_S, _REST_S = 1.0, 60.0, 0.5
_ROOT = Path(__file__).resolve().parent.parent
_NAMESPACE = "bench"
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wake:
    """One wake by ebbtide, seconds."""

    written_s: float
    dispatch_s: float
    whole_s: float


def measure(run: Run) -> Measured:
    """Arrival to scale written, ready to dispatch, and the whole beside doing it by hand."""
    curl = shutil.which("curl")
    if curl is None:
        msg = "no curl on PATH, which asks for the pod when it is woken by hand"
        raise PeerMissingError(msg)
    wakes: list[_Wake] = []
    by_hand: list[float] = []
    try:
        with ExitStack() as stack:
            stage = _Stage(run, stack, curl)
            for number in range(run.rounds * _WAKES_PER_ROUND):
                if number % _WAKES_PER_ROUND == 0:
                    say(f"cluster-wake: round {number // _WAKES_PER_ROUND + 1} of {run.rounds}")
                wakes.append(stage.by_ebbtide(f"woken-{number}"))
                by_hand.append(stage.by_hand(f"scaled-{number}"))
    except MissingError as error:
        raise PeerMissingError(str(error)) from error
    return Measured(rows=_rows(wakes, by_hand))


def _rows(wakes: list[_Wake], by_hand: list[float]) -> tuple[Row, ...]:
    def row(figure: str, seconds: list[float], aim: float | None = None) -> Row:
        values = tuple(each * 1000 for each in seconds)
        return Row(case="cluster-wake", figure=figure, unit="ms", values=values, aim=aim)

    whole = [wake.whole_s for wake in wakes]
    added = [ours - theirs for ours, theirs in zip(whole, by_hand, strict=True)]
    return (
        row("arrival to scale written", [wake.written_s for wake in wakes], AIM_WRITTEN_MS),
        row("model ready to request on it", [wake.dispatch_s for wake in wakes], AIM_DISPATCH_MS),
        row("cold start, whole", whole),
        row("kubectl scale and polling curl", by_hand),
        row("cold start less that, in turns", added, AIM_ADDED_MS),
    )


class _Stage:
    """A cluster with ebbtide on it; models are small servers that load for a second."""

    def __init__(self, run: Run, stack: ExitStack, curl: str) -> None:
        say("cluster-wake: starting a cluster with a node, installing the chart")
        folder = run.folder / "cluster-wake"
        folder.mkdir()
        self._cluster = RealCluster(tars=[ebbtide_image(folder), redis_image(folder)])
        stack.callback(self._cluster.stop)
        self._cluster.start()
        self._cluster.set_gpus(2)
        self._admin, self._curl = self._cluster.admin, curl
        self._admin.post("/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}})
        release = Release(
            self._admin, kubeconfig=self._cluster.kubeconfig, scratch=folder, name="ebbtide"
        )
        release.install(_VALUES)
        self._gateway = self._cluster.reach(release.gateways(), release.namespace, 8080)[0]
        self._client = stack.enter_context(httpx.Client(trust_env=False, timeout=_WAIT_S))
        self._token = {"authorization": f"Bearer {release.admin_token()}"}
        self._ports = self._cluster.reach(release.gateways(), release.namespace, 8081)

    def by_ebbtide(self, name: str) -> _Wake:
        """One request for a model that sleeps."""
        self._make(name, {"ebbtide.dev/model": name, **_ANNOTATIONS})
        for port in self._ports:
            self._until_known(port, name)
        arrived, began = time.time(), time.monotonic()
        answer = self._client.post(f"http://{self._gateway}{infer_path(name)}", content=BODY)
        whole = time.monotonic() - began
        if answer.status_code != httpx.codes.OK:
            msg = f"{name} was answered {answer.status_code}: {answer.text[:200]}"
            raise DiedError(msg)
        times = answer.json()
        written = self._written(name)
        self._remove(name)
        return _Wake(
            written_s=written - arrived,
            dispatch_s=times["got"] - times["opened"],
            whole_s=whole,
        )

    def by_hand(self, name: str) -> float:
        """`kubectl scale`, and `curl` until the pod answers; seconds."""
        self._make(name, {})
        kubectl = [str(find("kubectl")), "--kubeconfig", str(self._cluster.kubeconfig)]
        began = time.monotonic()
        scale = [*kubectl, "-n", _NAMESPACE, "scale", f"deployment/{name}", "--replicas=1"]
        subprocess.run(scale, check=True, capture_output=True)
        pods = f"/api/v1/namespaces/{_NAMESPACE}/pods"
        address = until(
            lambda: _address(self._admin.get(pods, labelSelector=f"app={name}")) or None,
            what=f"an address for {name}",
            seconds=_WAIT_S,
            every=0.01,
        )
        url = f"http://{address}:8000{infer_path(name)}"
        ask = [self._curl, "--silent", "--fail", "--max-time", "5", "--data", BODY, url]
        while subprocess.run(ask, check=False, capture_output=True).returncode != 0:
            if time.monotonic() - began > _WAIT_S:
                msg = f"{name} does not answer, {_WAIT_S:g} s after it was scaled"
                raise DiedError(msg)
        whole = time.monotonic() - began
        self._remove(name)
        return whole

    def _make(self, name: str, annotations: Mapping[str, str]) -> None:
        """A Deployment at rest: a model that sleeps was not made in the same instant.

        Controllers write a new Deployment's status and revision several times; a scale decided
        between two of those meets a conflict, which tells nothing of a model that is asleep.
        """
        self._admin.post(_DEPLOYMENTS, _deployment(name, annotations))
        versions: list[str] = []

        def at_rest() -> bool | None:
            found = self._admin.get(f"{_DEPLOYMENTS}/{name}")
            versions.append(found["metadata"]["resourceVersion"])
            observed = found["status"].get("observedGeneration")
            taken_up = observed == found["metadata"]["generation"]
            return (taken_up and versions[-1:] == versions[-2:-1]) or None

        until(at_rest, what=f"the Deployment {name} at rest", seconds=_WAIT_S, every=_REST_S)

    def _remove(self, name: str) -> None:
        """Gone when it returns: its GPU is the next one's."""
        self._admin.delete(f"{_DEPLOYMENTS}/{name}")
        pods = f"/api/v1/namespaces/{_NAMESPACE}/pods"
        self._admin.until(pods, lambda found: not found["items"], timeout=60.0)

    def _until_known(self, port: str, name: str) -> None:
        url = f"http://{port}/api/models/{name}"
        until(
            lambda: self._client.get(url, headers=self._token).is_success or None,
            what=f"the gateway knows {name}",
            seconds=_WAIT_S,
        )

    def _written(self, name: str) -> float:
        """When the API server had taken the write of `name`'s scale: system time."""
        return until(lambda: self._audited(name), what=f"a write of {name}'s scale", seconds=5.0)

    def _audited(self, name: str) -> float | None:
        """As the audit log has it; None: not yet."""
        for entry in self._cluster.plane.audited():
            about = entry["objectRef"]
            if about.get("name") == name and entry["responseStatus"]["code"] == httpx.codes.OK:
                return datetime.fromisoformat(entry["stageTimestamp"]).timestamp()
        return None


def _address(pods: Mapping[str, Any]) -> str:
    return next((each["status"].get("podIP", "") for each in pods["items"]), "")


_ANNOTATIONS = {
    "ebbtide.dev/warm-up": "none",
    "ebbtide.dev/slots": "8",
    "ebbtide.dev/keep-alive": "1h",
}
_SMALL = {"requests": {"cpu": "50m", "memory": "64Mi"}}


def _image(name: str) -> dict[str, str]:
    repository, _, tag = name.rpartition(":")
    return {"repository": repository, "tag": tag, "pullPolicy": "Never"}


_VALUES = {
    "image": _image(EBBTIDE),
    "gateway": {"shutdownDelaySeconds": 0, "requestTimeoutSeconds": 60, "resources": _SMALL},
    "autoscaler": {"resources": _SMALL},
    "redis": {"image": _image(REDIS), "persistence": {"enabled": False}, "resources": _SMALL},
}


def _deployment(name: str, annotations: Mapping[str, str]) -> dict[str, Any]:
    """`bench.model` in a pod, with this machine's Python."""
    environment = Path(sys.prefix).resolve()
    folders = [Path(f"/{each}") for each in ("usr", "lib", "lib64", "bin")]
    folders += [environment, Path(sys.base_prefix), _ROOT]
    mounted = {f"at-{n}": str(each) for n, each in enumerate(folders) if each.exists()}
    listen = ["$(POD_IP)", "8000", "--after", str(_LOADING_S)]
    container = {
        "name": "model",
        "image": HOST,
        "imagePullPolicy": "Never",
        "command": [str(environment / "bin" / "python"), "-m", "bench.model", *listen],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "PYTHONPATH", "value": str(_ROOT)},
        ],
        "resources": {"requests": {"cpu": "50m"}, "limits": {"nvidia.com/gpu": "1"}},
        "volumeMounts": [
            {"name": key, "mountPath": at, "readOnly": True} for key, at in mounted.items()
        ],
    }
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": key, "hostPath": {"path": at}} for key, at in mounted.items()],
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "annotations": dict(annotations)},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }

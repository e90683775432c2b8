"""What a test on a real cluster has in hand: models, gateways to call, and what happened."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.kube.admin import Admin
from tests.kube.cluster import RealCluster
from tests.kube.given import GivenCluster
from tests.kube.models import Adder
from tests.kube.release import Pod, Release
from tests.kube.watching import Watching, watching

__all__ = ["Stage"]

_REQUESTS_PORT, _ADMIN_PORT = 8080, 8081
_SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}}


class Stage:
    """One test's namespace on the cluster, and the one release of ebbtide there."""

    def __init__(
        self, cluster: RealCluster | GivenCluster, release: Release, *, namespace: str
    ) -> None:
        assert cluster.images is not None
        self.cluster, self.release, self.namespace = cluster, release, namespace
        self.admin: Admin = cluster.admin
        self.images = cluster.images
        self.admin.post("/api/v1/namespaces", {"metadata": {"name": namespace}})

    def install(self, *, gpus: int, settings: Mapping[str, str] | None = None, **more: Any) -> None:
        """ebbtide with these settings (names in lower case) on a node with `gpus` GPUs."""
        self.cluster.set_gpus(gpus)
        redis = self.images.redis
        values = {
            "image": {"pullPolicy": self.images.pull, **_named(self.images.ebbtide)},
            "gateway": {
                "replicas": 2,
                "shutdownDelaySeconds": 1,
                "requestTimeoutSeconds": 30,
                "resources": _SMALL,
            },
            "autoscaler": {"resources": _SMALL},
            "redis": {
                "image": {"pullPolicy": self.images.pull, **_named(redis)} if redis else {},
                "persistence": {"enabled": False},
                "resources": _SMALL,
            },
            "settings": dict(settings or {}),
        }
        self.release.install({**values, **more})

    def add(self, *models: Adder) -> None:
        """Their Deployments, asleep; every gateway knows them when it returns."""
        for model in models:
            config, deployment = model.documents(self.namespace, self.images.triton)
            self.admin.post(f"/api/v1/namespaces/{self.namespace}/configmaps", config)
            self.admin.post(self._deployments, deployment)
        release = self.release
        admin_ports = self.cluster.reach(release.gateways(), release.namespace, _ADMIN_PORT)
        for address in admin_ports:
            self._until_known(address, {model.name for model in models})

    def _until_known(self, admin_port: str, models: set[str], *, timeout: float = 30.0) -> None:
        """Until that gateway's admin API lists `models`."""
        token = {"authorization": f"Bearer {self.release.admin_token()}"}
        end = time.monotonic() + timeout
        while True:
            answer = httpx.get(f"http://{admin_port}/api/models", headers=token, trust_env=False)
            answer.raise_for_status()
            if all(f'"{name}"' in answer.text for name in models):
                return
            if time.monotonic() > end:
                raise TimeoutError(f"{admin_port} does not know {models}: {answer.text[:500]}")
            time.sleep(0.02)

    def gateways(self) -> list[str]:
        """HOST:PORT of those that are ready."""
        release = self.release
        return self.cluster.reach(release.gateways(), release.namespace, _REQUESTS_PORT)

    @contextmanager
    def watched(self) -> Iterator[tuple[Watching, Watching]]:
        """What happens to Deployments and to pods of models while the block runs."""
        pods = f"/api/v1/namespaces/{self.namespace}/pods"
        with (
            watching(self.admin, self._deployments) as deployments,
            watching(self.admin, pods) as seen,
        ):
            yield deployments, seen

    @property
    def own(self) -> RealCluster:
        """The cluster, when it is ours: its parts can be killed, and its API server keeps a log."""
        if not isinstance(self.cluster, RealCluster):
            pytest.skip("needs a cluster of our own: this one's parts are not ours to kill or read")
        return self.cluster

    def scale_writes(self) -> list[tuple[str, int]]:
        """Every write of a scale that the API server took in this namespace: name and replicas."""
        return [
            (entry["objectRef"]["name"], entry["requestObject"]["spec"]["replicas"])
            for entry in self.own.plane.audited()
            if entry["objectRef"].get("namespace") == self.namespace
            and entry["objectRef"].get("subresource") == "scale"
            and entry["responseStatus"]["code"] < 300
        ]

    def until_restarted(self, pod: Pod) -> None:
        """Until another container than the one that `pod` had is ready in it."""

        def ready_anew(found: dict[str, Any]) -> bool:
            (status,) = found["status"]["containerStatuses"]
            return status["ready"] and not status["containerID"].endswith(pod.container)

        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        self.admin.until(path, ready_anew, timeout=90.0)

    def clear(self) -> None:
        """Delete the models, and wait until their GPUs are free."""
        self.admin.delete(self._deployments)
        pods = f"/api/v1/namespaces/{self.namespace}/pods"
        self.admin.delete(f"/apis/apps/v1/namespaces/{self.namespace}/replicasets")
        self.admin.delete(pods, grace_s=0)
        self.admin.until(pods, lambda found: not found["items"], timeout=60.0)
        self.admin.delete(f"/api/v1/namespaces/{self.namespace}")

    @property
    def _deployments(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments"


def _named(image: str) -> dict[str, str]:
    repository, _, tag = image.rpartition(":")
    return {"repository": repository, "tag": tag}

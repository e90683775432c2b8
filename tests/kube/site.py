"""A namespace of the tests' control plane, and what an operator does there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from fleet.cluster.kubernetes.cluster import KubernetesCluster
from fleet.errors import ConflictError
from fleet.kubernetes.api import Api
from fleet.model import Drain, Fleet, Phase
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from tests.fakes import local
from tests.fakes.local import until
from tests.kube.admin import write_kubeconfig
from tests.kube.cable import Cable
from tests.kube.clusters import kubernetes_cluster, running
from tests.kube.kubelet import Kubelet
from tests.kube.plane import ControlPlane

__all__ = ["READ", "Site", "mark", "opened", "scale", "soon"]

READ = ["get", "list", "watch"]


class Site:
    """One namespace; `path` and `pods` are the API's own paths."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.admin, self.namespace = plane, plane.admin, namespace
        self.pods = f"/api/v1/namespaces/{namespace}/pods"

    def named(self, name: str) -> RevisionName:
        return RevisionName(f"{self.namespace}/{name}")

    def path(self, name: str = "") -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}".rstrip("/")

    def make(self, name: str, *, gpus: int = 1, **how: Any) -> dict[str, Any]:
        document: dict[str, Any] = local.manifest(name, gpus=gpus, **how)
        document["metadata"]["namespace"] = self.namespace
        return self.admin.post(self.path(), document)

    def patch(self, name: str, **fields: Any) -> dict[str, Any]:
        return self.admin.patch(self.path(name), fields)

    def annotate(self, name: str, **annotations: str | None) -> dict[str, Any]:
        found = {f"ebbtide.dev/{key.replace('_', '-')}": text for key, text in annotations.items()}
        return self.patch(name, metadata={"annotations": found})

    def spec(self, name: str) -> dict[str, Any]:
        spec: dict[str, Any] = self.admin.get(self.path(name))["spec"]
        return spec

    def pod(self, replica: ReplicaName) -> str:
        """The path of a replica's pod."""
        return f"{self.pods}/{replica.partition('/')[2]}"

    @contextlib.asynccontextmanager
    async def cluster(
        self, *, kubeconfig: Path | None = None, kubelet: bool = True, wait: bool = True
    ) -> AsyncIterator[KubernetesCluster]:
        """One that watches this namespace."""
        async with (
            await Api.open(str(self.plane.kubeconfig)) as own,
            await Api.open(str(kubeconfig or self.plane.kubeconfig)) as api,
            running(*([Kubelet(own).run()] if kubelet else [])),
            kubernetes_cluster(api, namespaces=[self.namespace], wait=wait) as cluster,
        ):
            yield cluster

    @contextlib.asynccontextmanager
    async def cable(self, folder: Path) -> AsyncIterator[tuple[Cable, Path]]:
        """A cable to the API server, and a kubeconfig that goes over it."""
        async with Cable(self.plane.url).laid() as cable:
            path = write_kubeconfig(
                folder / "config", url=cable.url, ca=self.plane.ca, token=self.plane.token
            )
            yield cable, path

    def grant(self, *rules: Mapping[str, Any], everywhere: bool = False) -> Path:
        """A role for the namespace's default account, there or everywhere; its kubeconfig."""
        kind, name = ("ClusterRole" if everywhere else "Role"), f"some-{self.namespace}"
        base = "/apis/rbac.authorization.k8s.io/v1"
        base += "/cluster" if everywhere else f"/namespaces/{self.namespace}/"
        self.admin.post(f"{base}roles", {"metadata": {"name": name}, "rules": list(rules)})
        subject = {"kind": "ServiceAccount", "name": "default", "namespace": self.namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        body = {"metadata": {"name": name}, "subjects": [subject], "roleRef": role}
        self.admin.post(f"{base}rolebindings", body)
        token = self.plane.account_token(self.namespace, "default")
        return self.plane.kubeconfig_for(token, name=self.namespace)


def opened(revision: RevisionName, count: int = 1) -> Callable[[Fleet], bool]:
    """Whether so many replicas may be sent to."""
    return lambda fleet: (
        len([x for x in fleet.of(revision) if x.address and x.phase is Phase.LOADING]) == count
    )


async def soon(holds: Callable[[], object]) -> None:
    """Returns once it does: for what no snapshot tells of."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def scale(cluster: KubernetesCluster, revision: RevisionName, replicas: int) -> str:
    """Decided again for as long as others (controllers) write in between; `mark` likewise."""
    while True:
        version = cluster.fleet().revisions[revision].version
        try:
            return await cluster.scale(revision, replicas, expect=version, reason=Reason.DEMAND)
        except ConflictError:
            await until(cluster, lambda f, v=version: f.revisions[revision].version != v)


async def mark(
    cluster: KubernetesCluster, revision: RevisionName, *drained: ReplicaName, number: int = 1
) -> str:
    drain = Drain(number=number, replicas=frozenset(drained), term=3) if drained else None
    while True:
        version = cluster.fleet().revisions[revision].version
        try:
            return await cluster.mark(revision, drain, expect=version)
        except ConflictError:
            await until(cluster, lambda f, v=version: f.revisions[revision].version != v)

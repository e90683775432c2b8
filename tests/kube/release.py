"""ebbtide on a cluster as its users install it: `helm install` of charts/ebbtide."""

import base64
import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.kube.binaries import find
from tests.kube.admin import Admin

__all__ = ["Pod", "Release", "ready_pods"]

_CHART = Path(__file__).resolve().parents[2] / "charts" / "ebbtide"
_READY_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One that runs and is ready."""

    namespace: str
    name: str
    address: str
    container: str
    """As the container runtime calls it."""


class Release:
    """One installation, in a namespace of its own."""

    def __init__(self, admin: Admin, *, kubeconfig: Path, scratch: Path, name: str = "ebbtide"):
        self._admin = admin
        self._kubeconfig = kubeconfig
        self._scratch = scratch
        self.name = self.namespace = name

    def install(self, values: Mapping[str, Any], *, helm: str = "helm") -> None:
        """Ready when it returns; again with other values is an upgrade."""
        path = self._scratch / "values.json"
        path.write_text(json.dumps(values))
        create = ["--create-namespace", "--values", str(path)]
        self._helm("upgrade", "--install", self.name, str(_CHART), *create, helm=helm)
        self.wait_ready()

    def uninstall(self) -> None:
        """Gone when it returns, pods and all."""
        self._helm("uninstall", self.name, "--wait")
        self._admin.delete(f"/api/v1/namespaces/{self.namespace}/pods", grace_s=0)

    def wait_ready(self, *, timeout: float = _READY_S) -> None:
        """Until every pod of its Deployments is of the last template, and ready."""
        end = time.monotonic() + timeout
        while waits := self._not_ready():
            if time.monotonic() > end:
                raise TimeoutError(f"not ready: {waits}; {self._states()}")
            time.sleep(0.1)

    def gateways(self) -> list[Pod]:
        return self.pods("gateway")

    def autoscalers(self) -> list[Pod]:
        return self.pods("autoscaler")

    def pods(self, component: str) -> list[Pod]:
        """Those that are ready, by name."""
        return ready_pods(self._admin, self.namespace, f"app.kubernetes.io/component={component}")

    def leader(self) -> str:
        """The pod that leads, by the Lease."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        held = self._admin.get(f"{path}/ebbtide-autoscaler")["spec"]["holderIdentity"]
        # NAMESPACE/POD and what tells one start of it from another.
        return str(held).rpartition("/")[2].rpartition("_")[0]

    def leading(self) -> Pod:
        """The pod that leads, once it is ready: after a kill the controllers may not know yet."""
        end = time.monotonic() + _READY_S
        while True:
            leader = self.leader()
            for pod in self.autoscalers():
                if pod.name == leader:
                    return pod
            if time.monotonic() > end:
                raise TimeoutError(f"{leader!r} leads and is not ready; {self._states()}")
            time.sleep(0.1)

    def admin_token(self) -> str:
        """What the admin port asks for."""
        found = self._admin.get(f"/api/v1/namespaces/{self.namespace}/secrets")["items"]
        (secret,) = [each for each in found if "tokens" in each.get("data", {})]
        return base64.b64decode(secret["data"]["tokens"]).decode().split()[0]

    def log(self, pod: str, *, previous: bool = False) -> str:
        """What a pod has written."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        return self._admin.text(path, previous="true" if previous else "false")

    def _helm(self, *arguments: str, helm: str = "helm") -> str:
        command = [str(find(helm)), *arguments, "--namespace", self.namespace]
        command += ["--kubeconfig", str(self._kubeconfig)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"helm {' '.join(arguments[:2])}: {done.stderr}")
        return done.stdout

    def _not_ready(self) -> list[str]:
        waits = []
        for kind in ("deployments", "statefulsets"):
            path = f"/apis/apps/v1/namespaces/{self.namespace}/{kind}"
            waits += [
                each["metadata"]["name"]
                for each in self._admin.get(path)["items"]
                if not _complete(each)
            ]
        return waits

    def _states(self) -> str:
        """Why pods are not ready, in the cluster's words."""
        found = self._admin.get(f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        said = []
        for pod in found:
            name, status = pod["metadata"]["name"], pod["status"]
            states = [each.get("state") for each in status.get("containerStatuses", ())]
            said.append(f"{name}: {status.get('phase')} {states}")
            if any(not each.get("ready") for each in status.get("containerStatuses", ())):
                said.append(self.log(name)[-1500:])
        return "\n".join(said)


def _complete(owner: Mapping[str, Any]) -> bool:
    wanted = owner["spec"].get("replicas", 1)
    status = owner["status"]
    seen = status.get("observedGeneration", 0) >= owner["metadata"]["generation"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
    return seen and counts == [wanted] * len(counts)


def ready_pods(admin: Admin, namespace: str, selector: str) -> list[Pod]:
    """Pods that are ready and stay, by name."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    found = []
    for pod in admin.get(path, labelSelector=selector)["items"]:
        conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
        if conditions.get("Ready") != "True" or "deletionTimestamp" in pod["metadata"]:
            continue
        (container,) = pod["status"]["containerStatuses"]
        found.append(
            Pod(
                namespace=namespace,
                name=pod["metadata"]["name"],
                address=pod["status"]["podIP"],
                container=container["containerID"].rpartition("/")[2],
            )
        )
    return sorted(found, key=lambda pod: pod.name)

"""A cluster that somebody else made: by its kubeconfig, reached through its API server alone.

Rule 1: it is one to throw away: GPUs are written into the status of one of its nodes, and in the
        end what was there before. Nothing else is changed but the namespaces that tests make.
Rule 2: which images it runs is told by whoever names it; they must be there or be pulled.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.kube.binaries import find
from tests.kube.admin import Admin
from tests.kube.models import TritonMounts
from tests.kube.release import Pod

__all__ = ["GivenCluster", "Images"]

_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What is to run."""

    ebbtide: str
    redis: str | None
    """None: the chart's own."""
    triton: TritonMounts
    pull: str = "IfNotPresent"


class GivenCluster:
    """`kubeconfig`'s current context; `stop()` takes back what was written into its node."""

    def __init__(self, kubeconfig: Path, *, images: Images) -> None:
        self.kubeconfig, self.images = kubeconfig, images
        self.admin = Admin.of_kubeconfig(kubeconfig)
        self._node = self._a_node()
        self._forwards: list[subprocess.Popen[str]] = []
        self._reached: dict[tuple[str, int], str] = {}
        self._before: dict[str, str | None] = {}

    def set_gpus(self, count: int, resource: str = "nvidia.com/gpu") -> None:
        """As a device plugin would tell; no device is behind it."""
        if resource not in self._before:
            node = self.admin.get(f"/api/v1/nodes/{self._node}")
            self._before[resource] = node["status"]["capacity"].get(resource)
        self._tell({resource: str(count)})

    def reach(self, pods: Sequence[Pod], namespace: str, port: int) -> list[str]:
        """HOST:PORT for each pod's port, forwarded by the API server."""
        for name in {pod.name for pod in pods}:
            if (name, port) not in self._reached:
                self._reached[name, port] = self._forward(name, namespace, port)
        return [self._reached[pod.name, port] for pod in pods]

    def stop(self) -> None:
        for process in self._forwards:
            process.kill()
            process.communicate()
        self._tell(self._before)
        self.admin.close()

    def _tell(self, room: Mapping[str, str | None]) -> None:
        told = {"status": {"capacity": room, "allocatable": room}}
        self.admin.patch(f"/api/v1/nodes/{self._node}/status", told)

    def _a_node(self) -> str:
        """The first that takes pods."""
        for node in self.admin.get("/api/v1/nodes")["items"]:
            if not node["spec"].get("taints") and not node["spec"].get("unschedulable"):
                return str(node["metadata"]["name"])
        raise RuntimeError(f"no node of {self.kubeconfig} takes pods")

    def _forward(self, pod: str, namespace: str, port: int) -> str:
        command = [str(find("kubectl")), "--kubeconfig", str(self.kubeconfig), "-n", namespace]
        process = subprocess.Popen(
            [*command, "port-forward", f"pod/{pod}", f":{port}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._forwards.append(process)
        assert process.stdout is not None
        match = _FORWARDING.search(process.stdout.readline())
        if match is not None:
            return f"127.0.0.1:{match[1]}"
        raise RuntimeError(f"port {port} of {pod} cannot be forwarded")

"""A whole cluster on this machine: control plane, one node, GPUs that are only counted."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.kube.admin import Admin
from tests.kube.given import Images
from tests.kube.ground import Ground, take_ground
from tests.kube.images import host_image, pause_image
from tests.kube.node import Node
from tests.kube.plane import ControlPlane
from tests.kube.release import Pod

__all__ = ["RealCluster"]

_READY_S = 90.0


class RealCluster:
    """`start()` gives a cluster whose node is Ready; `stop()` leaves nothing of it behind."""

    def __init__(self, *, images: Images | None = None, tars: Sequence[Path] = ()) -> None:
        self.ground: Ground = take_ground()
        self.images = images
        folder = self.ground.folder
        own = (pause_image(folder), host_image(folder))
        self.plane = ControlPlane(
            folder / "plane",
            address=self.ground.host,
            services=self.ground.services,
            real_nodes=True,
        )
        self.node = Node(
            self.ground, kubeconfig=folder / "plane" / "kubeconfig", images=[*own, *tars]
        )

    @property
    def admin(self) -> Admin:
        return self.plane.admin

    @property
    def kubeconfig(self) -> Path:
        return self.plane.kubeconfig

    def reach(self, pods: Sequence[Pod], namespace: str, port: int) -> list[str]:
        """HOST:PORT of each pod: its own address, from this machine."""
        return [f"{pod.address}:{port}" for pod in pods]

    def start(self) -> None:
        self.node.lay_wire()
        self.plane.start()
        self.node.start()
        self.wait_for_node()

    def stop(self) -> None:
        self.plane.stop()
        self.node.stop()
        self.ground.give_back()

    def wait_for_node(self) -> None:
        """Until it takes pods. Raises with the logs when it does not."""
        end = time.monotonic() + _READY_S
        while not self._schedulable():
            self.node.check_running()
            if time.monotonic() > end:
                raise TimeoutError(f"the node is not ready: {self.node.logs()}")
            time.sleep(0.05)

    def set_gpus(self, count: int, resource: str = "nvidia.com/gpu") -> None:
        """As a device plugin would tell; no device is behind it."""
        path = f"/api/v1/nodes/{self.node.plan.name}"
        room = {resource: str(count)}
        told = {"status": {"capacity": room, "allocatable": room}}
        self.plane.admin.patch(f"{path}/status", told)

        def counted(node: dict[str, Any]) -> bool:
            return bool(node["status"]["allocatable"].get(resource) == str(count))

        self.plane.admin.until(path, counted)

    def _schedulable(self) -> bool:
        nodes = self.plane.admin.get("/api/v1/nodes")["items"]
        conditions = [each for node in nodes for each in node["status"].get("conditions", ())]
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return ready and not any(node["spec"].get("taints") for node in nodes)

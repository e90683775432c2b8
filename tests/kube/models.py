"""Models for a cluster: Deployments of real Triton whose model adds a number of its own.

Rule 1: an answer tells which model gave it, and on which pod: a wrong one is seen.
Rule 2: the server is that of `.venv-models`, mounted from the node, or an image's own; the model is
        in a ConfigMap.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.cluster.local.tritonserver import TritonServer, locate
from tests.kube.images import HOST

__all__ = ["Adder", "TritonMounts", "triton_mounts"]

_CODE = """
import os, socket, time
import numpy
import triton_python_backend_utils as pb
class TritonPythonModel:
    def initialize(self, args):
        time.sleep(float(os.environ["LOAD_SECONDS"]))
    def execute(self, requests):
        answers = []
        for request in requests:
            value = pb.get_input_tensor_by_name(request, "X").as_numpy()
            time.sleep(float(pb.get_input_tensor_by_name(request, "SECONDS").as_numpy().item()))
            own = numpy.array([socket.gethostname().encode()], dtype=object)
            out = [pb.Tensor("Y", value + int(os.environ["ADDS"])), pb.Tensor("POD", own)]
            answers.append(pb.InferenceResponse(out))
        return answers
"""
_CONFIG = """
backend: "python"
max_batch_size: 0
input [{ name: "X" data_type: TYPE_INT64 dims: [1] },
       { name: "SECONDS" data_type: TYPE_FP32 dims: [1] }]
output [{ name: "Y" data_type: TYPE_INT64 dims: [1] },
        { name: "POD" data_type: TYPE_STRING dims: [1] }]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonMounts:
    """How a pod starts Triton: the same files at the same places as on the node."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    folders: tuple[Path, ...]
    prefix: str = ""
    """What the node has in front of the paths of `folders`."""
    image: str = HOST
    pull: str = "Never"


def triton_mounts(models_env: Path, scratch: Path) -> TritonMounts:
    """The server of `models_env`; `scratch` holds the folder of its backends."""
    environment = models_env.resolve()
    server = locate(str(environment), os.environ, state_dir=scratch)
    assert isinstance(server, TritonServer)
    python = (environment / "bin" / "python").resolve().parents[1]
    system = [Path(f"/{name}") for name in ("usr", "lib", "lib64", "bin")]
    own = [environment, scratch.resolve()] + (
        [] if Path("/usr") in (python, *python.parents) else [python]
    )
    return TritonMounts(
        command=(str(server.binary), f"--backend-directory={server.backend_directory}"),
        env={
            "LD_LIBRARY_PATH": ":".join(map(str, server.libraries)),
            "PATH": ":".join([*map(str, server.path), "/usr/bin", "/bin"]),
        },
        folders=tuple(each for each in (*system, *own) if each.exists()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Adder:
    """One model and its Deployment, of the same name."""

    name: str
    adds: int
    gpus: int = 1
    load_s: float = 0.0
    instances: int = 4
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Without `ebbtide.dev/`."""

    def request(self, value: int, *, seconds: float = 0.0) -> bytes:
        """The body of an inference that takes `seconds`."""
        inputs = [
            {"name": "X", "datatype": "INT64", "shape": [1], "data": [value]},
            {"name": "SECONDS", "datatype": "FP32", "shape": [1], "data": [seconds]},
        ]
        return json.dumps({"inputs": inputs}).encode()

    @property
    def path(self) -> str:
        return f"/v2/models/{self.name}/infer"

    def right(self, value: int, body: bytes) -> bool:
        """Whether `body` answers `request(value)`, from this model."""
        outputs = {each["name"]: each["data"] for each in json.loads(body)["outputs"]}
        return bool(outputs["Y"] == [value + self.adds])

    def documents(self, namespace: str, mounts: TritonMounts) -> list[dict[str, Any]]:
        """ConfigMap and Deployment."""
        group = f"instance_group [{{ kind: KIND_CPU count: {self.instances} }}]\n"
        texts = {"config": f'name: "{self.name}"{_CONFIG}{group}', "code": _CODE}
        config = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name, "namespace": namespace},
            "data": texts,
        }
        return [config, self._deployment(namespace, mounts)]

    def _deployment(self, namespace: str, mounts: TritonMounts) -> dict[str, Any]:
        labels = {"app": self.name}
        annotations = {"model": self.name, **self.annotations}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": self.name,
                "namespace": namespace,
                "annotations": {f"ebbtide.dev/{key}": text for key, text in annotations.items()},
            },
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
                "template": {"metadata": {"labels": labels}, "spec": self._pod(mounts)},
            },
        }

    def _pod(self, mounts: TritonMounts) -> dict[str, Any]:
        flags = [f"--{kind}-address=$(POD_IP)" for kind in ("http", "grpc", "metrics")]
        env = {**mounts.env, "LOAD_SECONDS": str(self.load_s), "ADDS": str(self.adds)}
        own_address = {"fieldRef": {"fieldPath": "status.podIP"}}
        host = {f"host-{n}": str(folder) for n, folder in enumerate(mounts.folders)}
        on_node = {name: f"{mounts.prefix}{at}" for name, at in host.items()}
        files = {"config": "config.pbtxt", "code": "1/model.py"}
        folder = f"/models/{self.name}"
        container = {
            "name": "triton",
            "image": mounts.image,
            "imagePullPolicy": mounts.pull,
            "command": [mounts.command[0]],
            "args": ["--model-repository=/models", *mounts.command[1:], *flags],
            "env": [
                {"name": "POD_IP", "valueFrom": own_address},
                *({"name": name, "value": value} for name, value in env.items()),
            ],
            "ports": [{"name": "http", "containerPort": 8000}],
            "readinessProbe": {
                "httpGet": {"path": "/v2/health/ready", "port": 8000},
                "periodSeconds": 1,
            },
            "resources": {
                # Without any it would have next to no CPU beside the gateways'.
                "requests": {"cpu": "50m"},
                "limits": {"nvidia.com/gpu": str(self.gpus)} if self.gpus else {},
            },
            "volumeMounts": [
                *({"name": n, "mountPath": at, "readOnly": True} for n, at in host.items()),
                *(
                    {"name": "model", "mountPath": f"{folder}/{at}", "subPath": key}
                    for key, at in files.items()
                ),
            ],
        }
        return {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 2,
            "containers": [container],
            "volumes": [
                *({"name": n, "hostPath": {"path": at}} for n, at in on_node.items()),
                {"name": "model", "configMap": {"name": self.name}},
            ],
        }

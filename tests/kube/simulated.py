"""Simulated nodes and kubelets (kwok): many pods on a control plane, none of them real.

A pod that the scheduler has placed is running and ready at once, at the address it is given; one
that is deleted is gone at once.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from scripts.kube.binaries import find
from tests.kube.plane import ControlPlane

__all__ = ["Simulation"]

_MARK = "kwok.x-k8s.io/node=fake"
_RUNNING = """
{{ $now := Now | Quote }}
phase: Running
startTime: {{ $now }}
podIP: ADDRESS
podIPs: [{ip: ADDRESS}]
conditions:
{{ range $kind := list "Initialized" "ContainersReady" "Ready" }}
- {type: {{ $kind }}, status: "True", lastTransitionTime: {{ $now }}}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: true
  started: true
  restartCount: 0
  state: {running: {startedAt: {{ $now }}}}
{{ end }}
"""


class Simulation:
    """kwok beside a control plane; it looks after the nodes marked for it (`mark`)."""

    def __init__(self, plane: ControlPlane, folder: Path, *, address: str) -> None:
        self._plane, self._folder = plane, folder
        self._process: subprocess.Popen[bytes] | None = None
        stages = [
            _stage("Pod", _running(address)),
            _stage("Pod", _deleted()),
            _stage("Node", _NODE),
        ]
        self._config = folder / "stages.yaml"
        self._config.write_text("---\n".join(json.dumps(each) + "\n" for each in stages))

    def start(self) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", str(find("kwok"))]
        command += ["--kubeconfig", str(self._plane.kubeconfig), "--config", str(self._config)]
        command += ["--manage-all-nodes=false", "--manage-nodes-with-annotation-selector", _MARK]
        with (self._folder / "kwok.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def mark(self, node: dict[str, Any]) -> dict[str, Any]:
        """`node`, with the annotation that gives it to the simulation."""
        name, _, value = _MARK.partition("=")
        metadata = {**node["metadata"], "annotations": {name: value}}
        return {**node, "metadata": metadata}


_NODE = {
    "name": "node",
    "selector": {"matchExpressions": [{"key": ".status.phase", "operator": "DoesNotExist"}]},
    "next": {"statusTemplate": "phase: Running"},
}


def _stage(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    about = {"resourceRef": {"apiGroup": "v1", "kind": kind}}
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": spec["name"]},
        "spec": {**about, "selector": spec["selector"], "next": spec["next"]},
    }


def _running(address: str) -> dict[str, Any]:
    expressions = [
        {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
        {"key": ".status.phase", "operator": "In", "values": ["Pending"]},
    ]
    return {
        "name": "running",
        "selector": {"matchExpressions": expressions},
        "next": {"statusTemplate": _RUNNING.replace("ADDRESS", address)},
    }


def _deleted() -> dict[str, Any]:
    expression = {"key": ".metadata.deletionTimestamp", "operator": "Exists"}
    return {
        "name": "deleted",
        "selector": {"matchExpressions": [expression]},
        "next": {"delete": True},
    }

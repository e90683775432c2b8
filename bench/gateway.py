"""ebbtide itself as a process that is measured: `ebbtide up` over manifests made for the case.

The models are `triton` to ebbtide (the calls are V2), and whatever speaks V2 behind it.
"""

import http.client
import json
import os
import ssl
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from bench.process import DiedError, Process, free_port

__all__ = ["Answer", "Gateway", "ask", "deployment", "infer_path"]

_ROOT = Path(__file__).resolve().parent.parent
_FIXED = {"ebbtide.dev/runtime": "triton", "ebbtide.dev/warm-up": "none", "ebbtide.dev/slots": "64"}
_POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Gateway:
    """A running `ebbtide up`, ready to take requests. Leaving the context ends it."""

    def __init__(
        self,
        manifests: Sequence[Mapping[str, Any]],
        *,
        gpus: int,
        folder: Path,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        folder.mkdir(parents=True)
        manifest = folder / "models.yaml"
        # JSON is YAML too.
        manifest.write_text("\n---\n".join(json.dumps(made, indent=1) for made in manifests))
        self.port, self.admin_port = free_port(), free_port()
        command: list[str | Path] = [Path(sys.executable).with_name("ebbtide"), "up", manifest]
        ports = ["--port", str(self.port), "--admin-port", str(self.admin_port)]
        self.process = Process(
            [*command, "--gpus", str(gpus), *ports],
            log=folder / "ebbtide.log",
            env={**_environment(folder / "state"), **settings},
        )

    def __enter__(self) -> Self:
        try:
            self.process.wait_until(self._ready, what="ready")
        except BaseException:
            self.process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    def model(self, name: str) -> Any:
        """The admin port's view of one model."""
        answer = ask(self.admin_port, "GET", f"/api/models/{name}")
        if answer.status != 200:
            msg = f"the admin port answered {answer.status} {answer.body[:200]!r} for {name}"
            raise DiedError(msg)
        return answer.json()

    def _ready(self) -> bool:
        try:
            return ask(self.admin_port, "GET", "/readyz").status == 200
        except OSError:
            return False


def _environment(state: Path) -> dict[str, str]:
    """This one's, with ebbtide's own settings at their defaults but for where it keeps things."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("EBBTIDE_")}
    return {**kept, "EBBTIDE_STATE_DIR": str(state)}


def ask(
    port: int,
    method: str,
    path: str,
    body: str | None = None,
    *,
    wait: float = 30,
    tls: bool = False,
) -> Answer:
    """One request to 127.0.0.1 on a connection of its own; no certificate is checked."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=wait)
    if tls:
        unchecked = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=wait, context=unchecked)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(status=response.status, body=response.read())
    finally:
        connection.close()


def infer_path(model: str) -> str:
    """Where a V2 inference goes."""
    return f"/v2/models/{model}/infer"


def deployment(
    name: str, command: Sequence[str], *, annotations: Mapping[str, str], gpus: int = 1
) -> dict[str, Any]:
    """A Deployment of one container that runs `command` here; `$(POD_IP)` is its address."""
    keys = {"ebbtide.dev/model": name, **_FIXED}
    keys |= {f"ebbtide.dev/{key}": value for key, value in annotations.items()}
    container = {
        "name": "server",
        "image": "none",
        "command": list(command),
        "env": [_POD_IP, {"name": "PYTHONPATH", "value": str(_ROOT)}],
        "ports": [{"name": "http", "containerPort": 8000}],
        "resources": {"limits": {"nvidia.com/gpu": gpus}},
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "annotations": keys},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 5, "containers": [container]},
            },
        },
    }

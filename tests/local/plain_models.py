"""Deployments of plain model servers that tests bring themselves: a program and its address."""

import json
import sys
from pathlib import Path


def write_plain_model(
    folder: Path, name: str, *program: str, allow: str, **annotations: str
) -> Path:
    """Write the manifest of a model that Python runs as `program`; returns it.

    `$(POD_IP)` in `program` is the replica's address, and 9000 its port.
    """
    keys = {"model": name, "runtime": "plain", "allow": allow, **annotations}
    container = {
        "name": "model",
        "command": [sys.executable, *program],
        "ports": [{"name": "http", "containerPort": 9000}],
    }
    document = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "annotations": {
                f"ebbtide.dev/{key.replace('_', '-')}": value for key, value in keys.items()
            },
        },
        "spec": {
            "template": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}
        },
    }
    manifest = folder / f"{name}.json"
    manifest.write_text(json.dumps(document))
    return manifest

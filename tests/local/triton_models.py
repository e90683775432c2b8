"""Small real models for Triton's python backend, and the Deployments that serve them."""

import json
from pathlib import Path

_CODE = """\
import json
import os
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        load_s, self.run_s, fail = {load_s!r}, {run_s!r}, {fail!r}
        self.hold = {hold!r}
        time.sleep(load_s)
        while {gate!r} and not os.path.exists({gate!r}):
            time.sleep(0.02)
        if fail:
            raise RuntimeError(fail)
        self.count = 0

    def execute(self, requests):
        answers = []
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            time.sleep(self.run_s)
            while self.hold and os.path.exists(self.hold):
                time.sleep(0.02)
            self.count += 1
            out = np.stack([values * 2, np.full_like(values, self.count)])
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", out)]))
        return answers
"""

_CONFIG = """\
backend: "python"
max_batch_size: 0
input [ {{ name: "X" data_type: TYPE_INT64 dims: [ 1 ] }} ]
output [ {{ name: "Y" data_type: TYPE_INT64 dims: [ 2, 1 ] }} ]
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
"""


_COUNTING = """\
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            count = int(pb_utils.get_input_tensor_by_name(request, "X").as_numpy()[0])
            sender = request.get_response_sender()
            for n in range(count):
                out = pb_utils.Tensor("Y", np.array([n], dtype=np.int64))
                sender.send(pb_utils.InferenceResponse([out]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None
"""

_DECOUPLED = """\
backend: "python"
max_batch_size: 0
model_transaction_policy { decoupled: true }
input [ { name: "X" data_type: TYPE_INT64 dims: [ 1 ] } ]
output [ { name: "Y" data_type: TYPE_INT64 dims: [ 1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
"""


def write_counting_model(folder: Path, name: str, **annotations: object) -> Path:
    """As `write_model`, of a decoupled model that answers 0, 1, ... below `X`, each on its own."""
    version = folder / "models" / name / name / "1"
    version.mkdir(parents=True, exist_ok=True)
    (version / "model.py").write_text(_COUNTING)
    (version.parent / "config.pbtxt").write_text(_DECOUPLED)
    manifest = folder / f"{name}.json"
    manifest.write_text(json.dumps(deployment(name, annotations)))
    return manifest


def write_model(
    folder: Path,
    name: str,
    *,
    load_s: float = 0.0,
    run_s: float = 0.0,
    fail: str = "",
    instances: int = 1,
    gate: str = "",
    hold: str = "",
    **annotations: object,
) -> Path:
    """Write a model repository and its manifest; returns the manifest.

    It loads until the file `gate` is there, and answers nothing while the file `hold` is, if those
    are named. It doubles `X` and says the
    how-manieth request of its process that was.
    """
    version = folder / "models" / name / name / "1"
    version.mkdir(parents=True, exist_ok=True)
    code = _CODE.format(load_s=load_s, run_s=run_s, fail=fail, gate=gate, hold=hold)
    (version / "model.py").write_text(code)
    (version.parent / "config.pbtxt").write_text(_CONFIG.format(instances=instances))
    manifest = folder / f"{name}.json"
    manifest.write_text(json.dumps(deployment(name, annotations)))
    return manifest


def deployment(name: str, annotations: dict[str, object]) -> dict[str, object]:
    """An ordinary Deployment of Triton with a model repository in a volume."""
    keys = {
        f"ebbtide.dev/{key.replace('_', '-')}": str(value) for key, value in annotations.items()
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "annotations": {
                "ebbtide.dev/model": name,
                "ebbtide.dev/local.volume.models": f"./models/{name}",
                **keys,
            },
        },
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "containers": [
                        {
                            "name": "triton",
                            "image": "nvcr.io/nvidia/tritonserver:24.10-py3",
                            "command": ["tritonserver"],
                            "args": ["--model-repository=/models"],
                            "resources": {"limits": {"nvidia.com/gpu": "1"}},
                            "volumeMounts": [{"name": "models", "mountPath": "/models"}],
                        }
                    ],
                    "volumes": [
                        {"name": "models", "persistentVolumeClaim": {"claimName": "models"}}
                    ],
                },
            },
        },
    }


def infer_body(value: int) -> bytes:
    """A V2 inference request for such a model."""
    tensor = {"name": "X", "datatype": "INT64", "shape": [1], "data": [value]}
    return json.dumps({"inputs": [tensor]}).encode()


def answer_of(body: bytes) -> tuple[int, int]:
    """(the doubled value, the how-manieth request of its process) of a V2 answer."""
    doubled, count = json.loads(body)["outputs"][0]["data"]
    return doubled, count

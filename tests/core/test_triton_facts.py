"""What Triton says of a model, turned into slots, a made-up request and a reading."""

import json
from typing import Any

import pytest

from fleet.runtimes import Reading
from fleet.runtimes.triton_facts import made_up_request, reading_in, slots_in


@pytest.mark.parametrize(
    ("config", "slots"),
    [
        ({"max_batch_size": 8, "instance_group": [{"count": 2, "gpus": []}]}, 32),
        ({"max_batch_size": 0, "instance_group": [{"count": 3, "gpus": []}]}, 6),
        ({"max_batch_size": 4, "instance_group": [{"count": 1, "gpus": [0, 1]}]}, 16),
        ({"instance_group": [{"count": 1}, {"count": 2, "passive": True}]}, 2),
        ({"max_batch_size": 8, "model_transaction_policy": {"decoupled": True}}, 64),
        ({"max_batch_size": 8, "platform": "ensemble"}, 16),
        ({}, 16),
        ({"max_batch_size": 2**31, "instance_group": [{"count": 2**31}]}, 100_000),
    ],
)
def test_slots_follow_the_configuration(config: dict[str, Any], slots: int) -> None:
    assert slots_in(config) == slots


@pytest.mark.parametrize(
    "config", [{"instance_group": 3}, {"max_batch_size": None}, {"max_batch_size": float("inf")}]
)
def test_what_is_no_configuration_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="configuration"):
        slots_in(config)


def test_a_made_up_request_is_as_small_as_its_shapes_allow() -> None:
    metadata = {
        "inputs": [
            {"name": "image", "datatype": "FP16", "shape": [-1, 3, -1]},
            {"name": "words", "datatype": "BYTES", "shape": [2]},
        ]
    }
    headers, body = made_up_request(metadata)
    length = int(headers["Inference-Header-Content-Length"])
    head, data = json.loads(body[:length]), body[length:]
    assert [tensor["shape"] for tensor in head["inputs"]] == [[1, 3, 1], [2]]
    sizes = [tensor["parameters"]["binary_data_size"] for tensor in head["inputs"]]
    assert sizes == [6, 2 * 11]
    assert data == bytes(6) + b"\x07\0\0\0ebbtide" * 2


@pytest.mark.parametrize(
    "tensor",
    [
        {"name": "a", "datatype": "QUATERNION", "shape": [1]},
        {"name": "a", "datatype": "FP64", "shape": [10**9]},
        {"name": "a", "datatype": "FP64"},
        {"name": "a", "datatype": "FP64", "shape": "xy"},
        7,
    ],
)
def test_what_no_request_can_be_made_for_is_refused(tensor: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        made_up_request({"inputs": [tensor]})


METRICS = """# HELP nv_inference_request_success Number
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="a",version="1"} 5
nv_inference_request_success{model="a",version="2"} 2
nv_inference_request_success{model="b",version="1"} 100
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{model="a",reason="OTHER",version="1"} 1
nv_inference_request_failure{model="a",reason="BACKEND",version="1"} 3
# TYPE nv_inference_compute_infer_duration_us counter
nv_inference_compute_infer_duration_us{model="a",version="1"} 1500000
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="a",version="1"} 4
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.5
nv_gpu_utilization{gpu_uuid="GPU-2"} 1
"""


def test_a_reading_is_of_the_models_asked_for() -> None:
    expected = Reading(pending=4, gpu_use=0.75, compute_s=1.5, completions=11)
    assert reading_in(METRICS, ["a"]) == expected
    assert reading_in(METRICS, ["a", "b"]).completions == 111


def test_what_is_absent_is_unknown_and_never_0() -> None:
    assert reading_in("", ["a"]) == Reading()
    assert reading_in(METRICS, ["z"]) == Reading(gpu_use=0.75)
    bare = "".join(line for line in METRICS.splitlines(True) if "gpu" not in line)
    assert reading_in(bare, ["a"]).gpu_use is None
    assert reading_in('nv_inference_pending_request_count{model="a"} NaN\n', ["a"]).pending is None
    assert reading_in('nv_inference_pending_request_count{model="a"} 1e308\n', ["a"]).pending == 1e9
    assert reading_in("nv_gpu_utilization 77\n", ["a"]).gpu_use is None


@pytest.mark.parametrize("text", ['nv_a{model="x" 1\n', "{}{}\n", "nv_gpu_utilization one\n"])
def test_what_is_no_metrics_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not metrics"):
        reading_in(text, ["a"])

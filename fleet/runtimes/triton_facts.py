"""What Triton says of a model, turned into ours: slots, rest, a made-up request, a reading. Pure.

All take what came over the wire and raise `ValueError` when it is not what Triton sends.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Metric

from fleet.runtimes import Reading

__all__ = ["MOST_SLOTS", "made_up_request", "reading_in", "sequence_idle_in", "slots_in"]

_DECOUPLED = 64
_UNKNOWN = 16
MOST_SLOTS = 100_000
"""As many as the annotation may say."""
_MOST_PENDING = 10**9
_SEQUENCE_IDLE_S = 1.0
_AHEAD = 2
"""One batch being computed and one waiting, so that an instance never runs dry."""

_MADE_UP_LIMIT = 64 * 2**20
_WORD = b"ebbtide"
_SIZES = {
    "BOOL": 1,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "FP16": 2,
    "BF16": 2,
    "FP32": 4,
    "FP64": 8,
}


def slots_in(config: Mapping[str, Any]) -> int:
    """Requests at once that a model's configuration has room for.

    Decoupled models: 64. Else max batch (1 if it does not batch) x instances x 2; 16 where there
    are no instances of its own (an ensemble).
    """
    try:
        if config.get("model_transaction_policy", {}).get("decoupled"):
            return _DECOUPLED
        instances = sum(_instances(group) for group in config.get("instance_group", ()))
        batch = max(1, int(config.get("max_batch_size", 0)))
    except (AttributeError, TypeError, OverflowError) as error:
        msg = "not a model configuration"
        raise ValueError(msg) from error
    return min(batch * instances * _AHEAD, MOST_SLOTS) if instances > 0 else _UNKNOWN


def sequence_idle_in(config: Mapping[str, Any]) -> float | None:
    """How long a sequence may rest, in seconds, where the model batches sequences; else None."""
    try:
        batching = config.get("sequence_batching")
        if batching is None:
            return None
        told = int(batching.get("max_sequence_idle_microseconds", 0)) / 1e6
    except (AttributeError, TypeError, OverflowError) as error:
        msg = "not a model configuration"
        raise ValueError(msg) from error
    # Triton takes 0 for its default.
    return told if told > 0 else _SEQUENCE_IDLE_S


def _instances(group: Mapping[str, Any]) -> int:
    if group.get("passive"):
        return 0
    # `count` is per GPU of the group.
    return int(group.get("count", 1)) * max(1, len(group.get("gpus", ())))


def made_up_request(metadata: Mapping[str, Any]) -> tuple[Mapping[str, str], bytes]:
    """Headers and body of an inference with all inputs zero, each as small as its shape allows.

    In the binary form of the protocol, since FP16 has no other and zeros as text are large.
    """
    inputs: list[dict[str, object]] = []
    tensors: list[bytes] = []
    try:
        for tensor in metadata["inputs"]:
            shape = [size if size > 0 else 1 for size in map(int, tensor["shape"])]
            data = _zeros(str(tensor["datatype"]), math.prod(shape))
            tensors.append(data)
            inputs.append(
                {
                    "name": str(tensor["name"]),
                    "datatype": str(tensor["datatype"]),
                    "shape": shape,
                    "parameters": {"binary_data_size": len(data)},
                }
            )
    except (KeyError, TypeError) as error:
        msg = "not a model's metadata"
        raise ValueError(msg) from error
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    return headers, b"".join((head, *tensors))


def _zeros(datatype: str, elements: int) -> bytes:
    text = len(_WORD).to_bytes(4, "little") + _WORD
    size = len(text) if datatype == "BYTES" else _SIZES.get(datatype)
    if size is None:
        msg = f"data type {datatype}: none that an input can be made up for"
        raise ValueError(msg)
    if elements * size > _MADE_UP_LIMIT:
        msg = f"an input of {elements} x {datatype} is too large to make up"
        raise ValueError(msg)
    return text * elements if datatype == "BYTES" else bytes(elements * size)


def reading_in(metrics: str, models: Sequence[str]) -> Reading:
    """The load of `models`, out of Triton's metrics; what they do not tell is None.

    GPU use is the average over the GPUs of the process.
    """
    found: dict[str, list[Metric]] = {}
    try:
        for family in text_string_to_metric_families(metrics):
            for sample in family.samples:
                # The parser ends every counter's name in _total; Triton's own names do not.
                found.setdefault(sample.name.removesuffix("_total"), []).append(sample)
    except (ValueError, IndexError, KeyError) as error:
        msg = f"not metrics: {error}"
        raise ValueError(msg) from error

    def total(name: str) -> float | None:
        values = [s.value for s in found.get(name, ()) if s.labels.get("model") in models]
        return math.fsum(values) if values and all(map(math.isfinite, values)) else None

    pending = total("nv_inference_pending_request_count")
    compute = total("nv_inference_compute_infer_duration_us")
    succeeded = total("nv_inference_request_success")
    failed = total("nv_inference_request_failure")
    uses = [s.value for s in found.get("nv_gpu_utilization", ()) if 0.0 <= s.value <= 1.0]
    return Reading(
        pending=None if pending is None else int(min(pending, _MOST_PENDING)),
        gpu_use=math.fsum(uses) / len(uses) if uses else None,
        compute_s=None if compute is None else compute / 1e6,
        completions=None if succeeded is None else int(succeeded + (failed or 0.0)),
    )

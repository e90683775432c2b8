"""How many GPUs a pod holds on its node, counted as the scheduler counts. Pure.

Rule 1: containers run side by side, init containers one after the other before them, sidecars
        (init containers that are restarted) from their turn on: the most of any moment counts.
Rule 2: they are held from the pod's placement on a node until it has ended (`Succeeded` or
        `Failed`) or is gone, whoever's pod it is; a pod that is being stopped holds them still.
"""

from collections.abc import Mapping

from fleet.cluster.kubernetes.fields import entries, keyed, text
from fleet.kubernetes.objects import Object
from fleet.podtemplate import is_gpu

__all__ = ["asked", "count", "ended", "held"]

_MOST = 2**31
_DIGITS = 10


def count(value: object) -> int:
    """The whole number that a quantity of GPUs is; 0 for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST:
        return value
    return 0


def ended(pod: Object) -> bool:
    """Whether all of it has ended for good."""
    return text(pod, "status", "phase") in ("Succeeded", "Failed")


def held(pod: Object) -> Mapping[str, int]:
    """The GPUs that it holds now, by resource."""
    return asked(pod) if text(pod, "spec", "nodeName") and not ended(pod) else {}


def asked(pod: Object) -> Mapping[str, int]:
    """The GPUs that it needs on a node, by resource."""
    sidecars: dict[str, int] = {}
    most: dict[str, int] = {}
    for container in entries(pod, "spec", "initContainers"):
        wants = _of_container(container)
        if text(container, "restartPolicy") == "Always":
            _add(sidecars, wants)
            wants = {}
        _raise(most, _sum(sidecars, wants))
    whole = dict(sidecars)
    for container in entries(pod, "spec", "containers"):
        _add(whole, _of_container(container))
    _raise(most, whole)
    return most


def _of_container(container: object) -> dict[str, int]:
    limits = keyed(container, "resources", "limits")
    requests = keyed(container, "resources", "requests")
    wants = {key: count(requests.get(key, limits.get(key))) for key in {**limits, **requests}}
    return {key: number for key, number in wants.items() if number and is_gpu(key)}


def _add(total: dict[str, int], wants: Mapping[str, int]) -> None:
    for key, number in wants.items():
        total[key] = total.get(key, 0) + number


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    total = dict(one)
    _add(total, other)
    return total


def _raise(most: dict[str, int], now: Mapping[str, int]) -> None:
    for key, number in now.items():
        most[key] = max(most.get(key, 0), number)

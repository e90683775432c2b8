"""What a history of Deployments and pods says about scale and GPUs. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from tests.kube.watching import Event

__all__ = [
    "first_wakes",
    "holders",
    "most_at_once",
    "most_unschedulable",
    "replica_counts",
    "wakes",
]

_GPU = "nvidia.com/gpu"


def replica_counts(events: Iterable[Event]) -> dict[str, list[int]]:
    """`spec.replicas` of each Deployment as it changed, first value first."""
    counts: dict[str, list[int]] = {}
    for event in events:
        if event.kind == "DELETED":
            continue
        seen = counts.setdefault(event.name, [])
        wanted = event.object["spec"].get("replicas", 1)
        if not seen or seen[-1] != wanted:
            seen.append(wanted)
    return counts


def wakes(events: Iterable[Event]) -> list[str]:
    """Names of Deployments in the order of their 0 -> n."""
    before: dict[str, int] = {}
    woken = []
    for event in events:
        wanted = event.object["spec"].get("replicas", 1)
        if before.get(event.name) == 0 and wanted > 0:
            woken.append(event.name)
        before[event.name] = wanted
    return woken


def first_wakes(events: Iterable[Event]) -> dict[str, float]:
    """When each Deployment was first seen to leave 0."""
    asleep: set[str] = set()
    woken: dict[str, float] = {}
    for event in events:
        if event.object["spec"].get("replicas", 1) == 0:
            asleep.add(event.name)
        elif event.name in asleep:
            woken.setdefault(event.name, event.at)
    return woken


def most_unschedulable(events: Iterable[Event]) -> int:
    """The most pods at one time that the scheduler said it could not place."""
    waiting: set[str] = set()
    most = 0
    for event in events:
        if event.kind != "DELETED" and _unschedulable(event.object):
            waiting.add(event.name)
        else:
            waiting.discard(event.name)
        most = max(most, len(waiting))
    return most


def holders(events: Iterable[Event]) -> list[frozenset[str]]:
    """After each change of a pod: the pods that hold a GPU, as the scheduler counts."""
    held: set[str] = set()
    history = []
    for event in events:
        if event.kind != "DELETED" and _holds_gpu(event.object):
            held.add(event.name)
        else:
            held.discard(event.name)
        history.append(frozenset(held))
    return history


def most_at_once(events: Iterable[Event]) -> int:
    """The most pods that ever held a GPU at one time."""
    return max((len(each) for each in holders(events)), default=0)


def _unschedulable(pod: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and any(
        condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable"
        for condition in pod["status"].get("conditions", ())
    )


def _holds_gpu(pod: Mapping[str, Any]) -> bool:
    """Placed on a node, and not through: a pod that is ending still has it."""
    placed = bool(pod["spec"].get("nodeName"))
    through = pod["status"].get("phase") in ("Succeeded", "Failed")
    asks = any(
        _GPU in each.get("resources", {}).get("limits", {}) for each in pod["spec"]["containers"]
    )
    return placed and asks and not through

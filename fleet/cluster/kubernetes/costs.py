"""Which pod Kubernetes takes first when a count is lowered: the lowest deletion cost. Pure.

Rule 1: only where some stay does it matter who goes: then the drained have the lowest cost there
        is, and nobody else has it.
Rule 2: no other cost is ever written or taken away: those are the operator's. One that is as low
        would put a pod that still serves beside the drained, so that one goes.
"""

from collections.abc import Collection, Mapping

from fleet.cluster.kubernetes.objects import DELETION_COST

__all__ = ["DELETION_COST", "FIRST", "cost_changes"]

FIRST = "-2147483648"
"""The lowest that Kubernetes takes."""


def cost_changes(
    costs: Mapping[str, str | None], drained: Collection[str]
) -> Mapping[str, str | None]:
    """What to write on which pod, None to take it away; `costs`: what is on the pods now."""
    first = set(drained) & costs.keys()
    if len(first) == len(costs):
        first = set()
    wanted = {pod: FIRST if pod in first else None for pod in costs}
    return {
        pod: cost
        for pod, cost in wanted.items()
        if cost != costs[pod] and (cost == FIRST or costs[pod] == FIRST)
    }

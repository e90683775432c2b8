"""The GPUs by node and by class, within the budget. Pure.

Rule 1: free is what is allocatable less what all pods there hold, whoever's they are; nothing is
        free on a node that takes no new pods.
Rule 2: to be counted on is what is not held by pods that ebbtide has no say about. Those being
        stopped come back, unless their deletion is stuck.
Rule 3: a number in the budget bounds what there is. Where nodes may not be read it is taken for
        what there is, and so is, without a number, what ebbtide's own replicas hold.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fleet.gpubudget import GpuBudget
from fleet.model import GpuNode, GpuPool, Problem

__all__ = ["Share", "gpu_node", "gpu_pools", "uncounted"]

_SETTING = "EBBTIDE_GPU_BUDGET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The GPUs of one class on one node, by who has them."""

    node: str
    gpu_class: str
    allocatable: int
    usable: bool
    """Whether new pods may come."""
    ours: int = 0
    """Held by replicas."""
    going: int = 0
    """Held by other pods that are being stopped."""
    others: int = 0
    """Held by other pods."""

    @property
    def free(self) -> int:
        """What nobody holds, if it can be had."""
        left = self.allocatable - self.ours - self.going - self.others
        return max(0, left) if self.usable else 0

    @property
    def total(self) -> int:
        """What may be counted on."""
        return max(0, self.allocatable - self.others) if self.usable else self.ours


def gpu_node(share: Share) -> GpuNode:
    """The node as a snapshot has it."""
    return GpuNode(
        name=share.node,
        gpu_class=share.gpu_class,
        total=share.total,
        free=share.free,
        usable=share.usable,
    )


def gpu_pools(
    shares: Iterable[Share] | None,
    budget: GpuBudget,
    *,
    classes: Iterable[str],
    held: Mapping[str, int],
) -> tuple[GpuPool, ...]:
    """The pools, by name; `shares` is None where nodes may not be read.

    `classes` are those that revisions ask for, `held` what replicas hold where no node tells.
    """
    found: dict[str, list[Share]] = {name: [] for name in (*classes, *budget.classes, *held)}
    for share in shares or ():
        found.setdefault(share.gpu_class, []).append(share)
    return tuple(
        _counted(name, found[name], budget)
        if shares is not None
        else _uncounted(name, held.get(name, 0), budget)
        for name in sorted(found)
    )


def _counted(name: str, shares: Sequence[Share], budget: GpuBudget) -> GpuPool:
    total, free = sum(each.total for each in shares), sum(each.free for each in shares)
    ours, allowance = sum(each.ours for each in shares), budget.of(name)
    if allowance.most is None:
        return GpuPool(name=name, total=total, free=free)
    return GpuPool(
        name=name,
        total=min(total, allowance.most),
        free=min(free, max(0, allowance.most - ours)),
        elastic=max(0, allowance.most - total) if allowance.elastic else 0,
        grows=allowance.elastic,
    )


def _uncounted(name: str, held: int, budget: GpuBudget) -> GpuPool:
    allowance = budget.of(name)
    if allowance.most is None:
        return GpuPool(name=name, total=held, free=0)
    if allowance.elastic:
        # How many there are by now is not known beyond what is held.
        return GpuPool(
            name=name,
            total=min(held, allowance.most),
            free=0,
            elastic=max(0, allowance.most - held),
            grows=True,
        )
    return GpuPool(name=name, total=allowance.most, free=max(0, allowance.most - held))


def uncounted(budget: GpuBudget, classes: Iterable[str]) -> list[Problem]:
    """What is wrong with a budget that counts what is there where nodes may not be read."""
    return [
        Problem(
            source=_SETTING,
            deployment="",
            key=name,
            value="present",
            allowed="a number, or elastic:MAX: nodes may not be read, so nobody knows how many",
            warning=True,
        )
        for name in sorted(set(classes))
        if budget.of(name).most is None
    ]

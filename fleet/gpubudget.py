"""How many GPUs of each class ebbtide may count on: the setting `EBBTIDE_GPU_BUDGET`. Pure.

Written as one allowance for all classes, or as `CLASS=ALLOWANCE` with commas between, where `*`
stands for every class not named. An allowance is `present` (those there are), a number (of those
there are, at most so many), or `elastic:MAX` (a cluster autoscaler adds nodes for more, up to MAX
in all).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["PRESENT", "Allowance", "GpuBudget", "parse_budget"]

_MOST = 100_000
_NUMBER = re.compile(r"[0-9]{1,6}")
# Values of a label, and names of resources.
_CLASS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_OTHERS = "*"
_ALLOWANCE = f"present, a number from 0 to {_MOST}, or elastic:MAX"
_FORM = f"{_ALLOWANCE}; or such for each class, as in NVIDIA-A100-SXM4-80GB=8, *=present"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What may be counted on of one class."""

    most: int | None = None
    """At most so many; None: as many as there are."""
    elastic: bool = False
    """Whether those up to `most` that are not there may be asked for."""


PRESENT = Allowance()


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuBudget:
    """The allowances of all classes."""

    others: Allowance = PRESENT
    """Of classes that are not named."""
    classes: Mapping[str, Allowance] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, gpu_class: str) -> Allowance:
        """The allowance of a class."""
        return self.classes.get(gpu_class, self.others)


def parse_budget(text: str) -> GpuBudget:
    """The budget that `text` says. Raises `ValueError` with what is allowed."""
    if "=" not in text:
        return GpuBudget(others=_allowance(text.strip()))
    found: dict[str, Allowance] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not (name == _OTHERS or _CLASS.fullmatch(name)):
            raise ValueError(_FORM)
        if name in found:
            msg = f"{name} only once"
            raise ValueError(msg)
        found[name] = _allowance(value)
    others = found.pop(_OTHERS, PRESENT)
    return GpuBudget(others=others, classes=MappingProxyType(found))


def _allowance(text: str) -> Allowance:
    if text == "present":
        return PRESENT
    number = text.removeprefix("elastic:")
    if not _NUMBER.fullmatch(number) or int(number) > _MOST:
        raise ValueError(_FORM)
    return Allowance(most=int(number), elastic=number != text)

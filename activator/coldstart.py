"""What one cold start spent its time on, from the first arrival to the first byte."""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["ColdStart"]

_STEPS = ("arrived", "written", "started", "listening", "ready", "first_byte")
_PHASES = ("ask", "wait_for_gpu", "load", "probe", "first_inference")


class ColdStart:
    """The moments of one cold start, on the process's clock; each is noted once."""

    __slots__ = ("_at",)

    def __init__(self, arrived: float) -> None:
        self._at = {"arrived": arrived}

    def note(self, step: str, at: float) -> None:
        """`step` happened, if it had not yet: written, started, listening, ready, first_byte."""
        self._at.setdefault(step, at)

    @property
    def seconds(self) -> float | None:
        """From the first arrival to the first byte; None before that."""
        end = self._at.get("first_byte")
        return None if end is None else end - self._at["arrived"]

    def phases(self) -> Mapping[str, float]:
        """Seconds by phase: ask, wait_for_gpu, load, probe, first_inference; those known so far.

        A step that came earlier than the arrival (the replica was starting anyway) counts as 0.
        """
        known: dict[str, float] = {}
        reached = self._at["arrived"]
        for phase, step in zip(_PHASES, _STEPS[1:], strict=True):
            at = self._at.get(step)
            if at is None:
                continue
            known[phase] = max(0.0, at - reached)
            reached = max(reached, at)
        return MappingProxyType(known)

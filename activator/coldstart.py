"""What one cold start spent its time on, from the first arrival to the first byte."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from fleet.model import Phase, Replica

__all__ = ["ColdStart", "ColdStarts"]

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


class ColdStarts:
    """The cold starts of one revision: how many, and the one under way."""

    __slots__ = ("_last", "_under_way", "count", "last_s")

    def __init__(self) -> None:
        self.count = 0
        self.last_s: float | None = None
        """How long the last one took."""
        self._under_way: ColdStart | None = None
        self._last: ColdStart | None = None

    @property
    def under_way(self) -> bool:
        """Whether one has begun and not ended."""
        return self._under_way is not None

    def begin(self, now: float) -> None:
        """Somebody waits, and nothing is ready."""
        self._under_way = ColdStart(now)

    def follow(self, replicas: Iterable[Replica], now: float, *, written: int) -> None:
        """Note what these say; `written`: how many the Deployment wants."""
        cold = self._under_way
        if cold is None:
            return
        if written:
            cold.note("written", now)
        for replica in replicas:
            if replica.phase is Phase.LOADING and replica.started is not None:
                cold.note("started", replica.started)
                if replica.address is not None:
                    cold.note("listening", now)

    def ready(self, at: float) -> None:
        """The model answers."""
        if self._under_way is not None:
            self._under_way.note("ready", at)

    def end(self, now: float) -> None:
        """The first byte of an answer to somebody who found nothing ready."""
        cold = self._under_way
        if cold is None:
            return
        cold.note("first_byte", now)
        self.count += 1
        self.last_s = cold.seconds
        self._last, self._under_way = cold, None

    def give_up(self) -> None:
        """It will not end."""
        self._under_way = None

    def phases(self) -> Mapping[str, float]:
        """Seconds by phase of the one under way, else of the last one."""
        cold = self._under_way or self._last
        return {} if cold is None else cold.phases()

"""What `decide` remembers of one revision between looks: one immutable value. Pure.

Losing it (a restart) never lowers a scale: nothing is taken away among 1..n before the wishes reach
back a full stable window, and nothing sleeps before its server was looked at twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

from autoscaler.core.panic import Panic
from autoscaler.core.seen import Load, Seen
from autoscaler.core.servers import Tracks, follow, gpu_use
from autoscaler.core.trial import Trial
from autoscaler.core.window import UNKNOWN, Meter, Steps, Unknown, Window

__all__ = ["Memory", "Tuning", "learn", "remember_nothing"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The windows, seconds."""

    stable: float = 60.0
    panic: float = 6.0
    tick: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Windows, panic, a trial, what the servers counted, what was measured."""

    tuning: Tuning
    meter: Meter
    flow: Window
    """`Counted` of all gateways together."""
    queue: Steps
    """Requests waiting, at the gateways and inside the servers."""
    use: Steps
    """GPU use, averaged over the replicas."""
    wishes: Steps
    """Replicas that would do: what the scale may be lowered to is their sliding maximum."""
    panic: Panic = field(default_factory=Panic)
    trial: Trial = field(default_factory=Trial)
    servers: Tracks = field(default_factory=lambda: MappingProxyType({}))
    slots: int | None = None
    """The last known slots of a replica."""
    ready_after: float | None = None
    """The last measured time to ready."""

    def delay(self) -> float:
        """How long fewer replicas must have been enough: the stable window, or a cold start."""
        return max(self.tuning.stable, self.ready_after or 0.0)


def remember_nothing(tuning: Tuning) -> Memory:
    """The memory of a revision that is looked at for the first time."""
    return Memory(
        tuning=tuning,
        meter=Meter(),
        flow=Window(span=tuning.stable),
        queue=Steps(span=2 * tuning.panic),
        use=Steps(span=tuning.panic),
        wishes=Steps(span=tuning.stable),
    )


def learn(memory: Memory, seen: Seen, now: float) -> Memory:
    """Take in what was seen, known or not."""
    tuning = memory.tuning
    servers = follow(memory.servers, seen, span=tuning.stable, tick=tuning.tick)
    memory = replace(
        memory, servers=servers, ready_after=_last(memory.ready_after, _ready_after(seen))
    )
    load = seen.load
    if isinstance(load, Unknown):
        return memory
    meter = memory.meter.take(load.counters)
    return replace(
        memory,
        meter=meter,
        flow=memory.flow.add(load.at, meter.total),
        queue=memory.queue.add(now, load.waiting + seen.pending),
        use=_use(memory, seen, load, now),
        slots=_last(memory.slots, load.slots),
    )


def _last(old: _T | None, new: _T | None) -> _T | None:
    return old if new is None else new


def _ready_after(seen: Seen) -> float | None:
    measured = [member for member in seen.ready if member.ready_after is not None]
    youngest = max(measured, key=lambda member: member.since, default=None)
    return youngest.ready_after if youngest else None


def _use(memory: Memory, seen: Seen, load: Load, now: float) -> Steps:
    """An average over the replicas that are known; a moment nobody is known at ends the window."""
    uses: Iterable[float | Unknown] = (
        gpu_use(
            member,
            memory.servers.get(member.name),
            longest_s=load.longest_s,
            least=memory.tuning.panic,
        )
        for member in seen.ready
    )
    known = [use for use in uses if use is not UNKNOWN]
    if not known:
        return Steps(span=memory.use.span)
    return memory.use.add(now, sum(known) / len(known))

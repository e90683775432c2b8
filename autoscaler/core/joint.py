"""Queue depth and GPU use, read together: how many replicas among 1..n. Pure.

| queue | GPU | answer |
|---|---|---|
| grows | busy | add: the most that the windows, the load or the queue ask for |
| grows | not measured | add by queue alone |
| grows, 90 % of the slots used everywhere | idle | one replica on trial (`trial.py`) |
| grows, slots free | idle | add nothing: the shortage is not the GPU's |
| empty | busy | take nothing away: a batch, or callers that bypass the gateway |
| empty | idle or not measured | what the windows say, down after the delay |

Rule 1: the windows of `panic.py` may add whenever the GPU is not known to be idle.
Rule 2: fewer only after fewer would have done for the whole delay, not in panic, not while
        something waits, not while a reading is missing, and not before the memory reaches back
        that far.
"""

from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType

from autoscaler.core.memory import Memory
from autoscaler.core.panic import Wanted
from autoscaler.core.seen import Choice, Counted, Load, Seen
from autoscaler.core.sizing import BUSY, DRAIN_WITHIN, replicas_for
from autoscaler.core.window import Unknown
from fleet.model import Phase, Policy
from fleet.reasons import Reason

__all__ = ["among"]

_FULL = 0.9


class _Queue(Enum):
    EMPTY = "empty"
    SHRINKS = "shrinks"
    GROWS = "grows"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """What each rule asks for, in replicas."""

    queue: _Queue
    use: float | None
    full: bool
    wanted: Wanted
    n_load: int = 0
    n_drain: int = 0
    n_util: int = 0
    completions: float | None = None

    @property
    def busy(self) -> bool:
        return self.use is not None and self.use >= BUSY - 1e-9

    @property
    def idle(self) -> bool:
        return self.use is not None and not self.busy


def among(
    memory: Memory, seen: Seen, load: Load, *, policy: Policy, now: float
) -> tuple[Memory, Choice]:
    """Replicas for a revision that has at least one, its load known; never 0."""
    slots = policy.slots or memory.slots
    if slots is None:
        return memory, Choice(
            after=seen.replicas,
            reason=Reason.HOLD,
            message="its slots are known once its first replica is",
        )
    figures = _figures(memory, seen, load, room=(slots, slots * policy.target), now=now)
    window = memory.tuning.stable
    wanted = figures.wanted
    # An idle GPU is not helped by another one: such a queue neither starts panic nor prolongs it.
    calm = replace(wanted, panic=0) if figures.idle else wanted
    panic = memory.panic.step(calm, now=now, window=window)
    least = max(1, panic.wish(calm), figures.n_load, figures.n_drain, figures.n_util)
    wishes = replace(memory.wishes, span=memory.delay()).add(now, least)
    trial = memory.trial.step(
        replicas=seen.replicas,
        ready=seen.count(Phase.READY),
        completions=figures.completions,
        now=now,
        window=window,
    )
    memory = replace(memory, panic=panic, wishes=wishes, trial=trial)
    memory, choice = _choose(memory, seen, figures, now=now)
    return memory, replace(choice, inputs=_shown(figures))


def _figures(
    memory: Memory, seen: Seen, load: Load, *, room: tuple[float, float], now: float
) -> _Figures:
    slots, aim = room
    tuning = memory.tuning
    waiting = load.waiting + seen.pending
    before = memory.queue.at(now - tuning.panic)
    grows = waiting > 0 and not (not isinstance(before, Unknown) and waiting < before)
    shrinking = _Queue.SHRINKS if waiting else _Queue.EMPTY
    use = memory.use.mean(now - tuning.panic)
    known = None if isinstance(use, Unknown) else use
    stable, short = memory.flow.rates(tuning.stable), memory.flow.rates(tuning.panic)
    capacity = seen.count(Phase.READY, Phase.LOADING, Phase.PENDING)
    figures = _Figures(
        queue=_Queue.GROWS if grows else shrinking,
        use=known,
        full=all(member.running >= _FULL * slots for member in seen.ready) and bool(seen.ready),
        wanted=Wanted(stable=seen.replicas, panic=0, capacity=capacity),
        n_util=replicas_for(len(seen.ready) * (known or 0.0), BUSY),
    )
    if isinstance(stable, Unknown) or isinstance(short, Unknown):
        return figures
    rates, recent = Counted(*stable), Counted(*short)
    service = rates.service_s / rates.completions if rates.completions else 0.0
    arriving = rates.arrivals * service
    return replace(
        figures,
        wanted=Wanted(
            stable=replicas_for(rates.demand_s, aim),
            panic=replicas_for(recent.demand_s, aim),
            capacity=capacity,
        ),
        n_load=replicas_for(arriving, aim),
        n_drain=replicas_for(load.waiting / DRAIN_WITHIN * service + arriving, slots),
        completions=_since_trial(memory, now),
    )


def _since_trial(memory: Memory, now: float) -> float | None:
    """Completions per second: before a trial over the stable window, in one since it was ready."""
    began = memory.trial.ready_at
    span = memory.tuning.stable if began is None else now - began
    if span < memory.tuning.panic:
        return None
    rates = memory.flow.rates(span)
    return None if isinstance(rates, Unknown) else Counted(*rates).completions


def _choose(memory: Memory, seen: Seen, figures: _Figures, *, now: float) -> tuple[Memory, Choice]:
    n = seen.replicas
    panicking = memory.panic.on(now, memory.tuning.stable)
    if memory.trial.failed and memory.trial.base is not None:
        return memory, _take_back(memory, n, panicking=panicking)
    if figures.idle and figures.queue is _Queue.GROWS:
        return _idle_and_growing(memory, seen, figures, now=now)
    if figures.idle or memory.trial.running:
        return memory, _fewer(memory, seen, figures, now=now)
    wish = max(memory.panic.wish(figures.wanted), 1)
    if figures.queue is _Queue.GROWS:
        wish = max(wish, figures.n_load, figures.n_drain, figures.n_util if figures.busy else 1)
    if wish <= n:
        return memory, _fewer(memory, seen, figures, now=now)
    if panicking:
        return memory, Choice(after=wish, reason=Reason.PANIC)
    if figures.queue is not _Queue.GROWS:
        return memory, Choice(after=wish, reason=Reason.STABLE)
    reason = Reason.QUEUE_AND_GPU if figures.busy else Reason.QUEUE_ALONE
    return memory, Choice(after=wish, reason=reason)


def _take_back(memory: Memory, n: int, *, panicking: bool) -> Choice:
    if panicking:
        return Choice(after=n, reason=Reason.PANIC)
    return Choice(
        after=min(n, memory.trial.base or n),
        reason=Reason.TRIAL_FAILED,
        message="completions did not rise: look at batching, instances and pre-processing",
    )


def _idle_and_growing(
    memory: Memory, seen: Seen, figures: _Figures, *, now: float
) -> tuple[Memory, Choice]:
    n = seen.replicas
    if not figures.full:
        return memory, Choice(
            after=n, reason=Reason.SLOTS_FREE, message="requests wait although slots are free"
        )
    known = figures.completions is not None
    if memory.trial.may_start(now) and known and len(seen.ready) == n:
        trial = memory.trial.start(base=n, completions=figures.completions or 0.0)
        return replace(memory, trial=trial), Choice(after=n + 1, reason=Reason.TRIAL)
    return memory, Choice(
        after=n,
        reason=Reason.GPU_IDLE_QUEUE_GROWS,
        message="look at batching, the instance count, and pre-processing on the CPU",
    )


def _fewer(memory: Memory, seen: Seen, figures: _Figures, *, now: float) -> Choice:
    """As many as there are, or fewer where nothing forbids it."""
    n = seen.replicas
    if memory.panic.on(now, memory.tuning.stable):
        return Choice(after=n, reason=Reason.PANIC)
    enough, newest = memory.wishes.highest(now - memory.delay()), memory.wishes.at(now)
    if isinstance(enough, Unknown) or isinstance(newest, Unknown) or newest >= n:
        return Choice(after=n, reason=Reason.STABLE)
    if enough >= n:
        return Choice(after=n, reason=Reason.SCALE_DOWN_DELAY)
    held = _forbids(memory, seen, figures, now=now)
    if held is not None:
        return Choice(after=n, reason=held)
    return Choice(after=max(1, int(enough)), reason=Reason.SCALE_DOWN)


def _forbids(memory: Memory, seen: Seen, figures: _Figures, *, now: float) -> Reason | None:
    if not memory.wishes.covers(now - memory.delay()):
        return Reason.SCALE_DOWN_DELAY
    if figures.queue is not _Queue.EMPTY or memory.trial.running:
        return Reason.HOLD
    if figures.busy:
        return Reason.GPU_BUSY
    return Reason.UNKNOWN_READING if seen.servers_silent else None


def _shown(figures: _Figures) -> MappingProxyType[str, float | int | str | None]:
    return MappingProxyType(
        {
            "queue": figures.queue.value,
            "gpu_use": figures.use,
            "stable": figures.wanted.stable,
            "panic": figures.wanted.panic,
            "capacity": figures.wanted.capacity,
            "n_load": figures.n_load,
            "n_drain": figures.n_drain,
            "n_util": figures.n_util,
        }
    )

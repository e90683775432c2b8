"""How many replicas one revision should have, and why: a function of values. Pure.

Rule 1: 1 -> 0 belongs to the idle clock alone (and to starting being given up); the windows and
        the table of queue and GPU choose among 1..n; 0 -> 1 follows whoever waits, or the minimum.
Rule 2: a reading that is missing holds the scale: it may be raised to the minimum, or to one for
        those who are known to wait, and is never lowered.
Rule 3: what the operator scales (`mode: off`), or something else in the cluster (a second writer),
        stays as it is, whatever the load and the minimum.
Rule 4: the answer is bounded by minimum and maximum; what the GPUs allow is `budget.py`'s to say.
"""

from dataclasses import dataclass, replace
from types import MappingProxyType

from autoscaler.core.idle import idle_clock
from autoscaler.core.joint import among
from autoscaler.core.memory import Memory, learn
from autoscaler.core.seen import Choice, Inputs, Load, Seen
from autoscaler.core.window import Unknown
from fleet.model import Mode, Phase, Policy
from fleet.reasons import Reason

__all__ = ["Decision", "decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer for one revision, with what it was decided on."""

    before: int
    after: int
    reason: Reason
    message: str
    inputs: Inputs
    memory: Memory
    """To be given to the next `decide`."""


def decide(memory: Memory, seen: Seen, policy: Policy, now: float) -> Decision:
    """Replicas for one revision at `now` (seconds, the clock that `seen` is on)."""
    memory = learn(memory, seen, now)
    memory, choice = _choose(memory, seen, policy, now)
    return Decision(
        before=seen.replicas,
        after=choice.after,
        reason=choice.reason,
        message=choice.message,
        inputs=MappingProxyType({**_inputs(memory, seen, now), **choice.inputs}),
        memory=memory,
    )


def _choose(memory: Memory, seen: Seen, policy: Policy, now: float) -> tuple[Memory, Choice]:
    load = seen.load
    others = _others(seen, policy)
    if others is not None:
        return memory, others
    if isinstance(load, Unknown):
        # What may have been needed meanwhile counts as needed.
        held = replace(memory, wishes=memory.wishes.add(now, seen.replicas))
        return held, _unknown(seen, policy)
    if seen.blocked is not None:
        # Replicas that are ready prove themselves; what does not get ready gives its GPU back.
        after = min(seen.replicas, seen.count(Phase.READY))
        return memory, Choice(after=after, reason=Reason.START_FAILED, message=seen.blocked)
    if seen.replicas == 0:
        return memory, _asleep(load, policy)
    return _awake(memory, seen, load, policy=policy, now=now)


def _others(seen: Seen, policy: Policy) -> Choice | None:
    """As it is, where the scale is not ebbtide's to decide."""
    if policy.mode is Mode.OFF:
        return Choice(after=seen.replicas, reason=Reason.MODE_OFF)
    if seen.second_writer and policy.mode is Mode.AUTO:
        return Choice(after=seen.replicas, reason=Reason.SECOND_WRITER, message=seen.second_writer)
    return None


def _unknown(seen: Seen, policy: Policy) -> Choice:
    low = _low(policy)
    if seen.blocked is None and seen.waiting and not seen.replicas:
        # Whoever else waits or not: these do.
        return _demand(policy)
    if seen.replicas < low and seen.blocked is None:
        return Choice(after=low, reason=_minimum(policy))
    return Choice(
        after=seen.replicas,
        reason=Reason.UNKNOWN_READING,
        message="a gateway's sample is missing or old",
    )


def _asleep(load: Load, policy: Policy) -> Choice:
    low = _low(policy)
    if load.waiting:
        return _demand(policy)
    if low:
        return Choice(after=low, reason=_minimum(policy))
    return Choice(after=0, reason=Reason.IDLE)


def _demand(policy: Policy) -> Choice:
    return Choice(after=min(max(1, _low(policy)), policy.max_replicas), reason=Reason.DEMAND)


def _awake(
    memory: Memory, seen: Seen, load: Load, *, policy: Policy, now: float
) -> tuple[Memory, Choice]:
    clock = idle_clock(memory, seen, policy, now)
    if clock is not None and clock.due and policy.minimum == 0:
        return memory, Choice(after=0, reason=clock.reason, message=clock.message)
    memory, choice = among(memory, seen, load, policy=policy, now=now)
    low, high = _low(policy), max(1, policy.max_replicas)
    if choice.after > high:
        choice = replace(choice, after=high, reason=Reason.MAXIMUM)
    elif choice.after < low:
        choice = replace(choice, after=low, reason=_minimum(policy))
    elif clock is not None and choice.after == seen.replicas and choice.reason is Reason.STABLE:
        choice = replace(choice, reason=clock.reason, message=clock.message)
    return memory, choice


def _low(policy: Policy) -> int:
    """The minimum; a maximum below it wins, since it bounds what is spent."""
    return min(policy.minimum, max(policy.max_replicas, 1 if policy.pinned else 0))


def _minimum(policy: Policy) -> Reason:
    return Reason.PINNED if policy.pinned else Reason.MINIMUM


def _inputs(memory: Memory, seen: Seen, now: float) -> Inputs:
    load = seen.load
    known = None if isinstance(load, Unknown) else load
    idle_since = seen.idle_since
    return {
        "waiting": known.waiting if known else None,
        "running": known.running if known else None,
        "oldest_wait": known.oldest_wait if known else None,
        "server_pending": seen.pending if seen.servers_known else None,
        "ready": seen.count(Phase.READY),
        "loading": seen.count(Phase.LOADING),
        "pending": seen.count(Phase.PENDING),
        "slots": memory.slots,
        "ready_after": memory.ready_after,
        "idle_s": None if idle_since is None else now - idle_since,
    }

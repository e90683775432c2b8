"""Which models need not be decided anew at every look: those that sleep undisturbed. Pure.

Rule 1: one may rest that has no replica and none wanted, that nobody waits for, and that every
        gateway was heard of. Its answer is 0 until something of that changes, whatever the time:
        `decide` has no clock for a model without replicas.
Rule 2: its windows say the same with one look at the end of the rest as with one every tick: the
        integrals stood still, and the queue was empty all along.
"""

from dataclasses import replace

from autoscaler.core.arrange import Case
from autoscaler.core.memory import Memory, learn
from autoscaler.core.seen import Seen
from autoscaler.core.window import Unknown

__all__ = ["caught_up", "rests"]


def rests(case: Case) -> bool:
    """Whether the same is decided at the next look, if it sees the same."""
    return (
        case.asleep
        and not isinstance(case.seen.load, Unknown)
        and case.seen.blocked is None
        and case.revision.drain is None
    )


def caught_up(memory: Memory, seen: Seen, *, at: float, now: float) -> Memory:
    """The memory after looks that all saw `seen`, the last of them at `now`.

    `at`: when the newest sample of that look came in.
    """
    load = seen.load
    if isinstance(load, Unknown) or at <= load.at:
        return memory
    return learn(memory, replace(seen, load=replace(load, at=at)), now)

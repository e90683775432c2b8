"""Which models need not be decided anew at every look: those that nothing happens to. Pure.

Rule 1: one may rest that has no replica and none wanted, that nobody waits for, and that every
        gateway was heard of. Its answer is 0 until something of that changes, whatever the time:
        `decide` has no clock for a model without replicas.
Rule 2: so may one that has what it should have, all of it ready and idle, and whose windows say one
        thing throughout. Then time alone changes its answer at moments that are known beforehand:
        when its keep-alive is over, when the windows reach back far enough, and when what was
        wanted once leaves them.
Rule 3: its windows say the same with one look at the end of the rest as with one every tick: the
        integrals stood still, and the queue was empty all along.
"""

from dataclasses import replace
from math import inf

from autoscaler.core.arrange import Case
from autoscaler.core.keepalive import keep_alive
from autoscaler.core.memory import Memory, learn
from autoscaler.core.seen import Seen, ServerSeen
from autoscaler.core.servers import busy
from autoscaler.core.window import UNKNOWN, Unknown
from fleet.reasons import Reason

__all__ = ["caught_up", "rests_until", "same_answer"]

_OPEN = frozenset({Reason.UNKNOWN_READING, Reason.GPU_BUSY})
"""What the model servers say next decides."""


def rests_until(case: Case, now: float) -> float:
    """Until when all looks that see the same decide the same; `now`: it may not rest."""
    if (
        isinstance(case.seen.load, Unknown)
        or case.seen.blocked is not None
        or case.revision.drain is not None
    ):
        return now
    if case.asleep:
        return inf
    return _changes(case, now) if _content(case) and _calm(case) else now


def _content(case: Case) -> bool:
    """It has what it should have, and nobody does anything there."""
    seen, load, footing = case.seen, case.seen.load, case.footing
    has = len(seen.members) == len(seen.ready) == seen.replicas == case.decision.after
    used = isinstance(load, Unknown) or load.opening or seen.idle_since is None
    sure = footing.settled and footing.sure and not footing.behind
    return has and sure and not (used or case.promised or case.decision.reason in _OPEN)


def _calm(case: Case) -> bool:
    """Its windows say one thing throughout, and so do its model servers."""
    memory = case.decision.memory
    tried = memory.panic.over_at is not None or memory.trial.base is not None
    bypassed = any(track.bypassed for track in memory.servers.values())
    working = any(
        isinstance(member.server, ServerSeen) and busy(member.server) for member in case.seen.ready
    )
    return memory.flow.still and memory.use.constant and not (tried or bypassed or working)


def _changes(case: Case, now: float) -> float:
    """When the first of its clocks ends that runs."""
    memory, policy = case.decision.memory, case.revision.policy
    delay = memory.delay()
    clocks = [
        (memory.wishes.fell_at, delay),
        (memory.wishes.began, delay),
        (case.seen.idle_since or 0.0, keep_alive(policy.keep_alive, memory.ready_after)),
    ]
    # Asked as those ask who go by it: a sum may be rounded to the other side.
    return min((since + span for since, span in clocks if now - since < span), default=inf)


def same_answer(before: object, after: object) -> bool:
    """Whether a model server says nothing new; one that was not asked says nothing at all."""
    if not isinstance(after, ServerSeen):
        return (after is UNKNOWN) is (before is UNKNOWN)
    return isinstance(before, ServerSeen) and replace(before, at=after.at) == after


def caught_up(memory: Memory, seen: Seen, *, at: float, now: float) -> Memory:
    """The memory after looks that all saw `seen`, the last of them at `now`.

    `at`: when the newest sample of that look came in.
    """
    load = seen.load
    if isinstance(load, Unknown) or at <= load.at:
        return memory
    return learn(memory, replace(seen, load=replace(load, at=at)), now)

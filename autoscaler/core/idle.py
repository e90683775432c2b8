"""The idle clock: it alone decides 1 -> 0. Pure.

Rule 1: it runs from the later of Ready and the end of the last request, for the keep-alive.
Rule 2: it ends only while nothing waits or runs at any member gateway, nothing loads (a wake once
        written is carried to its end), and every model server is at rest.
Rule 3: what is not known stops it: an unheard gateway or server never lowers a scale.
"""

from dataclasses import dataclass

from autoscaler.core.keepalive import keep_alive
from autoscaler.core.memory import Memory
from autoscaler.core.seen import Seen
from autoscaler.core.servers import at_rest
from autoscaler.core.window import Unknown
from fleet.model import Phase, Policy
from fleet.reasons import Reason

__all__ = ["IdleClock", "idle_clock"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleClock:
    """Where the idle clock stands."""

    due: bool
    reason: Reason
    message: str = ""


def idle_clock(memory: Memory, seen: Seen, policy: Policy, now: float) -> IdleClock | None:
    """The clock of a revision that is ready; None while it does not run."""
    since, load = seen.idle_since, seen.load
    if since is None or isinstance(load, Unknown) or seen.count(Phase.LOADING):
        return None
    keep = keep_alive(policy.keep_alive, memory.ready_after)
    idle = now - since
    if idle < keep:
        return IdleClock(
            due=False, reason=Reason.IDLE, message=f"its keep-alive of {keep:g} s goes on"
        )
    if seen.servers_silent:
        return IdleClock(
            due=False, reason=Reason.UNKNOWN_READING, message="a model server does not answer"
        )
    if not all(
        at_rest(member, memory.servers.get(member.name), longest_s=load.longest_s)
        for member in seen.ready
    ):
        return IdleClock(
            due=False,
            reason=Reason.GPU_BUSY,
            message="the model server is not known to be at rest: callers that bypass the gateway?",
        )
    return IdleClock(due=True, reason=Reason.KEEP_ALIVE, message=f"idle for its {keep:g} s")

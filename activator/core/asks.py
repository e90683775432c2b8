"""When to wake, whom to ask, and what somebody who waits in vain is told. Pure.

Rule 1: only demand wakes, and only where ebbtide may scale (`mode: auto`, no second writer).
Rule 2: with a vacant GPU (`core.vacancy`) the activator writes 0 -> 1 itself; else it pokes the
        leader, which chooses evict, grow or wait. A leader that is silent is not waited for.
Rule 3: level-triggered: the same facts give the same answer, however often they are looked at.
"""

from enum import Enum

from fleet.model import Fleet, Mode, Phase, Revision
from fleet.reasons import Reason

__all__ = ["Ask", "ask", "hopeless", "in_vain"]


class Ask(Enum):
    """What to do for those who wait."""

    NOTHING = "nothing"
    WRITE = "write"
    POKE = "poke"


def ask(revision: Revision, fleet: Fleet, *, waiting: int, blocked: bool, vacant: bool) -> Ask:
    """What the revision needs for `waiting` requests and no ready replica.

    `vacant`: this gateway may ask for a first replica by itself.
    """
    if waiting == 0 or blocked or not _may_wake(revision):
        return Ask.NOTHING
    if revision.replicas > 0:
        # Wanted already. Pending for want of a GPU is the leader's to settle.
        pending = any(replica.phase is Phase.PENDING for replica in fleet.of(revision.name))
        return Ask.POKE if pending else Ask.NOTHING
    return Ask.WRITE if vacant else Ask.POKE


def hopeless(
    revision: Revision, fleet: Fleet, *, blocked: bool, possible: bool = True
) -> Reason | None:
    """Why someone who arrives with nothing ready is refused at once; None to let it wait.

    `possible`: there are, were a moment ago, or may come to be, as many GPUs as it needs.
    """
    if blocked:
        return Reason.START_FAILED
    if not possible:
        # No wait brings GPUs that are not there.
        return Reason.NO_FREE_GPU
    if revision.replicas == 0 and not _may_wake(revision):
        stopping = (Phase.DRAINING, Phase.FAILED)
        if all(replica.phase in stopping for replica in fleet.of(revision.name)):
            return Reason.SECOND_WRITER if revision.second_writer else Reason.ASLEEP
    return None


def in_vain(revision: Revision, fleet: Fleet, *, ready: int, free: int) -> Reason:
    """What someone whose time is up is told: the GPUs were busy, or just waited too long.

    `free`: GPUs that are free in one place where it may go.
    """
    if ready:
        return Reason.WAIT_TIMEOUT
    replicas = fleet.of(revision.name)
    if any(replica.phase is Phase.LOADING for replica in replicas):
        return Reason.WAIT_TIMEOUT
    pending = any(replica.phase is Phase.PENDING for replica in replicas)
    return Reason.NO_FREE_GPU if pending or revision.gpus > free else Reason.WAIT_TIMEOUT


def _may_wake(revision: Revision) -> bool:
    policy = revision.policy
    return policy.mode is Mode.AUTO and policy.max_replicas > 0 and not revision.second_writer

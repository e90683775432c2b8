"""What a leader must know of a revision, beyond its readings, to take replicas away. Pure.

Rule 1: the number of a drain is never used twice, by no leader: each term has numbers of its own,
        and a leader knows its own. A number read from the cluster is passed over, never counted on
        from: whoever may write a mark there would else choose the numbers of all others.
Rule 2: a mark of another term is taken over first: with a number and term of one's own, or cleared.
        So a late write of whoever made it meets another version.
Rule 3: once fewer were written, or may have been by whoever led before, nobody marked is taken back
        before it is certain that the cluster will not act on that any more.
Rule 4: gateways hear of Deployments and of pods apart. One that has not heard that a marked replica
        is gone would use it again without the mark: it stays marked until no gateway has it.
"""

from dataclasses import dataclass

from fleet.model import Drain, Revision
from fleet.names import ReplicaName

__all__ = ["Footing", "first_number", "hangs", "is_certain"]

_SOONEST = 1.0
"""Seconds until the cluster's word that it has acted counts: its pods are told of apart."""
_LATEST = 60.0
"""Seconds until it is not waited for any longer: a rollout that hangs hides that it has acted."""
_PER_TERM = 1 << 20


def first_number(term: int) -> int:
    """A number that all of this term are higher than, and all of earlier terms not."""
    return term * _PER_TERM


def hangs(*, unsettled: float) -> bool:
    """Whether what has not been settled for so many seconds may never be."""
    return unsettled >= _LATEST


def is_certain(revision: Revision, *, since: float) -> bool:
    """Whether the cluster has done all it will about a write of fewer, `since` seconds ago."""
    return since >= _LATEST or (since >= _SOONEST and revision.enacted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Footing:
    """On what one revision is decided."""

    term: int = 0
    """The leader's. 0: there is only ever one, and its gateways read the same snapshot as it."""
    last_drain: int = 0
    """The highest number that this leader has given a drain, of whatever revision."""
    settled: bool = True
    """`Revision.settled`."""
    hangs: bool = False
    """It has not been settled for long: its rollout may wait for what it holds itself."""
    refused: bool = False
    """The cluster would not have it written, a moment ago."""
    sure: bool = True
    """None that is here goes for what was written before."""
    behind: bool = False
    """A gateway knows a replica that the snapshot does not show."""
    lingering: frozenset[ReplicaName] = frozenset()
    """Marked ones that are gone, or on their way, and that a gateway may take for being there."""

    def foreign(self, drain: Drain | None) -> bool:
        """Whether another leader made this mark."""
        return drain is not None and drain.term != self.term

    def numbered(self, *used: int) -> int:
        """The next number that is none of `used`: numbers that were seen of this revision."""
        number = 1 + max(self.last_drain, first_number(self.term))
        while number in used:
            number += 1
        return number

"""Which sequences live, and on which replica. Pure; the ledger asks it for every step.

Rule 1: a sequence stays on the replica that its first step went to, also while that drains; it
        waits for that one alone, and its steps run one at a time, in order of arrival.
Rule 2: it lives until its last step has been answered, or until it has rested for as long as the
        model server keeps it. A new first step begins it anew.
Rule 3: a step whose replica is gone is lost: another replica does not know what went before.
Rule 4: a step of a sequence that nobody here has begun goes where its key leads, as every gateway
        would send it; the model server says whether it knows the sequence.
"""

from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping

from activator.core.seats import Seat, Sequence, Step
from fleet.names import ReplicaName

__all__ = ["Sequences"]


class Sequences:
    """The sequences of one revision. `idle_s`: how long one may rest."""

    __slots__ = ("_live", "idle_s")

    def __init__(self, idle_s: float) -> None:
        self.idle_s = idle_s
        self._live: OrderedDict[int, Sequence] = OrderedDict()
        """By the end of their last step, the oldest first."""

    def __len__(self) -> int:
        return len(self._live)

    def lost(self, step: Step, seats: Collection[ReplicaName]) -> bool:
        """Whether the replica that knows the sequence is none of `seats` any more."""
        found = self._live.get(step.key)
        if step.start:
            return False
        if found is None:
            return not seats
        return found.replica is not None and found.replica not in seats

    def arrive(self, step: Step, seats: Mapping[ReplicaName, Seat]) -> Sequence:
        """A step comes that is not lost; a first one begins anew where the old cannot go on."""
        found = self._live.get(step.key)
        if found is not None and step.start and found.replica is not None:
            seat = seats.get(found.replica)
            if seat is None or not (seat.open or found.held):
                # What still runs of the old one ends by itself.
                found = None
        if found is None:
            found = self._live[step.key] = Sequence()
        found.held += 1
        return found

    def leave(self, step: Step, sequence: Sequence, now: float, *, ran: bool) -> None:
        """A step is over, or waits no more."""
        sequence.held -= 1
        mine = self._live.get(step.key) is sequence
        if ran:
            sequence.runs = False
            sequence.last = now
            if mine:
                self._live.move_to_end(step.key)
        if mine and not sequence.held and (sequence.replica is None or (ran and step.end)):
            del self._live[step.key]

    def expire(self, now: float) -> set[ReplicaName]:
        """Forget those that have rested for too long; returns where they were."""
        freed: set[ReplicaName] = set()
        for key, one in list(self._live.items()):
            if one.held:
                continue
            if now - one.last < self.idle_s:
                break
            del self._live[key]
            if one.replica is not None:
                freed.add(one.replica)
        return freed

    def resting(self) -> Counter[ReplicaName]:
        """By replica, how many live there of which no step runs now."""
        return Counter(
            one.replica for one in self._live.values() if one.replica is not None and not one.runs
        )

"""What a line does about sequences: lost steps are refused, and replicas are let go at last.

The sequences themselves are the ledger's (`activator.core.sequences`).
"""

from collections.abc import Callable

from activator.core.ledger import Ledger, Seat, State, Ticket
from activator.core.seats import Step
from fleet.reasons import Reason

__all__ = ["Sequencing"]


class Sequencing:
    """The sequences of one line. `refuse` tells tickets that have left; `rested` that nothing runs
    for a sequence on a seat any more.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        refuse: Callable[[list[Ticket], Reason, float], None],
        rested: Callable[[Seat], None],
    ) -> None:
        self._ledger = ledger
        self._refuse = refuse
        self._rested = rested

    def admit(self, ticket: Ticket, step: Step) -> bool:
        """A ticket is a step. False: of a sequence whose replica is gone."""
        sequences = self._ledger.sequences
        if sequences is None:
            return True
        ticket.step, ticket.key = step, step.key
        if sequences.lost(step, self._ledger.seats):
            ticket.state = State.LEFT
            return False
        return True

    def look(self, now: float) -> None:
        """Refuse those whose replica is gone, and forget what has rested for too long."""
        ledger = self._ledger
        if ledger.sequences is None:
            return
        self._refuse(ledger.stranded(now), Reason.SEQUENCE_LOST, now)
        for name in ledger.sequences.expire(now):
            seat = ledger.seats.get(name)
            if seat is not None and seat.draining:
                self._rested(seat)

"""What a line puts into the journal: that it woke a model, and that a replica got ready."""

from activator.core.seats import Seat
from activator.wiring import Outside
from fleet.messages import Entry
from fleet.model import Revision
from fleet.reasons import Reason

__all__ = ["tell_ready", "tell_woken"]


def tell_woken(outside: Outside, revision: Revision) -> None:
    """The first replica was asked for."""
    outside.bus.append(
        Entry(
            at=outside.clock.wall(),
            revision=revision.name,
            model=revision.model,
            event="woken",
            reason=Reason.DEMAND,
            before=0,
            after=1,
        )
    )


def tell_ready(outside: Outside, revision: Revision, seat: Seat) -> None:
    """A replica's model answers."""
    outside.bus.append(
        Entry(
            at=outside.clock.wall(),
            revision=revision.name,
            model=revision.model,
            event="ready",
            seconds=seat.ready_after,
            replica=seat.name,
        )
    )

"""What a line puts on record: that it woke a model, that a replica got ready, that none can."""

import logging

from activator.core.seats import Seat
from activator.wiring import Outside
from fleet.messages import Entry
from fleet.model import Revision
from fleet.reasons import Reason
from fleet.starts import Failure
from fleet.telemetry import log

__all__ = ["tell_ready", "tell_start_failed", "tell_woken"]

_log = log(__name__)


def tell_woken(outside: Outside, revision: Revision) -> None:
    """The first replica was asked for."""
    _log("woken", revision=revision.name, reason=Reason.DEMAND.value)
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


def tell_start_failed(revision: Revision, failure: Failure) -> None:
    """Starting is given up for a while."""
    _log(
        "start_failed",
        level=logging.ERROR,
        model=revision.model,
        reason=failure.reason.value,
        message=failure.message,
    )

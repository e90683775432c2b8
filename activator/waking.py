"""Asks for a replica on behalf of those who wait for one revision. A shell around `core.asks`.

Rule 1: one wake at a time; it is decided on the newest snapshot, right before it is written.
Rule 2: whatever does not work out is looked at again: at the next snapshot, and every second; where
        the cluster did not answer, ever more slowly until a new snapshot shows that it does.
Rule 3: nobody waits for a leader that is silent.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from activator.core.asks import Ask, ask
from activator.core.ledger import Ledger
from activator.core.pokes import Pokes
from activator.wiring import Wiring
from fleet.errors import ConflictError, GoneError, UnavailableError
from fleet.model import Fleet, Revision
from fleet.reasons import Reason
from fleet.telemetry import log

__all__ = ["Sight", "Waking"]

_log = log(__name__)

_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How a revision stands."""

    revision: Revision
    fleet: Fleet
    blocked: bool
    """Starting it is given up for a while."""


class Waking:
    """The wake of one revision, if one is under way."""

    def __init__(
        self,
        wiring: Wiring,
        ledger: Ledger,
        *,
        sight: Callable[[], Sight],
        written: Callable[[], None],
    ) -> None:
        self._wiring = wiring
        self._ledger = ledger
        self._sight = sight
        self._written = written
        self._under_way = False
        self._pokes = Pokes()
        self._failed: Fleet | None = None
        """The snapshot that the last write was decided on, if the cluster did not answer it."""
        self._pause = 0.0
        self._not_before = 0.0

    def ask(self, now: float) -> None:
        """Do now what those who wait need; cheap to call again."""
        outside = self._wiring.outside
        what, sight = self._wanted(now), self._sight()
        name = sight.revision.name
        if what is Ask.WRITE and not self._under_way and self._may_write(sight.fleet, now):
            self._under_way = True
            self._wiring.vacancy.begin(sight.revision, now)
            outside.group.create_task(self._write(), name=f"wake {name}")
        elif what is Ask.POKE and self._pokes.due(now):
            self._pokes.sent(now)
            self._wiring.poke(name)
        elif what is Ask.NOTHING:
            self._pokes.over()
            outside.crowded(name)

    def _wanted(self, now: float) -> Ask:
        seats = self._ledger.seats.values()
        if any(not seat.draining for seat in seats):
            return Ask.NOTHING
        if seats:
            # All of them drain: only the leader can take that back.
            return Ask.POKE if self._ledger.waiting else Ask.NOTHING
        sight = self._sight()
        return ask(
            sight.revision,
            sight.fleet,
            waiting=self._ledger.waiting,
            blocked=sight.blocked,
            vacant=self._under_way or self._may_ask(sight, now),
        )

    def _may_ask(self, sight: Sight, now: float) -> bool:
        looked = self._wiring.outside.bus.last_look()
        if looked is not None:
            self._pokes.heard(looked.began)
        gateways = 1 if looked is None else looked.look.gateways
        return self._pokes.silent(now) or self._wiring.vacancy.has(
            sight.revision, sight.fleet, gateways=gateways, now=now
        )

    def _may_write(self, fleet: Fleet, now: float) -> bool:
        """Whether the cluster is not left alone for a moment."""
        if self._failed is None or now >= self._not_before:
            return True
        # It answers somebody again: no need to wait for long.
        return fleet is not self._failed and now >= self._not_before - self._pause + _PAUSE_S

    async def _write(self) -> None:
        """Write 0 -> 1."""
        now = self._wiring.outside.clock.now
        revision, fleet = self._sight().revision, self._sight().fleet
        written = again = False
        try:
            # Those who wait may have left, or others have written, since this was decided.
            if self._wanted(now()) is Ask.WRITE:
                await self._wiring.outside.cluster.scale(
                    revision.name, 1, expect=revision.version, reason=Reason.DEMAND
                )
                written = True
                self._failed = None
                self._pause = 0.0
                self._written()
                await self._wiring.outside.cluster.note(revision.name, "woken", "")
        except ConflictError:
            again = True
            _log("wake_decided_again", revision=revision.name)
        except GoneError as error:
            _log("wake_for_nothing", revision=revision.name, error=str(error))
        except UnavailableError as error:
            self._failed = fleet
            self._pause = min(_LONGEST_PAUSE_S, max(_PAUSE_S, 2 * self._pause))
            self._not_before = now() + self._pause
            _log("wake_failed", level=logging.WARNING, revision=revision.name, error=str(error))
        finally:
            self._under_way = False
            if again:
                self._wiring.vacancy.again(revision.name, now())
                if self._sight().revision.version != revision.version:
                    # The newer one came in before the answer: no other snapshot need follow.
                    self.ask(now())
            else:
                self._wiring.vacancy.end(revision.name, written=written)

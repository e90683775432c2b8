"""Asks for a replica on behalf of those who wait for one revision. A shell around `core.asks`.

Rule 1: one wake at a time; it is decided on the newest snapshot, right before it is written.
Rule 2: whatever does not work out is looked at again: at the next snapshot, and every second.
"""

import logging
from collections.abc import Callable

from activator.core.asks import Ask
from activator.wiring import Wiring
from fleet.errors import ConflictError, GoneError, UnavailableError
from fleet.model import Revision
from fleet.reasons import Reason
from fleet.telemetry import log

__all__ = ["Waking"]

_log = log(__name__)

_POKE_AGAIN_S = 1.0


class Waking:
    """The wake of one revision, if one is under way."""

    def __init__(
        self,
        wiring: Wiring,
        *,
        wanted: Callable[[], Ask],
        revision: Callable[[], Revision],
        written: Callable[[], None],
    ) -> None:
        self._wiring = wiring
        self._wanted = wanted
        self._revision = revision
        self._written = written
        self._under_way = False
        self._poked_at: float | None = None

    def ask(self, now: float) -> None:
        """Do now what those who wait need; cheap to call again."""
        what = self._wanted()
        if what is Ask.WRITE and not self._under_way:
            self._under_way = True
            self._wiring.outside.group.create_task(
                self._write(), name=f"wake {self._revision().name}"
            )
        elif what is Ask.POKE and self._may_poke(now):
            self._poked_at = now
            # The leader reads the sample: it must show who waits before the poke arrives.
            self._wiring.publish()
            self._wiring.outside.bus.poke(self._revision().name)
        elif what is Ask.NOTHING:
            self._wiring.outside.crowded(self._revision().name)

    def _may_poke(self, now: float) -> bool:
        return self._poked_at is None or now - self._poked_at >= _POKE_AGAIN_S

    async def _write(self) -> None:
        """Write 0 -> 1."""
        try:
            # Another revision's wake may have taken the GPU since this one was decided.
            if self._wanted() is Ask.WRITE:
                revision = self._revision()
                await self._wiring.outside.cluster.scale(
                    revision.name, 1, expect=revision.version, reason=Reason.DEMAND
                )
                self._written()
        except (ConflictError, GoneError) as error:
            _log("wake_decided_again", revision=self._revision().name, why=type(error).__name__)
        except UnavailableError as error:
            _log(
                "wake_failed",
                level=logging.WARNING,
                revision=self._revision().name,
                error=str(error),
            )
        finally:
            self._under_way = False

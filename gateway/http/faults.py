"""Log lines about requests that broke the rules of HTTP: who sent them, and what was wrong.

Rule: a handful a second. Whoever sends thousands is counted, in the metrics and in the next line.
"""

import asyncio
from collections.abc import Callable

from fleet.reasons import Reason
from fleet.telemetry import log

__all__ = ["Faults"]

_log = log(__name__)
_A_SECOND = 10
_LOGGED = frozenset(
    {
        Reason.MALFORMED,
        Reason.TARGET_TOO_LONG,
        Reason.HEAD_TOO_LARGE,
        Reason.REQUEST_LOOP,
    }
)


class Faults:
    """Writes the lines of one front."""

    __slots__ = ("_left", "_now", "_second", "_untold")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = -1
        self._left = 0
        self._untold = 0

    def tell(self, reason: Reason, detail: str, transport: asyncio.BaseTransport) -> None:
        """A request was refused for `reason`; only what breaks the protocol is told here."""
        if reason not in _LOGGED:
            return
        second = int(self._now())
        if second != self._second:
            self._second, self._left = second, _A_SECOND
        if not self._left:
            self._untold += 1
            return
        self._left -= 1
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else ""
        untold, self._untold = self._untold, 0
        _log("refused", reason=reason.value, detail=detail, peer=address, untold=untold)

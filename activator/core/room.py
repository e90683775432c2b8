"""How many may wait over all models, and with how many bytes. Pure.

Rule: it is counted where a ledger counts its own, and nowhere else, so the two agree
      (`tests/core/test_ledger.py`).
"""

from math import inf

from fleet.reasons import Reason

__all__ = ["Room"]


class Room:
    """What the ledgers of one hall share. 0: no limit."""

    __slots__ = ("_bytes", "_limit", "_limit_bytes", "waiting")

    def __init__(self, *, limit: int = 0, limit_bytes: int = 0) -> None:
        self.waiting = 0
        """Tickets that wait, over all ledgers."""
        self._bytes = 0
        self.limit(limit, limit_bytes)

    @property
    def waiting_bytes(self) -> int:
        """What is buffered for them."""
        return self._bytes

    def limit(self, count: int, size: int) -> None:
        """From now on so many may wait, with so many bytes; 0: no limit."""
        self._limit: float = count or inf
        self._limit_bytes: float = size or inf

    def full(self, size: int) -> Reason | None:
        """Why one more with `size` bytes may not wait."""
        if self.waiting >= self._limit:
            return Reason.GATEWAY_FULL
        if self._bytes + size > self._limit_bytes:
            return Reason.GATEWAY_BYTES_FULL
        return None

    def add(self, count: int, size: int) -> None:
        """So many more wait, or fewer where negative."""
        self.waiting += count
        self._bytes += size

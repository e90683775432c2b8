"""How many may wait over all models, and what all held bodies may take. Pure.

Rule 1: who waits is counted where a ledger counts its own, and nowhere else, so the two agree
        (`tests/core/test_ledger.py`).
Rule 2: a body is counted once: while it is gathered, then with its ticket while that waits, then
        again as gathered where it is kept to be sent once more.
"""

from math import inf

from fleet.reasons import Reason

__all__ = ["Room"]


class Room:
    """What the ledgers and the connections of one process share. 0: no limit."""

    __slots__ = ("_limit", "_limit_bytes", "_memory", "gathered", "waiting", "waiting_bytes")

    def __init__(self, *, limit: int = 0, limit_bytes: int = 0, memory: int = 0) -> None:
        self.waiting = 0
        """Tickets that wait, over all ledgers."""
        self.waiting_bytes = 0
        """What is buffered for them."""
        self.gathered = 0
        """What is buffered of other bodies."""
        self.limit(limit, limit_bytes, memory)

    @property
    def held(self) -> int:
        """What is buffered in all."""
        return self.waiting_bytes + self.gathered

    def limit(self, count: int, size: int, memory: int) -> None:
        """From now on so many may wait, with so many bytes; all held bodies may take `memory`."""
        self._limit: float = count or inf
        self._limit_bytes: float = size or inf
        self._memory: float = memory or inf

    def full(self, size: int) -> Reason | None:
        """Why one more with `size` bytes may not wait."""
        if self.waiting >= self._limit:
            return Reason.GATEWAY_FULL
        if self.waiting_bytes + size > self._limit_bytes:
            return Reason.GATEWAY_BYTES_FULL
        return None if self.has(size) else Reason.HELD_BODIES_FULL

    def holds(self, size: int) -> bool:
        """Whether the bytes of one more may wait."""
        return self.waiting_bytes + size <= self._limit_bytes and self.has(size)

    def add(self, count: int, size: int) -> None:
        """So many more wait, or fewer where negative."""
        self.waiting += count
        self.waiting_bytes += size

    def has(self, size: int) -> bool:
        """Whether so much more may be buffered; nothing more always may."""
        return not size or self.held + size <= self._memory

    def take(self, size: int) -> None:
        """So much more is buffered."""
        self.gathered += size

    def give_back(self, size: int) -> None:
        """So much is buffered no more, or is with a ticket now."""
        self.gathered -= size

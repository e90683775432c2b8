"""How many connections each client address has. Pure.

Rule: nothing is kept of an address without a connection.
"""

__all__ = ["Addresses"]


class Addresses:
    """Open connections, by address; of IPv6 by network (`gateway.core.callers.net_of`)."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, net: str) -> int:
        """One more; returns how many there are now."""
        self._open[net] = count = self._open.get(net, 0) + 1
        return count

    def leave(self, net: str) -> None:
        """One less."""
        count = self._open[net] - 1
        if count:
            self._open[net] = count
        else:
            del self._open[net]

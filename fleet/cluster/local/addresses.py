"""Loopback addresses: one for each replica, never given twice in a run.

All of 127.0.0.0/8 is local on Linux. Replicas get theirs out of 127.64.0.0/10, beginning at a
place derived from the process id, far from where another ebbtide with a near id begins.
"""

import ipaddress
from collections.abc import Callable

__all__ = ["Addresses"]

_FIRST = int(ipaddress.IPv4Address("127.64.0.0"))
_COUNT = 2**22
_STRIDE = 2_592_097
"""Odd, about 0.618 of the count: consecutive ids land far apart, and no two at one place."""
_TRIES = 16


class Addresses:
    """The addresses of the process `pid`."""

    def __init__(self, pid: int) -> None:
        self._next = pid * _STRIDE

    def take(self, *, free: Callable[[str], bool]) -> str:
        """The next address that is `free`.

        When none of 16 is, the last of them all the same: then something listens on all addresses
        of the machine, and the replica's own start will say so.
        """
        for _ in range(_TRIES):
            address = self._another()
            if free(address):
                break
        return address

    def _another(self) -> str:
        while True:
            number = _FIRST + self._next % _COUNT
            self._next += 1
            # Those that look like a network or a broadcast address are left out.
            if number & 0xFF not in (0, 0xFF):
                return str(ipaddress.IPv4Address(number))

"""Two ports between processes: who of several may write (`Lease`), and which gateways must be heard
before replicas are taken away (`Members`).

Adapters: `fleet.leases.fixed` (where no other process takes part); Leases in Kubernetes
(`leader`, `members`, and a gateway's own in `member`); fakes lie in `tests/fakes/leases.py`. One
contract test class per port holds for all of them (`tests/contract/test_leases.py`).

Rule 1: a lease is asked right before every write, and ends by the asker's own clock: whoever was
        stopped for a while finds it lost when it goes on, before anybody else can have it.
Rule 2: nothing that must hold for a request rests on a lease. A late write of a former holder is
        refused, or harmless, by the version that it was decided on; a lease only keeps two from
        undoing each other's work.
Rule 3: who is a member is never known by its samples: one that is silent is unknown, not gone.
"""

from collections.abc import Callable, Collection
from typing import Protocol

from fleet.names import GatewayName

__all__ = ["Lease", "Members"]


class Lease(Protocol):
    """The right to write. Cheap to ask."""

    @property
    def term(self) -> int:
        """Whose turn it is, as far as is known: grows with every holder, never falls.

        0 where there is only ever one.
        """
        ...

    def held(self) -> bool:
        """Whether this process holds it now, and for a while yet."""
        ...

    def subscribe(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Call `listener` when it is gained (True) or lost; returns what ends that."""
        ...


class Members(Protocol):
    """The gateways that may send requests to replicas."""

    def names(self) -> Collection[GatewayName]:
        """Those known now, from memory; empty while nothing is known."""
        ...

    async def confirm(self) -> Collection[GatewayName]:
        """Those there are: every one that took up its work before this was called.

        Raises `UnavailableError`.
        """
        ...

"""A `Lease` and `Members` that a test steers."""

from collections.abc import Callable, Collection

from fleet.names import GatewayName
from fleet.subscribers import Subscribers


class ScriptedLease:
    """Given and taken by the test."""

    def __init__(self, *, term: int = 0) -> None:
        self.term = term
        self._held = False
        self._listeners = Subscribers[bool]()

    def held(self) -> bool:
        return self._held

    def subscribe(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        return self._listeners.add(listener)

    def give(self, term: int) -> None:
        """It is this process's turn."""
        assert term > self.term
        self.term, self._held = term, True
        self._listeners.tell(True)

    def take(self, term: int | None = None) -> None:
        """It is another's turn, or nobody's."""
        self.term, self._held = max(self.term, term or 0), False
        self._listeners.tell(False)


class ScriptedMembers:
    """`there` are those that a list would show; `known` those of the last one."""

    def __init__(self, *names: str) -> None:
        self.there = {GatewayName(name) for name in names}
        self.known = set(self.there)
        self.error: Exception | None = None
        self.confirmed = 0

    def names(self) -> Collection[GatewayName]:
        return frozenset(self.known)

    async def confirm(self) -> Collection[GatewayName]:
        if self.error is not None:
            raise self.error
        self.confirmed += 1
        self.known = set(self.there)
        return frozenset(self.known)

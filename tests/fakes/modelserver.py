"""A scripted model server: held to the same contract as the real ones.

One object stands for the servers of all replicas; each is told apart by its address. It keeps to
the running loop's time, so it works in virtual time too.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from fleet.errors import UnavailableError
from fleet.runtimes import Endpoint, Reading


class ScriptedServer:
    """A `ModelServer` in memory.

    A replica's model answers `ready_after` seconds after it is first asked, unless a test steers it
    by hand (`wake`, `crash`, `hush`). `known` are the served names there are; None is any.
    """

    def __init__(
        self,
        *,
        ready_after: float = 0.0,
        slots: int = 4,
        warm_up_takes: float = 0.0,
        known: Sequence[str] | None = None,
    ) -> None:
        self.ready_after, self.warm_up_takes, self.slots_told = ready_after, warm_up_takes, slots
        self.known = known
        self.sequence_idle_s: float | None = None
        """What `sequence_idle` answers."""
        self.reading = Reading()
        """What `read` answers."""
        self.broken: Exception | None = None
        """Raised by all else while set; `ready` is then False."""
        self.asked: dict[str, int] = defaultdict(int)
        """How often each address was asked whether it is ready."""
        self.warm_ups: list[tuple[str, str, bytes | None]] = []
        """(address, model, request) of each warm-up that was begun."""
        self._awake_at: dict[str, float] = {}
        self._down: set[str] = set()
        self._silent: set[str] = set()

    # The port.

    async def ready(self, endpoint: Endpoint, models: Sequence[str], *, timeout: float) -> bool:
        address = endpoint.address
        self.asked[address] += 1
        now = asyncio.get_running_loop().time()
        awake_at = self._awake_at.setdefault(address, now + self.ready_after)
        try:
            await self._reach(address, timeout)
        except UnavailableError:
            return False
        return now >= awake_at and all(map(self._knows, models))

    async def slots(self, endpoint: Endpoint, models: Sequence[str], *, timeout: float) -> int:
        await self._reach(endpoint.address, timeout)
        for model in models:
            self._find(model)
        return self.slots_told

    async def sequence_idle(
        self, endpoint: Endpoint, models: Sequence[str], *, timeout: float
    ) -> float | None:
        await self._reach(endpoint.address, timeout)
        for model in models:
            self._find(model)
        return self.sequence_idle_s

    async def warm_up(
        self, endpoint: Endpoint, model: str, *, request: bytes | None, timeout: float
    ) -> None:
        await self._reach(endpoint.address, timeout)
        self._find(model)
        self.warm_ups.append((endpoint.address, model, request))
        await asyncio.sleep(min(self.warm_up_takes, timeout))
        if self.warm_up_takes > timeout:
            msg = "too slow"
            raise UnavailableError(msg)

    async def read(self, endpoint: Endpoint, models: Sequence[str], *, timeout: float) -> Reading:
        await self._reach(endpoint.address, timeout)
        return self.reading

    # The script.

    def wake(self, address: str) -> None:
        """The model at `address` answers from now on."""
        self._awake_at[address] = float("-inf")
        self._down.discard(address)
        self._silent.discard(address)

    def crash(self, address: str) -> None:
        """Nobody listens at `address` any more."""
        self._down.add(address)

    def hush(self, address: str) -> None:
        """What listens at `address` takes questions and never answers."""
        self._silent.add(address)

    def _knows(self, model: str) -> bool:
        return self.known is None or model in self.known

    def _find(self, model: str) -> None:
        if not self._knows(model):
            msg = f"unknown model {model}"
            raise UnavailableError(msg)

    async def _reach(self, address: str, timeout: float) -> None:
        # Give way to others even when there is nothing to wait for, as a real question does.
        await asyncio.sleep(timeout if address in self._silent else 0)
        if self.broken is not None:
            raise self.broken if isinstance(self.broken, UnavailableError) else UnavailableError
        if address in self._down or address in self._silent:
            raise UnavailableError(address)

"""How many requests are under way to an API server at once: few while it is quick, many if it lags.

Each that begins while all connections are busy costs both sides another handshake, more than most
requests do. So a hundred at once are sooner done one after the other on a few connections, unless
the answers are slow in coming.

Rule 1: the first `FEW` go at once; while others wait, one goes with each answer. After a moment
        without any, twice as many may be under way, up to `MOST`.
Rule 2: this is no rate: what the server takes, it is sent.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["FEW", "MOST", "InFlight"]

FEW = 16
MOST = 128
_MOMENT_S = 0.1


class InFlight:
    """The requests of one kind. Must be made inside the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._look: asyncio.TimerHandle | None = None
        self._moves = False
        """There was an answer since the last look."""

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """From when a request may go until it is answered."""
        if self._under_way < FEW and not self._waiting:
            self._under_way += 1
        else:
            await self._turn()
        try:
            yield
        finally:
            self._under_way -= 1
            self._moves = True
            # Its connection is free for the next, however many there are.
            self._let_go(1)

    async def _turn(self) -> None:
        turn = self._loop.create_future()
        self._waiting.append(turn)
        self._plan()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # It was let go, and does not.
                self._under_way -= 1
                self._let_go(1)
            raise

    def _let_go(self, number: int) -> None:
        while number and self._waiting and self._under_way < MOST:
            turn = self._waiting.popleft()
            if not turn.done():
                number -= 1
                self._under_way += 1
                turn.set_result(None)

    def _plan(self) -> None:
        if self._look is None and self._waiting:
            self._moves = False
            self._look = self._loop.call_later(_MOMENT_S, self._looked)

    def _looked(self) -> None:
        self._look = None
        if not self._moves:
            self._let_go(self._under_way or FEW)
        self._plan()

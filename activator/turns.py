"""Who begins next among many that could all begin at once: a few in each round of the event loop.

A gateway that starts beside thousands of replicas has a probe for each. Begun all at once they
would keep the loop from everything else for as long as they all take together.
"""

import asyncio
from collections import deque

__all__ = ["Turns"]

_AT_ONCE = 8
_BREATH_S = 0.001
"""Between two rounds: time for whatever else the loop has to do."""


class Turns:
    """In order of arrival."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Returns when it is one's turn: at once where few are about to begin."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            loop.call_soon(self._next)
        await turn

    def _next(self) -> None:
        for _ in range(min(_AT_ONCE, len(self._waiting))):
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_later(_BREATH_S, self._next)

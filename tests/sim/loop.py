"""Virtual time: an event loop that jumps to the next timer instead of waiting for it.

No sockets under it, and what is given to a thread is done at once. A test that waits for something
nobody will do ends with `DeadlockError` rather than hanging.
"""

import asyncio
import selectors
from typing import Any


class DeadlockError(RuntimeError):
    """Everything waits and no timer is set."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise DeadlockError
            self.time += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`loop.time()` starts at 0 and moves only by jumping."""

    def __init__(self) -> None:
        self._virtual = _JumpingSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.time

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """A thread's work takes no virtual time."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


VIRTUAL = ("asyncio", {"loop_factory": VirtualLoop})
"""What the `anyio_backend` fixture of a virtual-time test returns."""

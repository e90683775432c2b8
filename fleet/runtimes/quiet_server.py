"""What is taken for granted of a model server that says nothing of its own room and load."""

from collections.abc import Sequence

from fleet.runtimes import Endpoint, Reading

__all__ = ["QuietServer"]

_SLOTS = 16


class QuietServer:
    """The part of a `ModelServer` that asks nothing.

    `auto` slots are 16, there are no sequences, the load is unknown.
    """

    async def slots(self, endpoint: Endpoint, models: Sequence[str], *, timeout: float) -> int:
        return _SLOTS

    async def sequence_idle(
        self, endpoint: Endpoint, models: Sequence[str], *, timeout: float
    ) -> float | None:
        return None

    async def read(self, endpoint: Endpoint, models: Sequence[str], *, timeout: float) -> Reading:
        return Reading()

"""Scripted model servers: one answers for every runtime, by the replica's address."""

from fleet.errors import UnavailableError
from fleet.runtimes import Endpoint, Reading


class ScriptedServers:
    def __init__(self) -> None:
        self.reading = Reading(pending=0, completions=0)
        self.sick = False
        self.error: type[Exception] = UnavailableError
        """What a sick one raises when its load is asked for."""
        self.broken: set[str] = set()
        """Addresses of single ones that are sick."""
        self.asked = 0
        self.answers: dict[str, Reading] = {}
        """By address, where one answers otherwise."""
        self.asked_at: dict[str, int] = {}
        """How often each address was asked for its load."""

    def __call__(self, runtime) -> "ScriptedServers":
        return self

    async def ready(self, endpoint: Endpoint, models, *, timeout: float) -> bool:
        return not self.sick

    async def slots(self, endpoint: Endpoint, models, *, timeout: float) -> int:
        return 4

    async def sequence_idle(self, endpoint: Endpoint, models, *, timeout: float) -> float | None:
        return None

    async def warm_up(self, endpoint: Endpoint, model, *, request, timeout: float) -> None:
        return None

    async def read(self, endpoint: Endpoint, models, *, timeout: float) -> Reading:
        self.asked += 1
        self.asked_at[endpoint.address] = self.asked_at.get(endpoint.address, 0) + 1
        if self.sick or endpoint.address in self.broken:
            raise self.error(endpoint.address)
        return self.answers.get(endpoint.address, self.reading)

"""Asks a running Triton, over HTTP on its own ports.

Rule 1: Triton's port is closed until its models have loaded, so no answer means not ready yet.
Rule 2: models on one server have instances of their own and work side by side, so the slots of
        several names add up; two names for one model count once.
Rule 3: of several names a few are asked at once, and the first that is not ready ends the round.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from fleet.errors import UnavailableError
from fleet.runtimes import Endpoint, Reading
from fleet.runtimes.asking import Asker, answer, ask, each, json_object, patience
from fleet.runtimes.triton_facts import (
    MOST_SLOTS,
    made_up_request,
    reading_in,
    sequence_idle_in,
    slots_in,
)

__all__ = ["TritonServer"]

_LONG = 128 * 2**10
"""Characters of metrics that are read in some tens of milliseconds."""


class TritonServer:
    """A `ModelServer` for Triton. `asker` is shared."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def ready(self, endpoint: Endpoint, models: Sequence[str], *, timeout: float) -> bool:
        async def answers(model: str) -> None:
            answer(await ask(self._asker, endpoint, f"{_path(model)}/ready"), below=300)

        try:
            async with patience(endpoint, timeout):
                await each(answers, tuple(dict.fromkeys(models)))
        except UnavailableError:
            return False
        return True

    async def slots(self, endpoint: Endpoint, models: Sequence[str], *, timeout: float) -> int:
        async with patience(endpoint, timeout):
            found = sum(slots_in(config) for config in await self._configs(endpoint, models))
            return min(found, MOST_SLOTS)

    async def sequence_idle(
        self, endpoint: Endpoint, models: Sequence[str], *, timeout: float
    ) -> float | None:
        async with patience(endpoint, timeout):
            found = [sequence_idle_in(config) for config in await self._configs(endpoint, models)]
            return max((idle for idle in found if idle is not None), default=None)

    async def warm_up(
        self, endpoint: Endpoint, model: str, *, request: bytes | None, timeout: float
    ) -> None:
        async with patience(endpoint, timeout):
            headers: Mapping[str, str] = {"Content-Type": "application/json"}
            if request is None:
                metadata = await ask(self._asker, endpoint, _path(model))
                headers, request = made_up_request(json_object(answer(metadata)))
            said = await ask(
                self._asker, endpoint, f"{_path(model)}/infer", post=(headers, request)
            )
            # A refused input (4xx) is the model's answer too: it is loaded and runs.
            answer(said, below=500)

    async def _configs(self, endpoint: Endpoint, models: Sequence[str]) -> list[Mapping[str, Any]]:
        async def config(model: str) -> Mapping[str, Any]:
            said = await ask(self._asker, endpoint, f"{_path(model)}/config")
            return json_object(answer(said))

        return await each(config, tuple(dict.fromkeys(models)))

    async def read(self, endpoint: Endpoint, models: Sequence[str], *, timeout: float) -> Reading:
        port = endpoint.ports.metrics
        if port is None:
            return Reading()
        async with patience(endpoint, timeout, port=port):
            said = await ask(self._asker, endpoint, "/metrics", port=port)
            text = answer(said).decode()
            if len(text) > _LONG:
                # The largest that is taken keeps one busy for seconds: requests go on meanwhile.
                return await asyncio.to_thread(reading_in, text, models)
            return reading_in(text, models)


def _path(model: str) -> str:
    return f"/v2/models/{quote(model, safe='')}"

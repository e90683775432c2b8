"""Asks a running server that speaks the OpenAI API.

Rule 1: ready is `GET /health` (200 once the engine runs); a server without it is asked for its list
        of models instead.
Rule 2: these servers batch continuously and say nothing about room.
"""

import json
from collections.abc import Sequence
from http import HTTPStatus

from fleet.errors import UnavailableError
from fleet.runtimes import Endpoint
from fleet.runtimes.asking import Asker, answer, ask, json_object, patience
from fleet.runtimes.quiet_server import QuietServer

__all__ = ["OpenAIServer"]

_NO_SUCH_PATH = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


class OpenAIServer(QuietServer):
    """A `ModelServer` for the OpenAI API. `asker` is shared."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def ready(self, endpoint: Endpoint, models: Sequence[str], *, timeout: float) -> bool:
        try:
            async with patience(endpoint, timeout):
                said = await ask(self._asker, endpoint, "/health")
                if said.status in _NO_SUCH_PATH:
                    said = await ask(self._asker, endpoint, "/v1/models")
        except UnavailableError:
            return False
        return said.status == HTTPStatus.OK

    async def warm_up(
        self, endpoint: Endpoint, model: str, *, request: bytes | None, timeout: float
    ) -> None:
        if request is None:
            request = json.dumps({"model": model, "prompt": "a", "max_tokens": 1}).encode()
        async with patience(endpoint, timeout):
            said = await ask(
                self._asker,
                endpoint,
                _path(request),
                post=({"Content-Type": "application/json"}, request),
            )
            # A refused prompt (4xx: an embedding model, say) is an answer: the model is loaded.
            answer(said, below=500)


def _path(body: bytes) -> str:
    """Where a request belongs, told by the one field that only its kind has."""
    given = json_object(body)
    if "messages" in given:
        return "/v1/chat/completions"
    return "/v1/embeddings" if "input" in given else "/v1/completions"

"""Finds who asks a runtime's model servers. Only `main`, `up` and tests call this."""

from collections.abc import Callable

import httpx

from fleet.model import RuntimeName
from fleet.runtimes import ModelServer
from fleet.runtimes.openai_server import OpenAIServer
from fleet.runtimes.plain_server import PlainServer
from fleet.runtimes.triton_server import TritonServer

__all__ = ["servers"]


def servers(client: httpx.AsyncClient) -> Callable[[RuntimeName], ModelServer]:
    """The `ModelServer` of each runtime, all asking through `client` (`asking.asking_client`)."""
    known: dict[RuntimeName, ModelServer] = {
        RuntimeName.TRITON: TritonServer(client),
        RuntimeName.OPENAI: OpenAIServer(client),
        RuntimeName.PLAIN: PlainServer(client),
    }
    return known.__getitem__

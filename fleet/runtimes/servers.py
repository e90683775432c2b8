"""Finds who asks a runtime's model servers. Only `main`, `up` and tests call this."""

from collections.abc import Callable

from fleet.model import RuntimeName
from fleet.runtimes import ModelServer
from fleet.runtimes.asking import Asker
from fleet.runtimes.openai_server import OpenAIServer
from fleet.runtimes.plain_server import PlainServer
from fleet.runtimes.triton_server import TritonServer

__all__ = ["servers"]


def servers(asker: Asker) -> Callable[[RuntimeName], ModelServer]:
    """The `ModelServer` of each runtime, all asking through `asker`."""
    known: dict[RuntimeName, ModelServer] = {
        RuntimeName.TRITON: TritonServer(asker),
        RuntimeName.OPENAI: OpenAIServer(asker),
        RuntimeName.PLAIN: PlainServer(asker),
    }
    return known.__getitem__

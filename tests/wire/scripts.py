"""What a model server does with a request: scripts for the recorder."""

import asyncio

from tests.fakes.recorder import answer


class Gate:
    """A script that answers when it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, request, writer):
        await self.open.wait()
        writer.write(answer())


def writes(data: bytes):
    async def script(request, writer):
        writer.write(data)

    return script


async def aborting(request, writer):
    writer.transport.abort()

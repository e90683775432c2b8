"""Two ends of a channel within one process."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from fleet.channel.channel import Channel
from fleet.codec import Codec


@contextlib.asynccontextmanager
async def channels(codec: Codec) -> AsyncIterator[tuple[Channel, Channel]]:
    """Both ends; closed at the end."""
    loop = asyncio.get_running_loop()
    ends = []
    for end in socket.socketpair():
        _, channel = await loop.create_unix_connection(lambda: Channel(codec), sock=end)
        ends.append(channel)
    near, far = ends
    try:
        yield near, far
    finally:
        for end in ends:
            end.abort()
        await asyncio.gather(*(end.closed.wait() for end in ends))

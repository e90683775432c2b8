"""One worker, as the process over it has it: its process, its channel, and what it has said."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ebbtide.workers.messages import Begin, codec
from ebbtide.workers.retiring import Seen
from ebbtide.workers.sums import Counted
from fleet.channel.channel import Channel

__all__ = ["Post", "spawn"]

_LAST_WAIT_S = 2.0


@dataclass(slots=True, kw_only=True)
class Post:
    """A worker from its start to its end. Written by the crew alone."""

    begin: Begin
    process: asyncio.subprocess.Process
    channel: Channel
    counted: Counted
    seen: Seen
    listening: bool = False
    """It takes connections."""
    heard: int = 0
    """How many messages it had sent at the last look."""
    silent: int = 0
    """Looks since it last said anything."""

    def look(self) -> int:
        """A look: how many there have been since it last said anything."""
        self.silent = 0 if self.channel.heard != self.heard else self.silent + 1
        self.heard = self.channel.heard
        return self.silent

    def kill(self) -> None:
        """End it now, with all it has."""
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            self.process.kill()

    async def end(self) -> int:
        """Wait for its end, and for what it has said last; returns the exit code."""
        code = await self.process.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WAIT_S):
                await self.channel.closed.wait()
        self.channel.abort()
        return code


async def spawn(
    begin: Begin,
    listening: Sequence[socket.socket],
    *,
    environ: Mapping[str, str],
    counted: Counted,
    number: int,
) -> Post:
    """Start a worker on `listening`. `number` is that of the snapshot that it will see first.

    Through exec, never a bare fork: this process has threads and sockets that are not for it.
    """
    near, far = socket.socketpair()
    numbers = [far.fileno(), *(one.fileno() for one in listening)]
    channel = Channel(codec())
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ebbtide.workers",
            *map(str, numbers),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=numbers,
            env=dict(environ),
            start_new_session=True,
        )
        await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=near)
    except BaseException:
        # The worker, if there is one, ends when its channel does.
        near.close()
        raise
    finally:
        far.close()
    channel.send(begin)
    return Post(begin=begin, process=process, channel=channel, counted=counted, seen=Seen(number))

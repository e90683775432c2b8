"""How a connection to a client ends: gently, so that it gets to read all, or with a reset."""

import asyncio
import socket
import struct
from contextlib import suppress

__all__ = ["break_off", "end_stream", "leave"]

_FAREWELL_S = 0.1
_RESET = struct.pack("ii", 1, 0)


def end_stream(transport: asyncio.Transport, *, secured: object) -> None:
    """Say that nothing more comes, and go on hearing the other side out."""
    if secured:
        # TLS has an end of its own for this, and reads on by itself until the other side's.
        transport.close()
    elif not transport.is_closing():
        # It may have gone just now; its answer may have been what told us.
        with suppress(OSError):
            transport.write_eof()


def leave(
    transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, *, secured: object
) -> None:
    """Close a connection that nothing is asked on."""
    transport.close()
    if secured:
        # Who pools connections answers the end of one only when it wants to use it.
        loop.call_later(_FAREWELL_S, transport.abort)


def break_off(transport: asyncio.Transport) -> None:
    """Reset it, so that the client does not take what it got for the whole."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()

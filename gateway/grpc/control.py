"""Frames that carry nothing of a call: settings, windows, pings, resets, farewells.

Each of them has passed `frames.check`. What only looks at them, like a priority, is held to its
rules and passed over.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.grpc.core import frames
from gateway.grpc.core.frames import BrokenError, Code, StreamError

if TYPE_CHECKING:
    from gateway.grpc.connection import Connection

__all__ = ["CONTROL"]

_TABLE = 4096
_SETTINGS_ACK = frames.frame(frames.SETTINGS, frames.ACK, 0)


def _priority(connection: "Connection", flags: int, number: int, payload: bytes) -> None:
    connection.floods.priority()
    frames.check_priority(frames.PRIORITY, flags, number, payload)


def _reset(connection: "Connection", _flags: int, number: int, payload: bytes) -> None:
    connection.floods.reset()
    stream = connection.streams.get(number)
    if stream is not None:
        connection.sending.forget(stream)
        connection.close(stream)
        stream.taker.reset(int.from_bytes(payload, "big"))
    elif connection.side.idle(number):
        raise BrokenError(Code.PROTOCOL_ERROR, "a reset of a stream that nobody began")


def _settings(connection: "Connection", flags: int, _number: int, payload: bytes) -> None:
    if flags & frames.ACK:
        return
    connection.floods.settings()
    sending = connection.sending
    for key, value in frames.read_settings(payload, from_server=connection.side.client):
        if key == frames.INITIAL_WINDOW_SIZE:
            _shift_windows(connection, value - sending.window_at_first)
            sending.window_at_first = value
        elif key == frames.MAX_FRAME_SIZE:
            sending.most = value
        elif key == frames.MAX_CONCURRENT_STREAMS:
            connection.most_streams = value
        elif key == frames.HEADER_TABLE_SIZE and value < _TABLE:
            sending.shrink_table()
    sending.put(_SETTINGS_ACK)
    sending.resume()
    connection.side.settled()


def _shift_windows(connection: "Connection", by: int) -> None:
    for stream in connection.streams.values():
        stream.window += by
        if stream.window > frames.MAX_WINDOW:
            raise BrokenError(Code.FLOW_CONTROL_ERROR, "a window over 2^31-1")


def _ping(connection: "Connection", flags: int, _number: int, payload: bytes) -> None:
    if flags & frames.ACK:
        connection.side.ponged()
        return
    connection.floods.ping()
    connection.sending.put(frames.ping(payload, ack=True))


def _goaway(connection: "Connection", _flags: int, _number: int, payload: bytes) -> None:
    last, _, _ = frames.read_goaway(payload)
    connection.side.went_away(last)


def _window_update(connection: "Connection", _flags: int, number: int, payload: bytes) -> None:
    by = frames.read_window_update(number, payload)
    connection.floods.window(by)
    sending = connection.sending
    if not number:
        sending.window += by
        if sending.window > frames.MAX_WINDOW:
            raise BrokenError(Code.FLOW_CONTROL_ERROR, "a window over 2^31-1")
        if sending.waiting:
            sending.resume()
        return
    stream = connection.streams.get(number)
    if stream is None:
        if connection.side.idle(number):
            raise BrokenError(Code.PROTOCOL_ERROR, "a window of a stream that nobody began")
        return
    stream.window += by
    if stream.window > frames.MAX_WINDOW:
        raise StreamError(Code.FLOW_CONTROL_ERROR, "a window over 2^31-1")
    if stream.queue is not None:
        sending.drain(stream)


CONTROL: Mapping[int, Callable[["Connection", int, int, bytes], None]] = MappingProxyType(
    {
        frames.PRIORITY: _priority,
        frames.RST_STREAM: _reset,
        frames.SETTINGS: _settings,
        frames.PING: _ping,
        frames.GOAWAY: _goaway,
        frames.WINDOW_UPDATE: _window_update,
    }
)
"""What is done with each kind."""

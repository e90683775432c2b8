"""Messages in a stream of bytes: each is preceded by its length, four bytes, big-endian. Pure."""

from fleet.codec import MOST_BYTES, CodecError

__all__ = ["Frames", "framed"]

_HEAD = 4


def framed(message: bytes) -> bytes:
    """`message` as it is sent."""
    return len(message).to_bytes(_HEAD, "big") + message


class Frames:
    """What has been received and not yet read."""

    __slots__ = ("_buffer", "_wanted")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted: int | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes. Raises `CodecError` for one that is too long."""
        buffer = self._buffer
        buffer += data
        found: list[bytes] = []
        at = 0
        while True:
            if self._wanted is None:
                if len(buffer) - at < _HEAD:
                    break
                self._wanted = int.from_bytes(buffer[at : at + _HEAD], "big")
                at += _HEAD
                if self._wanted > MOST_BYTES:
                    msg = f"a message of {self._wanted} bytes, at most {MOST_BYTES}"
                    raise CodecError(msg)
            if len(buffer) - at < self._wanted:
                break
            found.append(bytes(buffer[at : at + self._wanted]))
            at += self._wanted
            self._wanted = None
        del buffer[:at]
        return found

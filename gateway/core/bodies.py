"""Finds the end of a request's body, however it is framed. Pure."""

from gateway.core.chunks import Chunks

__all__ = ["Body"]


class Body:
    """One body: of a length known beforehand, or chunked where that is None."""

    __slots__ = ("_chunks", "_left")

    def __init__(self, length: int | None) -> None:
        self._left = length or 0
        self._chunks = Chunks() if length is None else None

    @property
    def done(self) -> bool:
        """All of it has been read."""
        return self._left == 0 if self._chunks is None else self._chunks.done

    @property
    def trailers(self) -> tuple[bytes, ...]:
        """The fields that followed it."""
        return () if self._chunks is None else self._chunks.trailers

    def read(self, data: bytes, into: list[bytes]) -> int:
        """Append to `into` what `data` holds of it; returns how many bytes belong to it.

        Raises `RefusedError`.
        """
        if self._chunks is not None:
            return self._chunks.read(data, into)
        size = min(len(data), self._left)
        if size:
            into.append(data[:size])
        self._left -= size
        return size

"""The last answers about metadata and configuration, for models that sleep. Pure.

Rule 1: a copy belongs to one pod template of one revision and one method and path.
Rule 2: all copies together stay within a bound; the one unused longest goes first.
"""

from collections import OrderedDict
from dataclasses import dataclass

from fleet.model import Revision
from gateway.core.limits import COPY_BYTES

__all__ = ["Copies", "Copy", "Copying"]

_MAX_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """An answer with status 200."""

    media: bytes
    body: bytes


class Copying:
    """An answer's body while it passes, as long as it is not too large to keep."""

    __slots__ = ("_media", "_pieces", "_size")

    def __init__(self, media: bytes) -> None:
        self._media = media
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        """A piece of it."""
        self._size += len(data)
        if self._size <= COPY_BYTES:
            self._pieces.append(data)
        else:
            self._pieces = []

    @property
    def copy(self) -> Copy | None:
        """The whole; None when it was too large."""
        if self._size > COPY_BYTES:
            return None
        return Copy(media=self._media, body=b"".join(self._pieces))


class Copies:
    """Copies by revision, template and request."""

    __slots__ = ("_copies", "_limit", "_size")

    def __init__(self, limit: int = _MAX_BYTES) -> None:
        self._copies: OrderedDict[tuple[str, str, bytes], Copy] = OrderedDict()
        self._limit = limit
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes held now, keys included."""
        return self._size

    def find(self, revision: Revision, start: bytes) -> Copy | None:
        """The last answer to ``METHOD PATH``."""
        key = (revision.name, revision.template, start)
        copy = self._copies.get(key)
        if copy is not None:
            self._copies.move_to_end(key)
        return copy

    def remember(self, revision: Revision, start: bytes, copy: Copy) -> None:
        """Keep the newest answer."""
        key = (revision.name, revision.template, start)
        before = self._copies.pop(key, None)
        if before is not None:
            self._size -= _weight(start, before)
        self._copies[key] = copy
        self._size += _weight(start, copy)
        while self._size > self._limit:
            (_, _, oldest), dropped = self._copies.popitem(last=False)
            self._size -= _weight(oldest, dropped)


def _weight(start: bytes, copy: Copy) -> int:
    return len(start) + len(copy.media) + len(copy.body)

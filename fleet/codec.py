"""Values as bytes and back: what processes of ebbtide send each other. Pure.

Rule 1: JSON. A dataclass is an object of its fields, an enum its value, a set a sorted list; the
        outermost object says what it is (`kind`) and by which rules it was written (`version`).
Rule 2: a reader needs what it knows: keys it does not know are left out, fields with a default may
        be missing. So a field may be added without a new version; another meaning is a new version.
Rule 3: nothing is believed: a wrong type, number, size or version is a `CodecError` that says
        where.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar

from fleet.typed import Readers, UnlikeError

__all__ = ["MOST_BYTES", "VERSION", "Codec", "CodecError"]

VERSION = 1
MOST_BYTES = 64 * 2**20
"""The largest message: the fleet of some ten thousand models."""

_T = TypeVar("_T")
_DIRECT = frozenset({str, bool, int, float, type(None)})


class CodecError(ValueError):
    """A message that is not what it should be."""


class Codec:
    """Writes any of `kinds` (dataclasses, called by their class names) and reads them.

    `least`: the least whole number that a field may have which has nothing else.
    """

    def __init__(self, *kinds: type, least: int = -(2**53)) -> None:
        self._kinds = {kind.__name__: kind for kind in kinds}
        self._readers = Readers(least=least)
        self._fields: dict[type, tuple[str, ...]] = {}

    def encode(self, value: object) -> bytes:
        """A message. Raises `CodecError` when it cannot be written, or is too large."""
        kind = type(value).__name__
        if self._kinds.get(kind) is not type(value):
            msg = f"{kind}: not a kind of message"
            raise CodecError(msg)
        told = {"version": VERSION, "kind": kind, "value": self._plain(value)}
        try:
            data = json.dumps(told, separators=(",", ":"), allow_nan=False).encode()
        except ValueError as error:
            msg = f"{kind}: {error}"
            raise CodecError(msg) from error
        if len(data) > MOST_BYTES:
            msg = f"{kind}: {len(data)} bytes, at most {MOST_BYTES}"
            raise CodecError(msg)
        return data

    def decode(self, data: bytes) -> object | None:
        """The value of a message; None when it is of a kind that is not known here."""
        if len(data) > MOST_BYTES:
            msg = f"{len(data)} bytes, at most {MOST_BYTES}"
            raise CodecError(msg)
        try:
            told = json.loads(data, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            msg = f"not JSON: {error}"
            raise CodecError(msg) from error
        if not isinstance(told, dict) or told.get("version") != VERSION:
            msg = f"expected an object of version {VERSION}"
            raise CodecError(msg)
        kind = told.get("kind")
        known = self._kinds.get(kind) if isinstance(kind, str) else None
        if known is None:
            return None
        try:
            found: object = self._readers.of(known)(told.get("value"))
        except UnlikeError as error:
            msg = f"{kind}: {error}"
            raise CodecError(msg) from error
        return found

    def read(self, kind: type[_T], data: bytes) -> _T:
        """The value of a message that must be of `kind`."""
        value = self.decode(data)
        if not isinstance(value, kind):
            msg = f"expected a {kind.__name__}"
            raise CodecError(msg)
        return value

    def _plain(self, value: Any) -> Any:
        kind = type(value)
        if kind in _DIRECT:
            return value
        names = self._fields.get(kind)
        if names is not None:
            return {name: self._plain(getattr(value, name)) for name in names}
        if isinstance(value, Enum):
            return value.value
        if isinstance(value, Mapping):
            return {_key(key): self._plain(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return [self._plain(item) for item in value]
        if isinstance(value, frozenset | set):
            return sorted(self._plain(item) for item in value)
        if is_dataclass(kind):
            self._fields[kind] = tuple(field.name for field in fields(kind))
            return self._plain(value)
        msg = f"{kind.__name__}: cannot be written"
        raise CodecError(msg)


def _key(key: Any) -> str:
    return str(key.value if isinstance(key, Enum) else key)


def _refuse_constant(text: str) -> None:
    msg = f"{text} is no number"
    raise ValueError(msg)

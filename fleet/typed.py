"""From JSON to the types that a dataclass names, believing nothing. Pure.

Understood: str, bool, int, float, None, enums, dataclasses, ``tuple[X, ...]``, ``frozenset[X]``,
``Mapping[K, X]`` with keys of str, int or an enum, ``X | None``, and unions of plain types.

Whole numbers are within 2**53 of 0, and where that is asked for no less than `least`; others are
within 1e30 of 0, so that sums and ratios of them are numbers too. Half a surrogate pair, which can
be written nowhere, is ``?``.
"""

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

__all__ = ["Readers", "UnlikeError"]

_Read = Callable[[Any], Any]
_MOST = 2**53
_WHOLE = "a whole number within 2**53 of 0"
_WIDEST = 1e30
_SCALARS = (str, bool, int, float)


class UnlikeError(ValueError):
    """A value is not of the type it should be; the text says where, and what was expected."""


class Readers:
    """A reader for every type that was asked for, made once.

    `least`: whole numbers that stand alone, not for one of several plain types, are no less.
    """

    def __init__(self, *, least: int = -_MOST) -> None:
        self._readers: dict[Any, _Read] = {}
        self._least = least

    def of(self, kind: Any) -> _Read:
        """What reads a value of the type `kind`."""
        found = self._readers.get(kind)
        if found is None:
            found = self._readers[kind] = self._made(kind)
        return found

    def _made(self, kind: Any) -> _Read:
        kind = getattr(kind, "__supertype__", kind)
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (types.UnionType, typing.Union):
            return self._any_of(arguments)
        if origin is tuple:
            return _listed(self.of(arguments[0]), tuple)
        if origin is frozenset:
            return _listed(self.of(arguments[0]), frozenset)
        if origin is not None and issubclass(origin, Mapping):
            return _mapped(_key_reader(arguments[0]), self.of(arguments[1]))
        if isinstance(kind, type) and issubclass(kind, Enum):
            return _chosen(kind)
        if is_dataclass(kind) and isinstance(kind, type):
            return self._built(kind)
        if kind in _SCALARS or kind is types.NoneType:
            return _counted(self._least) if kind is int else _scalar((kind,))
        msg = f"{kind}: no such value can be read"
        raise TypeError(msg)

    def _any_of(self, kinds: tuple[Any, ...]) -> _Read:
        """None or one other type, or any of several plain ones."""
        others = [kind for kind in kinds if kind is not types.NoneType]
        if others != [int] and all(kind in _SCALARS for kind in others):
            return _scalar(kinds)
        (other,) = others
        read = self.of(other)
        return lambda raw: None if raw is None else read(raw)

    def _built(self, kind: type) -> _Read:
        hints = typing.get_type_hints(kind)
        readers = {field.name: self.of(hints[field.name]) for field in fields(kind)}
        needed = frozenset(
            field.name
            for field in fields(kind)
            if field.default is MISSING and field.default_factory is MISSING
        )

        def read(raw: Any) -> Any:
            if not isinstance(raw, dict):
                raise _unlike("an object", raw)
            values = {
                name: _within(name, readers[name], item)
                for name, item in raw.items()
                if name in readers
            }
            for name in needed:
                if name not in values:
                    msg = f"{name}: is missing"
                    raise UnlikeError(msg)
            return kind(**values)

        return read


def _within(name: str, read: _Read, raw: Any) -> Any:
    try:
        return read(raw)
    except UnlikeError as error:
        msg = f"{name}: {error}"
        raise UnlikeError(msg) from error


def _scalar(kinds: tuple[Any, ...]) -> _Read:
    accepted = tuple(int if kind is float else kind for kind in kinds) + tuple(kinds)
    told = " or ".join("null" if kind is types.NoneType else kind.__name__ for kind in kinds)
    only_float = float in kinds and int not in kinds

    def read(raw: Any) -> Any:
        if not isinstance(raw, accepted) or (isinstance(raw, bool) and bool not in kinds):
            raise _unlike(told, raw)
        if only_float and type(raw) is int:
            raw = _floated(raw)
        if isinstance(raw, float) and not -_WIDEST <= raw <= _WIDEST:
            raise _unlike("a number within 1e30 of 0", raw)
        if type(raw) is int:
            return _bounded(raw)
        return _writable(raw) if isinstance(raw, str) else raw

    return read


def _counted(least: int) -> _Read:
    def read(raw: Any) -> Any:
        if type(raw) is int and least <= raw <= _MOST:
            return raw
        if type(raw) is int and -_MOST <= raw < least:
            raise _unlike(f"a whole number from {least} on", raw)
        raise _unlike("int", raw) if type(raw) is not int else _unlike(_WHOLE, raw)

    return read


def _bounded(raw: int) -> int:
    if not -_MOST <= raw <= _MOST:
        raise _unlike(_WHOLE, raw)
    return raw


def _writable(raw: str) -> str:
    return raw if raw.isascii() else raw.encode(errors="replace").decode()


def _floated(raw: int) -> float:
    try:
        return float(raw)
    except OverflowError as error:
        msg = "expected a number that a float can hold"
        raise UnlikeError(msg) from error


def _listed(read: _Read, made: Callable[[list[Any]], Any]) -> _Read:
    def read_all(raw: Any) -> Any:
        if not isinstance(raw, list):
            raise _unlike("a list", raw)
        return made([read(item) for item in raw])

    return read_all


def _mapped(key: _Read, read: _Read) -> _Read:
    def read_all(raw: Any) -> Any:
        if not isinstance(raw, dict):
            raise _unlike("an object", raw)
        return MappingProxyType({key(name): read(item) for name, item in raw.items()})

    return read_all


def _key_reader(kind: Any) -> _Read:
    kind = getattr(kind, "__supertype__", kind)
    if kind is str:
        return _writable
    if kind is int:
        return _whole
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _chosen(kind)
    msg = f"{kind}: no key of an object"
    raise TypeError(msg)


def _whole(name: str) -> int:
    digits = name.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise _unlike("a whole number", name)
    return _bounded(int(name))


def _chosen(kind: type[Enum]) -> _Read:
    def read(raw: Any) -> Any:
        try:
            return kind(raw)
        except ValueError as error:
            raise _unlike(f"a word of {kind.__name__}", raw) from error

    return read


def _unlike(expected: str, raw: object) -> UnlikeError:
    return UnlikeError(f"expected {expected}, not {str(raw)[:60]!r}")

"""Looks into raw JSON that may hold anything: what is not as it should be is absent. Pure.

Rule: nothing here raises or reports; an object of the cluster was checked by the API server, and
      what it shows beyond that (a newer version, a mangled copy) must not stop the process.
"""

from collections.abc import Mapping, Sequence

__all__ = ["at", "entries", "flag", "keyed", "text", "texts", "whole"]

_NOTHING: Mapping[str, object] = {}


def at(value: object, *keys: str) -> object:
    """What lies under `keys`, one after the other; None where nothing does."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def keyed(value: object, *keys: str) -> Mapping[str, object]:
    """The mapping there; an empty one where there is none."""
    found = at(value, *keys)
    return found if isinstance(found, dict) else _NOTHING


def entries(value: object, *keys: str) -> Sequence[object]:
    """The list there; an empty one where there is none."""
    found = at(value, *keys)
    return found if isinstance(found, list) else ()


def text(value: object, *keys: str) -> str:
    """The text there; empty where there is none."""
    found = at(value, *keys)
    return found if isinstance(found, str) else ""


def texts(value: object, *keys: str) -> tuple[str, ...]:
    """The texts of the list there."""
    return tuple(each for each in entries(value, *keys) if isinstance(each, str))


def whole(value: object, *keys: str) -> int | None:
    """The whole number there; None where there is none."""
    found = at(value, *keys)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def flag(value: object, *keys: str) -> bool:
    """Whether `true` is there."""
    return at(value, *keys) is True

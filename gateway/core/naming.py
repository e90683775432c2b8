"""The `model` field of a JSON body: found strictly, replaced without touching the rest. Pure.

Rule 1: the body is strict JSON in UTF-8, an object, with one key that reads as ``model``, in
        whatever case: a server that takes the last of two, or does not look at case, must not see
        another model than we do.
Rule 2: replacing the name changes the bytes of that one value and no others.
Rule 3: what a body costs to read is bounded by more than its size: a value of two bytes takes 64
        once it is read, and all others wait meanwhile.
"""

import json
import re
from dataclasses import dataclass

from fleet.reasons import Reason
from gateway.core.refused import RefusedError

__all__ = ["MOST_VALUES", "NamedBody", "has_too_many", "read_named_body"]

_MOST_KEYS = 256
MOST_VALUES = 2**19
"""A body with more values than this is not read."""
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBody:
    """A body, and the model it names."""

    text: str
    model: str | None
    """None: it names none."""
    start: int = 0
    end: int = 0

    def renamed(self, served: str) -> bytes:
        """The body with `served` in place of the model's name."""
        return (self.text[: self.start] + json.dumps(served) + self.text[self.end :]).encode()


def has_too_many(body: bytes) -> bool:
    """Whether `body`, which may be JSON, could hold more values than are read."""
    # A few more than there are, since text holds these characters too.
    return sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES


def _refuse_constant(text: str) -> object:
    msg = f"{text} is not JSON"
    raise ValueError(msg)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def read_named_body(body: bytes) -> NamedBody:
    """Find the model that `body` names. Raises `RefusedError`."""
    if has_too_many(body):
        raise RefusedError(Reason.BODY_TOO_LARGE, f"at most {MOST_VALUES} values")
    try:
        text = body.decode()
        return _read(text)
    except (ValueError, IndexError, RecursionError) as error:
        raise RefusedError(Reason.MALFORMED, "the body must be one JSON object") from error


def _read(text: str) -> NamedBody:
    found: tuple[object, int, int] | None = None
    at = _expect(text, 0, "{")
    if text[_skip(text, at)] == "}":
        _end(text, at)
        return NamedBody(text=text, model=None)
    for _ in range(_MOST_KEYS):
        key, at = _DECODER.raw_decode(text, _skip(text, at))
        at = _skip(text, _expect(text, at, ":"))
        value, end = _DECODER.raw_decode(text, at)
        if not isinstance(key, str):
            raise RefusedError(Reason.MALFORMED, "the body has a key that is no string")
        if key.casefold() == "model":
            if found is not None or key != "model":
                raise RefusedError(Reason.MALFORMED, "the body must have one key model")
            found = (value, at, end)
        at = _skip(text, end)
        if text[at] != ",":
            _end(text, at)
            return _named(text, found)
        at += 1
    raise RefusedError(Reason.BODY_TOO_LARGE, f"at most {_MOST_KEYS} keys")


def _named(text: str, found: tuple[object, int, int] | None) -> NamedBody:
    if found is None:
        return NamedBody(text=text, model=None)
    model, start, end = found
    if not isinstance(model, str):
        raise RefusedError(Reason.MALFORMED, "the model must be a string")
    return NamedBody(text=text, model=model, start=start, end=end)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _expect(text: str, at: int, wanted: str) -> int:
    at = _skip(text, at)
    if text[at] != wanted:
        msg = f"expected {wanted}"
        raise ValueError(msg)
    return at + 1


def _end(text: str, at: int) -> None:
    if _skip(text, _expect(text, at, "}")) != len(text):
        msg = "something follows the object"
        raise ValueError(msg)

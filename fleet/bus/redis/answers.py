"""Redis' answers as values. Pure.

Rule: an answer of another shape than its command's is an `OddAnswerError`: it is not Redis that
      speaks.
"""

from collections.abc import Iterator
from typing import Any

__all__ = ["FIELD", "OddAnswerError", "messages_of", "names_of", "seconds_of", "streams_of"]

FIELD = b"m"
"""Of a stream's message: the text of it."""


class OddAnswerError(ValueError):
    """Not what a Redis answers; the text says what was asked."""


def seconds_of(answer: Any) -> float:
    """Unix time, of TIME."""
    match answer:
        case [bytes(seconds), bytes(micros)] if seconds.isdigit() and micros.isdigit():
            return int(seconds) + int(micros) / 1e6
    raise OddAnswerError("TIME")


def names_of(answer: Any) -> Iterator[bytes]:
    """The members, of ZRANGE."""
    if not isinstance(answer, list) or not all(isinstance(name, bytes) for name in answer):
        raise OddAnswerError("ZRANGE")
    return iter(answer)


def streams_of(answer: Any) -> Iterator[tuple[bytes, Any]]:
    """(key, its messages), of XREAD."""
    for one in () if answer is None else answer if isinstance(answer, list) else (answer,):
        match one:
            case [bytes(key), list(found)]:
                yield key, found
            case _:
                raise OddAnswerError("XREAD")


def messages_of(found: Any) -> Iterator[tuple[bytes, bytes | None]]:
    """(ID, text) of a stream's messages; None: there is no text in it."""
    if not isinstance(found, list):
        raise OddAnswerError("XREVRANGE")
    for one in found:
        match one:
            case [bytes(number), list(fields)]:
                yield number, _text(fields)
            case _:
                raise OddAnswerError("XREAD")


def _text(fields: list[Any]) -> bytes | None:
    for name, text in zip(fields[::2], fields[1::2], strict=False):
        if name == FIELD and isinstance(text, bytes):
            return text
    return None

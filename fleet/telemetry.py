"""Log lines: an event name, then key=value. One line each, easy to grep, nothing to parse twice."""

import json
import logging
import sys
from typing import Protocol, TextIO

__all__ = ["Log", "configure_logging", "log", "set_level"]

_ROOT = "ebbtide"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@,+#%*()[]")


class Log(Protocol):
    """Writes one event."""

    def __call__(self, event: str, *, level: int = logging.INFO, **fields: object) -> None: ...


def log(module: str) -> Log:
    """The event log of a module; its fields are written in the order they are given."""
    logger = logging.getLogger(f"{_ROOT}.{module}")

    def write(event: str, *, level: int = logging.INFO, **fields: object) -> None:
        if logger.isEnabledFor(level):
            pairs = "".join(f" {key}={_text(value)}" for key, value in fields.items())
            logger.log(level, "%s%s", event, pairs)

    return write


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    # Anything from outside may hold spaces, quotes or newlines: it must not forge a second line.
    return text if text and _PLAIN.issuperset(text) else json.dumps(text)


def configure_logging(level: str, *, stream: TextIO | None = None, tag: str = "") -> None:
    """Send ebbtide's events to `stream` (standard error by default) from `level` up.

    `tag` stands at the end of every line, where several processes write to one stream.
    """
    logger = logging.getLogger(_ROOT)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(message)s" + (f" {tag}" if tag else ""))
    )
    logger.handlers[:] = [handler]
    logger.propagate = False
    set_level(level)


def set_level(level: str) -> None:
    """Write events from `level` up."""
    logging.getLogger(_ROOT).setLevel(level.upper())

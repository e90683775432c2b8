"""Durations, bytes and shares as people write them. Pure; used by annotations and settings alike.

Durations: plain seconds (``90``, ``0.5``) or Go style (``90s``, ``5m``, ``1h30m``, ``250ms``).
Bytes: plain numbers or Kubernetes quantities (``64Mi``, ``1Gi``, ``500k``).
Every function raises `ValueError` whose text says what is allowed.
"""

import re

__all__ = ["parse_bool", "parse_bytes", "parse_duration", "parse_int", "parse_number"]

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# As many digits as anyone means: a longer number would end as infinity, or not convert at all.
_DIGITS = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_PART = re.compile(rf"({_DIGITS})(ms|s|m|h|d)")
_NUMBER = re.compile(_DIGITS)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_BYTES = re.compile(rf"({_DIGITS})(k|M|G|T|Ki|Mi|Gi|Ti)?")
_UNIT_BYTES = {
    None: 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def parse_duration(text: str) -> float:
    """Seconds in `text`."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        msg = "a duration: plain seconds or like 90s, 5m, 1h30m"
        raise ValueError(msg)
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


_MOST_BYTES = 2.0**53
"""What every reader of a message can tell from its neighbours."""


def parse_bytes(text: str) -> int:
    """Bytes in `text`; 8 PiB where it says more."""
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        msg = "a size: plain bytes or like 64Mi, 1Gi, 500k"
        raise ValueError(msg)
    return int(min(float(match[1]) * _UNIT_BYTES[match[2]], _MOST_BYTES))


def parse_int(text: str, *, low: int, high: int) -> int:
    """A whole number between `low` and `high`, both included."""
    text = text.strip()
    if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
        msg = f"a whole number from {low} to {high}"
        raise ValueError(msg)
    return int(text)


def parse_number(text: str) -> float:
    """A number of 0 or more."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        msg = "a number of 0 or more"
        raise ValueError(msg)
    return float(text)


def parse_bool(text: str) -> bool:
    """``true`` or ``false``."""
    value = {"true": True, "false": False}.get(text.strip())
    if value is None:
        msg = "true or false"
        raise ValueError(msg)
    return value

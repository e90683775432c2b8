"""`grpc-timeout`, the deadline as it travels: how much of it is left (gRPC over HTTP/2). Pure.

One to eight digits and a unit. What is written is rounded up, in the finest unit that has room
from microseconds up: never less than what is left, and more by less than one of that unit.
"""

import math
import re

__all__ = ["read_timeout", "timeout_field", "timeout_value"]

_VALUE = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MOST = 10**8 - 1
_COARSER = ((1e6, b"u"), (1e3, b"m"), (1.0, b"S"), (1 / 60, b"M"), (1 / 3600, b"H"))


def read_timeout(value: bytes) -> float:
    """`b"10S"` -> 10.0, in seconds. Raises `ValueError`."""
    match = _VALUE.fullmatch(value)
    if match is None:
        msg = "a grpc-timeout is one to eight digits and one of H M S m u n"
        raise ValueError(msg)
    return int(match[1]) * _UNITS[match[2]]


def timeout_value(seconds: float) -> bytes:
    """`10.0` -> `b"10000000u"`; 0 only for what is over already."""
    if seconds <= 0:
        return b"0n"
    for per_second, unit in _COARSER:
        count = math.ceil(seconds * per_second)
        if count <= _MOST:
            return b"%d%c" % (count, unit[0])
    return b"%dH" % _MOST


def timeout_field(seconds: float) -> bytes:
    """The encoded field, to be put behind the others of a block; it changes no table."""
    value = timeout_value(seconds)
    return b"\x00\x0cgrpc-timeout%c%b" % (len(value), value)

"""Which step of which sequence a ModelInferRequest is. Pure.

Rule 1: `sequence_id`, `sequence_start` and `sequence_end` among its parameters, as over HTTP
        (`gateway.core.steps`), and the same sequence as there.
Rule 2: every client writes fields in the order of their numbers: the parameters come before the
        tensors, so the beginning of a large message tells. What is cut off is not looked at.
Rule 3: what cannot be read is no step: the model server says what is wrong with it.
"""

from activator.core.seats import Step
from fleet.reasons import Reason
from gateway.core.refused import RefusedError
from gateway.core.steps import key_of_sequence
from gateway.grpc.core.inflating import inflated, is_known
from gateway.grpc.core.messages import PREFIX
from gateway.grpc.core.walking import MOST_FIELDS, read_field

__all__ = ["first_is_here", "step_in"]

_PARAMETERS, _NAME, _VALUE = 4, 1, 2
_TRUTH, _SIGNED, _TEXT, _UNSIGNED = 1, 2, 3, 5
_SIGNED_LIMIT = 2**63


def first_is_here(data: bytes) -> bool:
    """Whether `data`, the beginning of a call, holds its first message whole."""
    return len(data) >= PREFIX and len(data) - PREFIX >= int.from_bytes(data[1:PREFIX], "big")


def step_in(data: bytes, encoding: bytes, most: int) -> Step | None:
    """The step that the first message of a call is, as far as `data` tells; None: it is none.

    `encoding`: the call's `grpc-encoding`; `most`: bytes that it may inflate to.
    """
    message = data[PREFIX : PREFIX + int.from_bytes(data[1:PREFIX], "big")]
    if data[:1] == b"\x01":
        opened = inflated(message, encoding, most) if is_known(encoding) else None
        message = b"" if opened is None else opened
    found: dict[bytes, object] = {}
    try:
        for field, start, end in _fields(message):
            if field == _PARAMETERS:
                name, value = _parameter(message[start:end])
                found[name] = value
    except RefusedError:
        return None
    key = key_of_sequence(found.get(b"sequence_id"))
    if key is None:
        return None
    return Step(
        key=key,
        start=found.get(b"sequence_start") is True,
        end=found.get(b"sequence_end") is True,
    )


def _fields(data: bytes) -> list[tuple[int, int, int]]:
    """Number, start and end of what each whole field holds. Raises `RefusedError`."""
    found: list[tuple[int, int, int]] = []
    at = 0
    while at < len(data) and (one := read_field(data, at, len(data))) is not None:
        key, start, end = one
        if end > len(data):
            break
        if not key & 7:
            # The value of an integer is what lies before its end.
            start = at + 1 if key < 0x80 else at + 2
        found.append((key >> 3, start, end))
        if len(found) > MOST_FIELDS:
            raise RefusedError(Reason.MALFORMED)
        at = end
    return found


def _parameter(entry: bytes) -> tuple[bytes, object]:
    name, value = b"", None
    for field, start, end in _fields(entry):
        if field == _NAME:
            name = entry[start:end]
        elif field == _VALUE:
            value = _value(entry[start:end])
    return name, value


def _value(parameter: bytes) -> object:
    for field, start, end in _fields(parameter):
        held = parameter[start:end]
        if field == _TEXT:
            return held.decode("utf-8", "replace")
        number = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(held))
        if field == _TRUTH:
            return number != 0
        if field == _UNSIGNED or (field == _SIGNED and number < _SIGNED_LIMIT):
            return number
    return None

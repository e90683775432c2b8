"""Which step of which sequence a V2 inference is. Pure.

Rule 1: the correlation ID is `sequence_id` among the request's parameters: a number over 0 or a
        text; `sequence_start` and `sequence_end` stand beside it. A number and a text that look
        alike are two sequences, as they are to Triton.
Rule 2: of a body with binary tensors the JSON comes first, as long as a header says.
Rule 3: what cannot be read is no step: the model server says what is wrong with it. What would take
        too long to read is refused: it may be a step, which must not go to just any replica.
"""

import json

from activator.core.seats import Step, key_of
from fleet.reasons import Reason
from gateway.core.head import RequestHead
from gateway.core.naming import MOST_VALUES, has_too_many
from gateway.core.refused import RefusedError

__all__ = ["check_step", "key_of_sequence", "step_of"]

_JSON_LENGTH = b"inference-header-content-length"


def step_of(head: RequestHead, body: bytes) -> Step | None:
    """The step that a whole body asks for; None: it names no sequence."""
    try:
        found = json.loads(_json(head, body))
    except (ValueError, RecursionError):
        return None
    parameters = found.get("parameters") if isinstance(found, dict) else None
    if not isinstance(parameters, dict):
        return None
    key = key_of_sequence(parameters.get("sequence_id"))
    if key is None:
        return None
    return Step(
        key=key,
        start=parameters.get("sequence_start") is True,
        end=parameters.get("sequence_end") is True,
    )


def check_step(head: RequestHead, body: bytes) -> None:
    """Before `step_of` is asked: raises `RefusedError` for a body that is not read."""
    if has_too_many(_json(head, body)):
        raise RefusedError(Reason.BODY_TOO_LARGE, f"at most {MOST_VALUES} values")


def key_of_sequence(named: object) -> int | None:
    """The key that stands for a correlation ID; None: it is none."""
    if isinstance(named, str) and named:
        return key_of(b"s" + named.encode(errors="surrogatepass"))
    # Python takes True for a number.
    if isinstance(named, int) and not isinstance(named, bool) and named > 0:
        return key_of(b"n%d" % named)
    return None


def _json(head: RequestHead, body: bytes) -> bytes:
    length = _length(head)
    return body if length is None else body[:length]


def _length(head: RequestHead) -> int | None:
    for line in head.fields:
        name, _, value = line.partition(b":")
        if name.lower() == _JSON_LENGTH:
            text = value.strip()
            return int(text) if text.isdigit() and len(text) < 16 else None
    return None

"""Which step of which sequence a request is."""

import json

import pytest

from activator.core.seats import Step
from fleet.reasons import Reason
from gateway.core.head import read_request_head
from gateway.core.refused import RefusedError
from gateway.core.steps import check_step, step_of


def head(*lines: bytes):
    return read_request_head(b"\r\n".join([b"POST / HTTP/1.1", b"Host: h", *lines, b"", b""]))


def step(**parameters: object) -> Step | None:
    return step_of(head(), json.dumps({"inputs": [], "parameters": parameters}).encode())


def test_the_parameters_name_the_sequence_and_its_ends():
    first = step(sequence_id=7, sequence_start=True)
    assert (first.start, first.end) == (True, False)
    last = step(sequence_id=7, sequence_end=True, priority=1)
    assert (last.start, last.end) == (False, True)
    assert first.key == last.key
    assert step(sequence_id=7) == Step(key=first.key)
    others = [step(sequence_id=name).key for name in (7, 8, "7", "seven", 2**64 - 1)]
    assert len(set(others)) == 5


def test_json_before_binary_tensors():
    text = json.dumps({"parameters": {"sequence_id": 7}}).encode()
    length = b"Inference-Header-Content-Length: %d" % len(text)
    assert step_of(head(length), text + b"\x00\xff{") == step(sequence_id=7)
    assert step_of(head(), text + b"\x00\xff{") is None


@pytest.mark.parametrize("name", [0, -1, "", None, True, 1.5, [7], {}])
def test_what_is_no_correlation_id(name):
    assert step(sequence_id=name) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b"{}", b'{"parameters": 1}', b'{"parameters": []}', b"[" * 9999],
)
def test_what_is_no_inference(body):
    assert step_of(head(), body) is None
    assert step_of(head(b"Inference-Header-Content-Length: x"), body) is None
    assert step_of(head(b"Inference-Header-Content-Length: 99999"), body) is None


def test_a_body_that_would_take_long_to_read_is_refused():
    plenty = b"[]," * 2**18
    check_step(head(), plenty)
    with pytest.raises(RefusedError) as refused:
        check_step(head(), b"[" + plenty)
    assert refused.value.reason is Reason.BODY_TOO_LARGE
    check_step(head(b"Inference-Header-Content-Length: 2"), b"{}" + plenty * 2)

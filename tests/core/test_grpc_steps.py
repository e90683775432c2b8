"""Which step of which sequence a gRPC request is, held against the client's own messages."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from activator.core.seats import Step
from gateway.core.head import read_request_head
from gateway.core.steps import step_of
from gateway.grpc.core.steps import first_is_here, step_in

MOST = 2**20


def request(tensor: bytes = b"x" * 300, **parameters):
    made = service_pb2.ModelInferRequest(model_name="m", id="7")
    for name, value in parameters.items():
        if isinstance(value, bool):
            made.parameters[name].bool_param = value
        elif isinstance(value, int):
            kind = "int64_param" if value < 2**63 else "uint64_param"
            setattr(made.parameters[name], kind, value)
        else:
            made.parameters[name].string_param = value
    made.raw_input_contents.append(tensor)
    return made.SerializeToString()


def framed(message: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


def told(data: bytes, encoding: bytes = b"") -> Step | None:
    return step_in(data, encoding, MOST)


@given(
    st.one_of(st.integers(-5, 2**64 - 1).filter(lambda n: n >= -(2**63)), st.text(max_size=20)),
    st.booleans(),
    st.booleans(),
)
def test_the_same_step_as_over_http(name, start, end):
    parameters = {"sequence_id": name, "sequence_start": start, "sequence_end": end}
    head = read_request_head(b"POST / HTTP/1.1\r\nHost: h\r\n\r\n")
    other = {"priority": 3, "note": "x", "sequence": True}
    body = json.dumps({"parameters": parameters}).encode()
    assert told(framed(request(**parameters, **other))) == step_of(head, body)


def test_a_compressed_message_and_more_behind_it():
    message = request(sequence_id=7, sequence_start=True)
    plain = told(framed(message))
    assert plain is not None
    assert told(framed(message) + framed(request(sequence_id=8))) == plain
    assert told(framed(gzip.compress(message), 1), b"gzip") == plain
    assert told(framed(gzip.compress(message), 1), b"unheard-of") is None
    assert told(framed(b"no gzip", 1), b"gzip") is None


def test_the_beginning_of_a_large_message_tells():
    data = framed(request(b"x" * 100_000, sequence_id=7))
    assert told(data[:500]) == told(data)
    assert not first_is_here(data[:500])
    assert not first_is_here(data[:4])
    assert first_is_here(data)
    assert first_is_here(data + b"more")


@pytest.mark.parametrize("data", [b"", b"\x00", framed(b""), framed(b"\x07"), framed(b"\xff" * 40)])
def test_what_is_no_step(data):
    assert told(data) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_a_step_or_none(message):
    told(framed(b"\x22" + bytes([len(message)]) + message))

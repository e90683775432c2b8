"""Refusals as gRPC clients read them: status, message, details, and when to come again."""

import base64
from urllib.parse import unquote

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from fleet.reasons import Reason
from gateway.errors import ERRORS
from gateway.grpc.core.heads import read_answer
from gateway.grpc.core.refusals import STATUSES, Status, refusal


class Ended:
    """A call that ended with these trailers, as a client of grpcio holds it."""

    def __init__(self, fields: dict[bytes, bytes]) -> None:
        self._fields = fields
        self._codes = {code.value[0]: code for code in grpc.StatusCode}

    def code(self) -> grpc.StatusCode:
        return self._codes[int(self._fields[b"grpc-status"])]

    def details(self) -> str:
        return unquote(self._fields[b"grpc-message"].decode("ascii"))

    def trailing_metadata(self) -> list[tuple[str, object]]:
        packed = self._fields[b"grpc-status-details-bin"]
        return [("grpc-status-details-bin", base64.b64decode(packed + b"=="))]


def read(fields: list[tuple[bytes, bytes]]):
    """The status as a client's own library reads it, its ErrorInfo, its delay in seconds."""
    status = rpc_status.from_call(Ended(dict(fields)))
    assert isinstance(status, status_pb2.Status)
    info, retry, delay = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), None
    assert status.details[0].Unpack(info)
    if len(status.details) > 1:
        assert status.details[1].Unpack(retry)
        delay = retry.retry_delay.ToTimedelta().total_seconds()
    return status, info, delay


def test_every_refusal_has_a_status_of_its_own_choosing():
    assert set(STATUSES) == set(ERRORS)
    assert Status.UNKNOWN not in STATUSES.values()


@pytest.mark.parametrize("reason", list(ERRORS), ids=lambda reason: reason.value)
def test_every_refusal_is_an_answer_of_trailers_alone(reason):
    fields = refusal(reason, "so it is")
    assert fields[0] == (b":status", b"200")
    answer = read_answer(fields, trailers=False)
    assert answer.grpc_status == b"%d" % STATUSES[reason]
    assert len(dict(fields)) == len(fields)
    status, info, delay = read(fields)
    assert status.code == STATUSES[reason]
    assert status.message == f"{ERRORS[reason].text}: so it is"
    assert (info.reason, info.domain) == (reason.name, "ebbtide.dev")
    assert delay == ERRORS[reason].retry_after
    assert dict(fields)[b"ebbtide-reason"] == reason.value.encode()


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.UNKNOWN_MODEL, Status.NOT_FOUND),
        (Reason.NOT_ALLOWED, Status.UNIMPLEMENTED),
        (Reason.NO_MODEL, Status.NOT_FOUND),
        (Reason.MODEL_CONFLICT, Status.INVALID_ARGUMENT),
        (Reason.BODY_TOO_LARGE, Status.RESOURCE_EXHAUSTED),
        (Reason.UNKNOWN_ENCODING, Status.UNIMPLEMENTED),
        (Reason.QUEUE_FULL, Status.UNAVAILABLE),
        (Reason.NO_FREE_GPU, Status.UNAVAILABLE),
        (Reason.SHUTTING_DOWN, Status.UNAVAILABLE),
        (Reason.REPLICA_LOST, Status.UNAVAILABLE),
        (Reason.UPSTREAM_INVALID, Status.INTERNAL),
        (Reason.WAIT_TIMEOUT, Status.DEADLINE_EXCEEDED),
        (Reason.REQUEST_TIMEOUT, Status.DEADLINE_EXCEEDED),
        (Reason.CLIENT_LEFT, Status.CANCELLED),
    ],
)
def test_the_statuses_that_clients_rely_on(reason, status):
    assert STATUSES[reason] is status
    assert status in {code.value[0] for code in grpc.StatusCode}


@pytest.mark.parametrize(
    ("seconds", "pushback"), [(0.0, b"1"), (0.25, b"250"), (12.3456, b"12346"), (90.0, b"90000")]
)
def test_when_to_come_again(seconds, pushback):
    fields = refusal(Reason.QUEUE_FULL, "", seconds)
    assert dict(fields)[b"grpc-retry-pushback-ms"] == pushback
    assert read(fields)[2] == int(pushback) / 1000


def test_a_refusal_that_no_try_mends_says_so_where_clients_would_try():
    assert dict(refusal(Reason.ASLEEP))[b"grpc-retry-pushback-ms"] == b"-1"
    assert read(refusal(Reason.ASLEEP))[2] is None
    assert b"grpc-retry-pushback-ms" not in dict(refusal(Reason.UNKNOWN_MODEL))


def test_an_unknown_encoding_says_which_are_known():
    assert dict(refusal(Reason.UNKNOWN_ENCODING))[b"grpc-accept-encoding"] == (
        b"identity,deflate,gzip"
    )


@given(st.text(max_size=100), st.floats(0, 1e6))
def test_any_detail_can_be_told(detail, seconds):
    fields = refusal(Reason.MALFORMED, detail, seconds)
    read_answer(fields, trailers=False)
    message = dict(fields)[b"grpc-message"]
    assert all(0x20 <= octet < 0x7F for octet in message)
    status, _, delay = read(fields)
    assert unquote(message.decode()) == status.message
    assert detail.strip() in status.message
    duration = Duration()
    duration.FromMilliseconds(round(delay * 1000))
    assert duration.ToTimedelta().total_seconds() >= seconds - 1e-6

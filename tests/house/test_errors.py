"""Every refusal has one row, and every row is an answer that its callers can read."""

import json

import pytest

from fleet.reasons import Reason
from fleet.runtimes import ErrorShape
from gateway.errors import ERRORS, error_body, error_head

REASONS = list(Reason)
REFUSALS = REASONS[: REASONS.index(Reason.CLIENT_LEFT) + 1]


@pytest.mark.parametrize("reason", REFUSALS, ids=lambda reason: reason.value)
def test_every_refusal_has_a_row(reason):
    row = ERRORS[reason]
    assert 400 <= row.status < 600
    assert row.text


def test_there_is_no_row_for_anything_else():
    assert set(ERRORS) == set(REFUSALS)


@pytest.mark.parametrize("reason", REFUSALS, ids=lambda reason: reason.value)
@pytest.mark.parametrize("shape", list(ErrorShape))
def test_errors_speak_the_callers_protocol(reason, shape):
    body = json.loads(error_body(reason, "so it is", shape))
    match shape:
        case ErrorShape.V2:
            assert list(body) == ["error"]
            assert body["error"].endswith(": so it is")
        case ErrorShape.OPENAI:
            assert body["error"]["code"] == reason.value
            assert body["error"]["message"]
        case ErrorShape.PROBLEM:
            assert (body["status"], body["reason"]) == (ERRORS[reason].status, reason.value)
    assert b"Ebbtide-Reason: " + reason.value.encode() in error_head(reason, None, shape)


def test_retry_after_is_whole_seconds_and_at_least_one():
    def retry(reason, seconds):
        lines = error_head(reason, seconds, ErrorShape.V2)
        return [line for line in lines if line.startswith(b"Retry-After")]

    assert retry(Reason.START_FAILED, 12.3) == [b"Retry-After: 13"]
    assert retry(Reason.START_FAILED, 0.0) == [b"Retry-After: 1"]
    assert retry(Reason.START_FAILED, None) == [b"Retry-After: 60"]
    assert retry(Reason.UNKNOWN_MODEL, None) == []

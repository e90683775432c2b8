"""Heads that differ in their deadlines alone are read once, and never as another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.limits import MAX_FIELDS
from gateway.core.refused import RefusedError
from gateway.grpc.core.frames import StreamError
from gateway.grpc.core.heads import Call, read_call
from gateway.grpc.core.hpack import Secret, encode
from gateway.grpc.core.seen import Heads, Seen

START = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/b"), (b":authority", b"gw")]
FIELDS = [*START, (b"content-type", b"application/grpc"), (b"te", b"trailers")]


def facts(call: Call, timeout: float | None) -> tuple[object, ...]:
    slots = {name for kind in Call.__mro__[:-1] for name in kind.__slots__}
    return timeout, *((name, getattr(call, name)) for name in sorted(slots - {"timeout", "told"}))


def anew(fields) -> Seen:
    call = read_call(fields)
    return Seen(call, call.timeout)


def verdict(read, fields) -> object:
    try:
        seen = read(fields)
        return facts(seen.head, seen.timeout)
    except (RefusedError, StreamError) as error:
        return str(error)


FIELD = st.sampled_from(
    [
        (b"grpc-timeout", b"1S"),
        (b"grpc-timeout", b"250m"),
        (b"grpc-timeout", b"soon"),
        (b"grpc-encoding", b"gzip"),
        (b"ebbtide-model", b"a"),
        (b"content-length", b"5"),
        (b":path", b"/c/d"),
        (b"X", b"y"),
        (b"x", b"y"),
        Secret((b"x", b"y")),
    ]
)


@given(
    st.lists(st.tuples(st.lists(FIELD, max_size=4), st.integers(0, len(FIELDS))), max_size=12),
)
def test_what_was_seen_before_changes_nothing(heads):
    known = Heads()
    for more, at in heads:
        fields = [*FIELDS[:at], *more, *FIELDS[at:]]
        expected = verdict(anew, fields)
        assert verdict(known.read, fields) == expected
        assert verdict(known.read, fields) == expected


def test_a_head_is_read_once_whatever_its_deadline():
    known = Heads()
    first = known.read([*FIELDS, (b"grpc-timeout", b"1S")])
    second = known.read([*FIELDS, (b"grpc-timeout", b"2S")])
    third = known.read(FIELDS)
    assert (first.timeout, second.timeout, third.timeout) == (1.0, 2.0, None)
    assert first.head is second.head is third.head
    assert first.head.timeout is None
    assert known.read(FIELDS) is third


def test_a_secret_field_is_not_taken_for_one_that_is_none():
    known = Heads()
    plain, secret = (b"x", b"y"), Secret((b"x", b"y"))
    assert known.read([*FIELDS, plain]).head.block.endswith(encode([plain]))
    assert known.read([*FIELDS, secret]).head.block.endswith(encode([secret]))
    assert known.read([*FIELDS, plain]).head.block.endswith(encode([plain]))
    assert plain != secret
    assert secret != plain
    assert secret == Secret((b"x", b"y"))


def test_it_is_bounded():
    known = Heads()
    for number in range(1000):
        known.read([*FIELDS, (b"x-id", b"%d" % number)])
    large = [*FIELDS, (b"x", b"y" * 5000)]
    assert known.read(large) is not known.read(large)
    assert len(known) <= 256


def test_a_timeout_may_be_the_one_field_too_many():
    fields = [*FIELDS, *[(b"x", b"y")] * (MAX_FIELDS - len(FIELDS))]
    known = Heads()
    assert known.read(fields).timeout is None
    with pytest.raises(RefusedError):
        known.read([*fields, (b"grpc-timeout", b"1S")])


@pytest.mark.parametrize("field", [(b"grpc-timeout", b"1"), (b"X", b"y")])
def test_what_is_refused_is_not_remembered(field):
    known = Heads()
    assert isinstance(verdict(known.read, [*FIELDS, field]), str)
    known.read(FIELDS)
    assert isinstance(verdict(known.read, [*FIELDS, field]), str)

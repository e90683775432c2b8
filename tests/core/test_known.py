"""Heads seen before mean what they meant, and are not read again."""

import httptools
import pytest

from fleet.reasons import Reason
from gateway.core.answers import answer_start
from gateway.core.chunks import LAST_CHUNK
from gateway.core.head import RequestHead, read_request_head, read_response_head
from gateway.core.known import Known
from gateway.core.refused import RefusedError
from gateway.core.requests import request_pieces
from gateway.core.route import find_route
from gateway.core.table import Table
from gateway.http.heads import HeadReader
from tests.core.test_route import revision, tables

HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: gw\r\nContent-Length: 2\r\n\r\n"


class Reading:
    """A reader, and how often it had to read."""

    def __init__(self, known: Known[RequestHead] | None = None, *, limit: int = 4096) -> None:
        self.known = Known() if known is None else known
        self.times = 0
        self.reader = HeadReader(httptools.HttpRequestParser, self._read, self.known, limit=limit)

    def _read(self, raw: bytes) -> RequestHead:
        self.times += 1
        return read_request_head(raw)


def test_the_same_bytes_are_read_once_on_any_connection():
    one = Reading()
    two = Reading(one.known)
    first = one.reader.read(HEAD + b"ab")
    assert one.reader.rest == b"ab"
    assert two.reader.read(HEAD + b"cd") is first
    assert two.reader.rest == b"cd"
    assert (one.times, two.times) == (1, 0)


@pytest.mark.parametrize("cut", range(1, len(HEAD)))
def test_a_head_in_pieces_means_the_same(cut):
    reading = Reading()
    whole = reading.reader.read(HEAD)
    assert reading.reader.read(HEAD[:cut]) is None
    pieces = reading.reader.read(HEAD[cut:] + b"ab")
    assert reading.reader.rest == b"ab"
    for name in ("method", "target", "host", "length", "chunked", "fields", "options", "old"):
        assert getattr(pieces, name) == getattr(whole, name)


def test_a_head_seen_before_is_none_when_it_continues_another():
    reading = Reading()
    reading.reader.read(HEAD)
    assert reading.reader.read(b"GET /x HTTP/1.1\r\nX-Rest: ") is None
    # Alone the same bytes would be a request; here they are the value of a field, and more.
    joined = reading.reader.read(HEAD)
    assert joined.target == b"/x"


def test_what_was_refused_is_refused_again():
    reading = Reading()
    bad = HEAD.replace(b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 3")
    for _ in range(2):
        with pytest.raises(RefusedError):
            Reading(reading.known).reader.read(bad)
    assert len(reading.known) == 0


def test_a_limit_holds_for_a_head_that_others_may_send():
    known: Known[RequestHead] = Known()
    Reading(known).reader.read(HEAD)
    with pytest.raises(RefusedError) as refused:
        Reading(known, limit=len(HEAD) - 1).reader.read(HEAD)
    assert refused.value.reason is Reason.HEAD_TOO_LARGE


def test_it_is_bounded_in_number_and_size():
    known: Known[RequestHead] = Known()
    heads = [RequestHead() for _ in range(5000)]
    for number, head in enumerate(heads):
        known.remember(b"%d" % number, head)
        assert len(known) <= 2048
    known.remember(b"x" * 3000, RequestHead())
    assert known.find(b"x" * 3000) is None
    remembered = [head.raw for head in heads if head.raw]
    assert len(remembered) == len(known)
    assert all(known.find(raw) is not None for raw in remembered)


def test_what_was_forgotten_is_read_anew_on_the_same_connection():
    reading = Reading()
    heads = []
    for _ in range(3):
        heads.append(reading.reader.read(HEAD + b"ab"))
        assert reading.reader.rest == b"ab"
    assert heads[0] is heads[1] is heads[2]
    reading.known.forget()
    assert reading.reader.read(HEAD + b"cd") is not heads[0]
    assert reading.reader.rest == b"cd"
    assert reading.times == 2


def test_a_head_that_begins_like_the_last_one_is_another():
    reading = Reading()
    for head in (HEAD, HEAD[:-2] + b"X-More: 1\r\n\r\n", HEAD, HEAD[:-2] + b"X-Less: 1\r\n\r\n"):
        found = reading.reader.read(head + HEAD)
        assert reading.reader.rest == HEAD
        assert len(found.fields) == head.count(b"X-")


def test_a_head_seen_before_is_led_anew_in_another_table():
    head = read_request_head(HEAD)
    here = tables(revision("m")).now
    assert find_route(here, head)[0].entry is here.names["m"]
    assert find_route(here, head)[0].entry is here.names["m"]
    with pytest.raises(RefusedError):
        find_route(Table(), head)


def test_a_head_seen_before_goes_to_the_replica_and_line_of_the_moment():
    head = read_request_head(HEAD)
    sent = [
        request_pieces(line, host, head, [b"ab"], last=LAST_CHUNK)
        for line, host in (
            (b"POST /a HTTP/1.1", b"Host: one"),
            (b"POST /a HTTP/1.1", b"Host: two"),
            (b"POST /b HTTP/1.1", b"Host: two"),
            (b"POST /a HTTP/1.1", b"Host: one"),
        )
    ]
    assert [piece.split(b"\r\n")[:2] for (piece,) in sent] == [
        [b"POST /a HTTP/1.1", b"Host: one"],
        [b"POST /a HTTP/1.1", b"Host: two"],
        [b"POST /b HTTP/1.1", b"Host: two"],
        [b"POST /a HTTP/1.1", b"Host: one"],
    ]
    assert all(piece.endswith(b"Content-Length: 2\r\n\r\nab") for (piece,) in sent)


def test_a_body_that_is_framed_anew_leaves_the_remembered_head_as_it_was():
    head = read_request_head(HEAD)
    (before,) = request_pieces(b"POST /a HTTP/1.1", b"Host: one", head, [], last=LAST_CHUNK)
    other = head.reframed(7)
    (after,) = request_pieces(b"POST /a HTTP/1.1", b"Host: one", other, [], last=LAST_CHUNK)
    assert b"Content-Length: 7" in after
    assert head.length == 2
    assert request_pieces(b"POST /a HTTP/1.1", b"Host: one", head, [], last=LAST_CHUNK) == [before]


def test_an_answers_start_is_made_once_and_has_its_length_where_there_is_a_body():
    head = read_response_head(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\n")
    assert answer_start(head) == b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 3"
    assert answer_start(head) is answer_start(head)
    none = read_response_head(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n")
    assert answer_start(none) == b"HTTP/1.1 304 Not Modified"

"""Heads: what the parser lets pass and we do not, and what goes no further."""

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.reasons import Reason
from gateway.core.head import Manner, read_request_head, read_response_head
from gateway.core.refused import RefusedError


def request(*fields: bytes, line: bytes = b"POST /x HTTP/1.1") -> bytes:
    return b"\r\n".join([line, *fields, b"", b""])


HOST = b"Host: gw"


def test_a_plain_head():
    head = read_request_head(request(HOST, b"Content-Length: 5", b"Accept: */*", b"X-A:  b "))
    assert (head.method, head.target, head.host) == (b"POST", b"/x", b"gw")
    assert (head.length, head.chunked, head.old, head.keep_alive) == (5, False, False, True)
    assert head.fields == [b"Accept: */*", b"X-A:  b "]


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (HOST, HOST),
        (HOST, b"Host: other"),
        (b"Host: a b",),
        (b"Host:",),
        (HOST, b"Transfer-Encoding: gzip, chunked"),
        (HOST, b"Transfer-Encoding: xchunked"),
        (HOST, b"Transfer-Encoding: identity"),
        (HOST, b"Transfer-Encoding: chunked;q=1"),
        (HOST, b'Transfer-Encoding: "chunked"'),
        (HOST, b"Transfer-Encoding:"),
        (HOST, b"Transfer-Encoding: chunked, chunked"),
        (HOST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (HOST, b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (HOST, b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (HOST, b"Content-Length: 5", b"Content-Length: 5"),
        (HOST, b"Content-Length: +5"),
        (HOST, b"Content-Length: 5, 5"),
        (HOST, b"Content-Length: 0x5"),
        (HOST, b"Content-Length: 1111111111111111111"),
        (HOST, b"Upgrade: web socket", b"Connection: upgrade"),
        (HOST, b"Expect: 200-ok"),
    ],
)
def test_what_leaves_doubt_is_refused(fields):
    with pytest.raises(RefusedError) as refused:
        read_request_head(request(*fields))
    assert refused.value.reason is Reason.MALFORMED


def test_an_old_sender_is_not_told_to_go_on():
    # RFC 9110, 10.1.1: it would take 100 Continue for the answer.
    fields = (HOST, b"Content-Length: 5", b"Expect: 100-continue")
    assert read_request_head(request(*fields)).expects
    assert not read_request_head(request(*fields, line=b"POST /x HTTP/1.0")).expects


@pytest.mark.parametrize(
    "line",
    [
        b"GET /x",
        b"GET  /x HTTP/1.1",
        b"GET /x  HTTP/1.1",
        b"GET /x HTTP/2.0",
        b"GET /x HTTP/1.2",
        b"GET /x HTTP/0.9",
        b"OPTIONS /x RTSP/1.0",
        b"SOURCE /x ICE/1.0",
        b"PRI * HTTP/2.0",
        b"GET /x y HTTP/1.1",
        b"\nGET /x HTTP/1.1",
        b"\rGET /x HTTP/1.1",
        b"\r\n\nGET /x HTTP/1.1",
        b"get /x HTTP/1.1",
        b"",
    ],
)
def test_a_request_line_is_exactly_three_words(line):
    with pytest.raises(RefusedError):
        read_request_head(request(HOST, line=line))


def test_http_1_0_needs_no_host_and_closes_by_default():
    head = read_request_head(request(line=b"GET /x HTTP/1.0"))
    assert head.old
    assert not head.keep_alive
    assert read_request_head(request(b"Connection: Keep-Alive", line=b"GET /x HTTP/1.0")).keep_alive
    with pytest.raises(RefusedError):
        read_request_head(request(b"Transfer-Encoding: chunked", line=b"POST /x HTTP/1.0"))


def test_close_closes():
    assert not read_request_head(request(HOST, b"Connection: foo, Close")).keep_alive


def test_hop_by_hop_fields_those_named_and_ours_go_no_further():
    head = read_request_head(
        request(
            HOST,
            b"Connection: X-Hop, keep-alive",
            b"x-hop: 1",
            b"X-Stays: 2",
            b"Keep-Alive: timeout=5",
            b"Proxy-Connection: keep-alive",
            b"Proxy-Authorization: x",
            b"TE: trailers",
            b"Trailer: X",
            b"Ebbtide-Reason: forged",
            b"EBBTIDE-Model: m",
            b"Expect: 100-continue",
            b"Content-Length: 1",
        )
    )
    assert head.fields == [b"X-Stays: 2", b"Trailer: X"]
    assert head.model == b"m"
    assert head.expects


def test_two_model_fields_must_agree():
    assert read_request_head(request(HOST, b"Ebbtide-Model: a", b"Ebbtide-Model: a")).model == b"a"
    with pytest.raises(RefusedError) as refused:
        read_request_head(request(HOST, b"Ebbtide-Model: a", b"Ebbtide-Model: b"))
    assert refused.value.reason is Reason.MODEL_CONFLICT


def test_too_many_fields():
    with pytest.raises(RefusedError) as refused:
        read_request_head(request(HOST, *[b"A: b"] * 128))
    assert refused.value.reason is Reason.HEAD_TOO_LARGE


def test_one_empty_line_before_a_request_is_let_pass():
    assert read_request_head(b"\r\n" + request(HOST)).method == b"POST"


def test_an_answers_head():
    head = read_response_head(
        b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n"
        b"Connection: close, X-Hop\r\nX-Hop: 1\r\nEbbtide-Reason: forged\r\n\r\n"
    )
    assert (head.status, head.length, head.keep_alive) == (200, 3, False)
    assert (head.media, head.encoded) == (b"a/b", True)
    assert head.fields == [b"Content-Type: a/b", b"Content-Encoding: gzip"]


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/2.0 200 OK",
        b"ICY 200 OK",
        b"HTTP/1.1",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4",
    ],
)
def test_an_answer_that_leaves_doubt_is_refused(raw):
    with pytest.raises(RefusedError):
        read_response_head(raw + b"\r\n\r\n")


class _Seen:
    """What httptools itself makes of a head."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.target = b""
        self.complete = False

    def on_url(self, data: bytes) -> None:
        self.target += data

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.complete = True


_NAMES = st.sampled_from([b"A", b"x-long-name", b"Accept", b"X_y", b"!#$", b"", b"A B", b"a\x00"])
_VALUES = st.lists(
    st.sampled_from([b"v", b" ", b"\t", b":", b"\r", b"\n", b"\x00", b"\xff", b"\r\n ", b"a: b"]),
    max_size=5,
).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(_NAMES, st.sampled_from([b":", b": ", b" :"]), _VALUES), max_size=4))
def test_splitting_finds_the_fields_that_the_parser_saw(lines):
    raw = request(HOST, *[name + colon + value for name, colon, value in lines])
    seen = _Seen()
    parser = httptools.HttpRequestParser(seen)
    end = raw.find(b"\r\n\r\n") + 4
    try:
        parser.feed_data(raw[:end])
        head = read_request_head(raw[:end], Manner(underscores=True))
    except (httptools.HttpParserError, RefusedError):
        return
    assert seen.complete
    assert head.target == seen.target
    mine = [line.partition(b":") for line in head.fields]
    assert [(name, value.strip(b" \t")) for name, _, value in mine] == [
        (name, value.strip(b" \t")) for name, value in seen.fields[1:]
    ]

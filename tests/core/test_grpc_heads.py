"""Heads of calls and answers: malformed is malformed, and what goes on is exactly what may."""

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.reasons import Reason
from gateway.core.forwarding import Edge
from gateway.core.limits import MAX_FIELDS, MAX_TARGET
from gateway.core.refused import RefusedError
from gateway.grpc.core.frames import Code, StreamError
from gateway.grpc.core.heads import read_answer, read_call
from gateway.grpc.core.hops import told_block
from gateway.grpc.core.hpack import Secret
from gateway.grpc.core.saying import said_by, without_key
from gateway.grpc.core.seen import Heads

PATH = b"/inference.GRPCInferenceService/ModelInfer"
PSEUDO = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", PATH), (b":authority", b"gw:1")]
FIELDS = [(b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"x-id", b"7")]
STATUS = [(b":status", b"200")]


def decoded(block: bytes) -> list[tuple[bytes, bytes]]:
    return [tuple(field) for field in hpack.Decoder().decode(block, raw=True)]


def without(name: bytes) -> list[tuple[bytes, bytes]]:
    return [field for field in [*PSEUDO, *FIELDS] if field[0] != name]


def test_a_call_of_grpc():
    call = read_call([*PSEUDO, *FIELDS])
    assert call.grpc
    assert call.method == PATH.decode()
    assert (call.verb, call.scheme, call.path, call.authority) == (b"POST", b"http", PATH, b"gw:1")
    assert (call.model, call.timeout, call.encoding, call.length) == (None, None, b"", None)
    assert call.content_type == b"application/grpc"
    assert list(call.fields) == FIELDS
    assert decoded(call.block) == [*PSEUDO, *FIELDS]


def test_what_is_for_us_is_read_and_goes_no_further():
    more = [
        (b"grpc-timeout", b"1500m"),
        (b"ebbtide-model", b"double"),
        (b"ebbtide-reason", b"x"),
        (b"grpc-encoding", b"gzip"),
        (b"content-length", b"12"),
        (b"proxy-authorization", b"Basic x"),
        (b"host", b"gw:1"),
    ]
    call = read_call([*PSEUDO, *more, *FIELDS])
    assert (call.timeout, call.model, call.encoding, call.length) == (1.5, b"double", b"gzip", 12)
    assert decoded(call.block) == [*PSEUDO, (b"grpc-encoding", b"gzip"), *FIELDS]


def test_metadata_goes_on_in_its_order_repeated_binary_and_secret():
    more = [(b"x-a", b"1"), (b"x-bin", b"AAE"), (b"x-a", b"2"), Secret((b"x-key", b"s"))]
    call = read_call([*PSEUDO, *FIELDS, *more])
    assert decoded(call.block) == [*PSEUDO, *FIELDS, *map(tuple, more)]
    last = [*hpack.Decoder().decode(call.block, raw=True)][-1]
    assert isinstance(last, hpack.NeverIndexedHeaderTuple)


def test_host_stands_in_for_the_authority():
    call = read_call([*without(b":authority"), (b"host", b"other")])
    assert call.authority == b"other"
    assert (b":authority", b"other") in decoded(call.block)


@pytest.mark.parametrize("media", [b"application/grpc+proto", b"application/grpc;x=y"])
def test_other_ways_to_say_grpc(media):
    assert read_call([*PSEUDO, (b"content-type", media)]).grpc


@pytest.mark.parametrize("media", [b"application/grpc-web", b"application/json", b""])
def test_what_is_not_grpc_has_no_method(media):
    call = read_call([(b":method", b"GET"), *PSEUDO[1:], (b"content-type", media)])
    assert not call.grpc
    assert call.method == ""
    assert call.verb == b"GET"


MALFORMED = {
    "an upper-case name": [*PSEUDO, (b"X-Id", b"7")],
    "a name with a space": [*PSEUDO, (b"x id", b"7")],
    "a name with a colon": [*PSEUDO, (b"x:id", b"7")],
    "a name with NUL": [*PSEUDO, (b"x\0y", b"7")],
    "a name with LF": [*PSEUDO, (b"x\ny", b"7")],
    "a name of high octets": [*PSEUDO, (b"x\xff", b"7")],
    "an empty name": [*PSEUDO, (b"", b"7")],
    "a bare colon": [(b":", b"7"), *PSEUDO],
    "a value with NUL": [*PSEUDO, (b"x", b"a\0b")],
    "a value with LF": [*PSEUDO, (b"x", b"a\nb")],
    "a value with CR": [*PSEUDO, (b"x", b"a\rb")],
    "a value that ends in LF": [*PSEUDO, (b"x", b"a\n")],
    "a value that holds another field": [*PSEUDO, (b"x", b"1\nte\x00gzip")],
    "a value with DEL": [*PSEUDO, (b"x", b"a\x7fb")],
    "a value after a space": [*PSEUDO, (b"x", b" a")],
    "a value before a tab": [*PSEUDO, (b"x", b"a\t")],
    "a value that is a space": [*PSEUDO, (b"x", b" ")],
    "no method": without(b":method"),
    "no scheme": without(b":scheme"),
    "no path": without(b":path"),
    "no authority": without(b":authority"),
    "an empty authority": [*PSEUDO[:3], (b":authority", b"")],
    "an authority with a user": [*PSEUDO[:3], (b":authority", b"user@gw")],
    "an empty path": [*PSEUDO[:2], (b":path", b""), *PSEUDO[3:]],
    "a path with a space": [*PSEUDO[:2], (b":path", b"/a b"), *PSEUDO[3:]],
    "a path with a fragment": [*PSEUDO[:2], (b":path", b"/a#b"), *PSEUDO[3:]],
    "a whole URL for a path": [*PSEUDO[:2], (b":path", b"http://gw/a"), *PSEUDO[3:]],
    "the path *": [*PSEUDO[:2], (b":path", b"*"), *PSEUDO[3:]],
    "another scheme": [PSEUDO[0], (b":scheme", b"ftp"), *PSEUDO[2:]],
    "a method that is none": [(b":method", b"PO ST"), *PSEUDO[1:]],
    "a pseudo-field twice": [*PSEUDO, PSEUDO[2]],
    "an unknown pseudo-field": [*PSEUDO, (b":protocol", b"websocket")],
    "a status": [*PSEUDO, (b":status", b"200")],
    "a pseudo-field behind others": [*PSEUDO[:3], FIELDS[0], PSEUDO[3]],
    "a path twice, behind others": [*PSEUDO, *FIELDS, PSEUDO[2]],
    "connection": [*PSEUDO, (b"connection", b"close")],
    "keep-alive": [*PSEUDO, (b"keep-alive", b"1")],
    "proxy-connection": [*PSEUDO, (b"proxy-connection", b"close")],
    "transfer-encoding": [*PSEUDO, (b"transfer-encoding", b"chunked")],
    "upgrade": [*PSEUDO, (b"upgrade", b"h2c")],
    "te of something else": [*PSEUDO, (b"te", b"gzip")],
    "te of trailers and more": [*PSEUDO, (b"te", b"trailers, gzip")],
    "hosts that differ": [*PSEUDO, (b"host", b"other")],
    "two lengths": [*PSEUDO, (b"content-length", b"5"), (b"content-length", b"5")],
    "a length with a sign": [*PSEUDO, (b"content-length", b"+5")],
    "a list of lengths": [*PSEUDO, (b"content-length", b"5,5")],
    "a length of 19 digits": [*PSEUDO, (b"content-length", b"1" * 19)],
    "two types": [*PSEUDO, FIELDS[0], FIELDS[0]],
    "a tunnel with a path": [(b":method", b"CONNECT"), *PSEUDO[2:]],
    "nothing": [],
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_call(fields):
    with pytest.raises(StreamError) as caught:
        read_call(fields)
    assert caught.value.code is Code.PROTOCOL_ERROR


REFUSED = {
    "a tunnel": ([(b":method", b"CONNECT"), PSEUDO[3]], Reason.NOT_ALLOWED),
    "OPTIONS *": (
        [(b":method", b"OPTIONS"), PSEUDO[1], (b":path", b"*"), PSEUDO[3]],
        Reason.NOT_ALLOWED,
    ),
    "gRPC by GET": ([(b":method", b"GET"), *PSEUDO[1:], *FIELDS], Reason.NOT_ALLOWED),
    "a long path": (
        [*PSEUDO[:2], (b":path", b"/" + b"a" * MAX_TARGET), PSEUDO[3]],
        Reason.TARGET_TOO_LONG,
    ),
    "too many fields": ([*PSEUDO, *[(b"x", b"y")] * MAX_FIELDS], Reason.HEAD_TOO_LARGE),
    "a timeout of nine digits": ([*PSEUDO, (b"grpc-timeout", b"123456789S")], Reason.MALFORMED),
    "a timeout without unit": ([*PSEUDO, (b"grpc-timeout", b"10")], Reason.MALFORMED),
    "two timeouts": ([*PSEUDO, *[(b"grpc-timeout", b"1S")] * 2], Reason.MALFORMED),
    "two encodings": (
        [*PSEUDO, (b"grpc-encoding", b"gzip"), (b"grpc-encoding", b"identity")],
        Reason.MALFORMED,
    ),
    "two models": (
        [*PSEUDO, (b"ebbtide-model", b"a"), (b"ebbtide-model", b"b")],
        Reason.MODEL_CONFLICT,
    ),
}
for path in (b"/ModelInfer", b"/a/b/c", b"/a//b", b"//b", b"/a/%62", b"/a/b?c", b"/a/"):
    REFUSED[f"the path {path.decode()}"] = (
        [*PSEUDO[:2], (b":path", path), PSEUDO[3], *FIELDS],
        Reason.NOT_ALLOWED,
    )


@pytest.mark.parametrize(("fields", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_call_that_is_refused(fields, reason):
    with pytest.raises(RefusedError) as caught:
        read_call(fields)
    assert caught.value.reason is reason


def test_an_answer():
    fields = [*STATUS, (b"content-type", b"application/grpc"), (b"x-a", b"1"), (b"x-a", b"2")]
    more = [(b"ebbtide-reason", b"x"), (b"proxy-authenticate", b"x"), (b"content-length", b"5")]
    answer = read_answer([*fields, *more], trailers=False)
    assert (answer.status, answer.grpc_status, answer.interim) == (b"200", None, False)
    assert answer.length == 5
    assert decoded(answer.block) == [*fields, more[2]]


def test_trailers_and_an_answer_of_trailers_alone():
    fields = [(b"grpc-status", b"5"), (b"grpc-message", b"gone"), (b"x-bin", b"AA")]
    trailers = read_answer(fields, trailers=True)
    assert (trailers.status, trailers.grpc_status) == (b"", b"5")
    assert decoded(trailers.block) == fields
    alone = read_answer([*STATUS, *fields], trailers=False)
    assert (alone.status, alone.grpc_status) == (b"200", b"5")
    assert decoded(alone.block) == [*STATUS, *fields]


def test_an_interim_answer():
    assert read_answer([(b":status", b"103")], trailers=False).interim
    assert not read_answer([(b":status", b"204")], trailers=False).interim


BAD_ANSWERS = {
    "no status": ([(b"x", b"1")], False),
    "nothing": ([], False),
    "two statuses": ([*STATUS, *STATUS], False),
    "a status behind others": ([(b"x", b"1"), *STATUS], False),
    "a status of two digits": ([(b":status", b"20")], False),
    "a status of 600": ([(b":status", b"600")], False),
    "101": ([(b":status", b"101")], False),
    "a path": ([*STATUS, (b":path", b"/")], False),
    "a status in trailers": (STATUS, True),
    "a path in trailers": ([(b":path", b"/")], True),
    "connection": ([*STATUS, (b"connection", b"close")], False),
    "te": ([*STATUS, (b"te", b"trailers")], False),
    "transfer-encoding in trailers": ([(b"transfer-encoding", b"chunked")], True),
    "an upper-case name": ([*STATUS, (b"X", b"1")], False),
    "a value with CR": ([*STATUS, (b"x", b"a\rb")], False),
    "two lengths": ([*STATUS, (b"content-length", b"1"), (b"content-length", b"2")], False),
    "two statuses of gRPC": ([(b"grpc-status", b"0"), (b"grpc-status", b"5")], True),
}


@pytest.mark.parametrize(("fields", "trailers"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_a_malformed_answer(fields, trailers):
    with pytest.raises(StreamError) as caught:
        read_answer(fields, trailers=trailers)
    assert caught.value.code is Code.PROTOCOL_ERROR


OCTETS = st.binary(max_size=12)
NAMES = st.sampled_from(
    [b":path", b":method", b":status", b"te", b"host", b"x", b"content-length", b"grpc-status"]
)


@given(st.lists(st.tuples(NAMES | OCTETS, OCTETS), max_size=6))
def test_whatever_is_taken_goes_on_well_formed(fields):
    for read in (
        lambda: read_call([*PSEUDO, *fields]),
        lambda: read_answer(fields, trailers=True),
        lambda: read_answer([*STATUS, *fields], trailers=False),
    ):
        try:
            block = read().block
        except (StreamError, RefusedError):
            continue
        for name, value in decoded(block):
            assert name == name.lower()
            assert not {0, 10, 13} & {*name, *value}
            assert value == value.strip(b" \t")
            assert name not in (b"connection", b"transfer-encoding", b"upgrade")


def test_what_is_told_of_hops_is_made_once_for_an_edge_and_holds_no_key() -> None:
    fields = [*PSEUDO, *FIELDS, (b"authorization", b"Bearer secret")]
    heads, edge = Heads(), Edge(via=b"here")
    head = heads.read(fields).head
    block = told_block(head, edge)
    assert told_block(head, edge) is block
    sooner = heads.read([*fields, (b"grpc-timeout", b"5S")])
    assert sooner.timeout == 5.0
    assert told_block(sooner.head, edge) is block
    assert told_block(head, Edge()) == head.block != block
    told_block(head, edge)
    kept = without_key(head, said_by(head, keyed=True, trusted=False))
    assert decoded(told_block(kept, edge)) == [*PSEUDO, *FIELDS, (b"via", b"2.0 here")]

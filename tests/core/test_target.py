"""A request target has one meaning, or is refused."""

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.reasons import Reason
from gateway.core.refused import RefusedError
from gateway.core.target import decode_path, is_host, origin_form, split_query, wire_path

REFUSED_PATHS = [
    b"/v2/models/../repository/index",
    b"/v2/./models/m/infer",
    b"/v2/models/m/infer/..",
    b"/v2/models/m/infer/.",
    b"/v2//models/m/infer",
    b"//v2/models/m/infer",
    b"/v2/models/m//infer",
    b"/v2/models/%2e%2e/repository/index",
    b"/v2/models/%2E%2E/repository/index",
    b"/v2/models/.%2e/repository/index",
    b"/v2/models/%2e/m/infer",
    b"/v2/models/..;/repository/index",
    b"/v2/models/..;x=1/repository/index",
    b"/v2/models/%2e%2e;a/repository/index",
    b"/v2/models/m%2finfer",
    b"/v2%2Fmodels/m/infer",
    b"/v2/models/m%5cinfer",
    b"/v2/models/m%5Cinfer",
    b"/v2/models/m\\infer",
    b"/v2/models/m%00/infer",
    b"/v2/models/m%0a/infer",
    b"/v2/models/m%0d%0aX:1/infer",
    b"/v2/models/m%1f/infer",
    b"/v2/models/m%7f/infer",
    b"/v2/models/m%/infer",
    b"/v2/models/m%2/infer",
    b"/v2/models/m%zz/infer",
    b"/v2/models/m%u002e/infer",
    b"/v2/models/%252e%252e/repository",
    b"/v2/models/m%25/infer",
    b"/v2/models/m%3f/infer",
    b"/v2/models/m%23/infer",
    b"/v2/models/m#infer",
    b"/v2/models/m\x00/infer",
    b"/v2/models/m\t/infer",
    b"/v2/models/m\xff/infer",
    b"/v2/models/m\x7f/infer",
    b"/v2/models/m%ff/infer",
    b"/v2/models/%c0%ae%c0%ae/repository",
    b"/v2/models/%c0%af/repository",
    b"/v2/models/%e0%80%af/repository",
    b"/v2/models/<m>/infer",
    b"/v2/models/m|x/infer",
    b"/v2/models/m^/infer",
    b'/v2/models/"m"/infer',
    b"/v2/models/{m}/infer",
    b"v2/models/m",
    b"",
]


@pytest.mark.parametrize("path", REFUSED_PATHS)
def test_a_path_with_two_meanings_is_refused(path):
    with pytest.raises(RefusedError) as refused:
        decode_path(path)
    assert refused.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("path", "meant", "wire"),
    [
        (b"/v2/models/m/infer", "/v2/models/m/infer", b"/v2/models/m/infer"),
        (b"/v2/models/%6d/infer", "/v2/models/m/infer", b"/v2/models/m/infer"),
        (b"/v2/models/a%3Ab/infer", "/v2/models/a:b/infer", b"/v2/models/a:b/infer"),
        (b"/a%20b", "/a b", b"/a%20b"),
        (b"/caf%C3%A9", "/café", b"/caf%C3%A9"),
        (b"/caf%c3%a9", "/café", b"/caf%C3%A9"),
        (b"/app/", "/app/", b"/app/"),
        (b"/", "/", b"/"),
        (b"/...", "/...", b"/..."),
        (b"/a.b/..c", "/a.b/..c", b"/a.b/..c"),
    ],
)
def test_a_path_is_forwarded_as_it_was_decided_on(path, meant, wire):
    assert decode_path(path) == meant
    assert wire_path(meant) == wire


@settings(max_examples=300)
@given(st.binary(max_size=40).map(lambda raw: b"/" + raw))
def test_what_is_forwarded_decodes_to_what_was_decided_on(raw):
    try:
        path = decode_path(raw)
    except RefusedError:
        return
    wire = wire_path(path)
    assert unquote_to_bytes(wire) == path.encode() == unquote_to_bytes(raw)
    assert decode_path(wire) == path
    assert not {b"", b".", b".."} & set(unquote_to_bytes(wire).split(b"/")[1:-1])


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://other/v2", b"gw"),
        (b"http://gw:81/v2", b"gw"),
        (b"http://user@gw/v2", b"gw"),
        (b"https://gw/v2", b"gw"),
        (b"http://gw", b"gw"),
        (b"http:///v2", b"gw"),
        (b"http://gw/v2", None),
        (b"*", b"gw"),
        (b"gw:443", b"gw"),
        (b"gw", b"gw"),
        (b"rtsp://gw/v2", b"gw"),
    ],
)
def test_other_forms_than_a_path_are_refused(target, host):
    with pytest.raises(RefusedError):
        origin_form(target, host)


def test_the_absolute_form_of_the_named_host_passes():
    assert origin_form(b"http://GW:80/v2?x", b"gw:80") == b"/v2?x"


def test_an_overlong_target_is_refused_with_a_reason_of_its_own():
    with pytest.raises(RefusedError) as refused:
        origin_form(b"/" + b"a" * 8192, b"gw")
    assert refused.value.reason is Reason.TARGET_TOO_LONG


@pytest.mark.parametrize("query", [b"?a#b", b"?a b", b"?%", b"?%zz", b"?\xff", b"?\x00", b"?a\tb"])
def test_a_bad_query_is_refused(query):
    with pytest.raises(RefusedError):
        split_query(b"/v2" + query)


def test_a_query_is_left_as_it_is():
    assert split_query(b"/v2?a=b%20c&d=[1]?/") == (b"/v2", b"?a=b%20c&d=[1]?/")
    assert split_query(b"/v2") == (b"/v2", b"")


@pytest.mark.parametrize("host", [b"gw", b"gw:80", b"127.0.0.1:1", b"[::1]:80", b"a-b.c_d"])
def test_hosts(host):
    assert is_host(host)


@pytest.mark.parametrize(
    "host",
    [b"", b"a b", b"a,b", b"a/b", b"u@a", b"a:b", b"a:", b":80", b"a:123456", b"[::1", b"a\x00"],
)
def test_what_is_no_host(host):
    assert not is_host(host)

"""Which requests belong together."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.model import Affinity, AffinityKind
from gateway.core.affinity import affinity_key
from gateway.core.head import read_request_head


def head(*lines: bytes):
    return read_request_head(b"\r\n".join([b"POST / HTTP/1.1", b"Host: h", *lines, b"", b""]))


def key(affinity: Affinity, *lines: bytes, client: str = "c", body: bytes = b""):
    return affinity_key(affinity, head(*lines).fields, client=client, body=[body])


HEADER = Affinity(kind=AffinityKind.HEADER, name="X-User")
COOKIE = Affinity(kind=AffinityKind.COOKIE, name="sid")
CLIENT = Affinity(kind=AffinityKind.CLIENT)


def prompt(size: int = 64) -> Affinity:
    return Affinity(kind=AffinityKind.PROMPT, size=size)


def test_a_header_whatever_its_case_and_spaces():
    mine = key(HEADER, b"X-User: ann")
    assert mine == key(HEADER, b"Other: 1", b"x-user:  ann ", client="d")
    assert mine != key(HEADER, b"X-User: bob")
    assert key(HEADER, b"X-Users: ann") is None
    assert key(HEADER, b"X-User:") is None


def test_a_cookie_among_others():
    mine = key(COOKIE, b"Cookie: a=1; sid=s7; b=2")
    assert mine == key(COOKIE, b"Cookie: sid=s7")
    assert mine != key(COOKIE, b"Cookie: sid=s8")
    assert key(COOKIE, b"Cookie: a=1; xsid=s7") is None
    assert key(COOKIE) is None


def test_a_client():
    assert key(CLIENT, client="10.0.0.1") == key(CLIENT, b"X: 1", client="10.0.0.1")
    assert key(CLIENT, client="10.0.0.1") != key(CLIENT, client="10.0.0.2")
    assert key(CLIENT, client="") is None


@pytest.mark.parametrize("name", ["prompt", "messages", "input", "text_input"])
def test_prompts_that_begin_alike(name):
    def of(text: str, **more) -> int | None:
        asked = [{"role": "user", "content": text}] if name == "messages" else text
        return key(prompt(100), body=json.dumps({"model": "m", name: asked, **more}).encode())

    same = "You are a helpful assistant. " * 5
    assert of(same + "One?") == of(same + "Two?", temperature=1)
    assert of("a" + same) != of(same)


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"1", b'{"model":"m"}', b"[" * 100_000])
def test_what_holds_no_prompt_has_no_key(body):
    assert key(prompt(), body=body) is None


@given(st.text(), st.text(), st.integers(1, 20))
def test_only_the_first_bytes_count(one, two, size):
    def of(text: str) -> int | None:
        return key(prompt(size), body=json.dumps({"prompt": text}).encode())

    same = one.encode(errors="surrogatepass")[:size] == two.encode(errors="surrogatepass")[:size]
    assert (of(one) == of(two)) is same


def test_a_body_that_would_take_long_to_read_has_no_prompt():
    few, many = (b'{"prompt":"a","inputs":[' + b"[]," * n + b"[]]}" for n in (2**17, 2**18))
    assert key(prompt(), body=few) == key(prompt(), body=b'{"prompt":"a"}')
    assert key(prompt(), body=many) is None

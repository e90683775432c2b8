"""The model field of a JSON body."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.reasons import Reason
from gateway.core.naming import read_named_body
from gateway.core.refused import RefusedError


def test_the_name_is_found_and_the_rest_left_as_it_is():
    body = b' { "a" : 1.50,\n"model":"org/m" , "b":{"model":"x"}, "c":"\\u00e9 \xc3\xa9"}\n'
    named = read_named_body(body)
    assert named.model == "org/m"
    assert named.renamed("served") == body.replace(b'"org/m"', b'"served"')


def test_a_body_may_name_none():
    assert read_named_body(b"{}").model is None
    assert read_named_body(b'{"a":{"model":"x"}}').model is None


def test_an_escaped_key_is_the_same_key():
    assert read_named_body(b'{"mod\\u0065l":"m"}').model == "m"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"model"',
        b"{",
        b'{"model":"a"',
        b'{"model":"a"} x',
        b'{"model":"a"}{"model":"b"}',
        b'{"model":"a",}',
        b'{"model":"a","model":"b"}',
        b'{"model":"a","model":"a"}',
        b'{"model":"a","mod\\u0065l":"b"}',
        b'{"model":"a","Model":"b"}',
        b'{"MODEL":"b"}',
        b'{"model":1}',
        b'{"model":null}',
        b'{"model":["a"]}',
        b"{'model':'a'}",
        b'{model:"a"}',
        b'{"model":"a" "b":1}',
        b'{"a":1 "model":"a"}',
        b'{"a":NaN,"model":"a"}',
        b'{"a":Infinity,"model":"a"}',
        b'{"a":01,"model":"a"}',
        b'{"a":[1,],"model":"a"}',
        b'/* x */{"model":"a"}',
        b'{"a":"\n","model":"a"}',
        b'\xef\xbb\xbf{"model":"a"}',
        b'{"model":"\xff"}',
        '{"model":"a"}'.encode("utf-16"),
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b',"model":"a"}',
        b'{"a":' + b"9" * 5000 + b',"model":"a"}',
        b'{1:2,"model":"a"}',
        b'{"model"}',
        b'{"model":}',
    ],
)
def test_what_another_reader_could_read_differently_is_refused(body):
    with pytest.raises(RefusedError) as refused:
        read_named_body(body)
    assert refused.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","x":[' + b"[]," * 2_200_000 + b"0]}",
        b'{"model":"a","x":[' + b"0," * 4_300_000 + b"0]}",
        b'{"model":"a"' + b"".join(b',"%d":0' % n for n in range(300)) + b"}",
    ],
    ids=["lists", "numbers", "keys"],
)
def test_a_body_of_countless_values_is_refused(body):
    # Reading 64 MiB of `[],` would stop everyone else for seconds and take gigabytes.
    with pytest.raises(RefusedError) as refused:
        read_named_body(body)
    assert refused.value.reason is Reason.BODY_TOO_LARGE


def test_a_long_text_is_no_countless_values():
    text = "well, then, " * 100_000
    assert read_named_body(json.dumps({"model": "a", "prompt": text}).encode()).model == "a"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(
    st.text(max_size=5).filter(lambda key: key.casefold() != "model"), _VALUES, max_size=4
)


@settings(max_examples=150, deadline=None)
@given(_OBJECTS, st.text(max_size=8), st.integers(0, 4), st.booleans())
def test_renaming_changes_the_name_alone(rest, name, place, escaped):
    items = list(rest.items())
    items.insert(place, ("model", name))
    body = json.dumps(dict(items), ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    try:
        named = read_named_body(body)
    except RefusedError:
        body.decode()  # only what is no UTF-8 may be refused
        raise
    assert named.model == name
    assert json.loads(named.renamed("new")) == {**dict(items), "model": "new"}

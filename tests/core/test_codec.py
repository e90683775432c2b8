"""Messages as bytes: what is written is read again, and nothing else is."""

import contextlib
import json
import types
import typing
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.channel.frames import Frames, framed
from fleet.channel.messages import MarkAsked, Noted, Poked, ScaleAsked, Written
from fleet.channel.news import FleetNews
from fleet.channel.samples import SampleNews
from fleet.codec import MOST_BYTES, VERSION, Codec, CodecError
from fleet.messages import Entry, ReplicaSample, RevisionSample, Sample
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.settings import Settings

KINDS = (
    Sample,
    SampleNews,
    Entry,
    FleetNews,
    ScaleAsked,
    MarkAsked,
    Written,
    Noted,
    Poked,
    Settings,
)


def any_of(kind):
    """Values of a type, made from its annotations."""
    kind = getattr(kind, "__supertype__", kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([any_of(one) for one in arguments])
    if origin is tuple:
        return st.lists(any_of(arguments[0]), max_size=2).map(tuple)
    if origin is frozenset:
        return st.frozensets(any_of(arguments[0]), max_size=2)
    if origin is not None:
        made = st.dictionaries(any_of(arguments[0]), any_of(arguments[1]), max_size=2)
        return made.map(MappingProxyType)
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{one.name: any_of(hints[one.name]) for one in fields(kind)})
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    plain = {
        str: st.text(max_size=5),
        bool: st.booleans(),
        int: st.integers(-(2**53), 2**53),
        float: st.floats(-1e30, 1e30),
        types.NoneType: st.none(),
    }
    return plain[kind]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_written_is_read_again(kind):
    codec = Codec(*KINDS)

    @given(any_of(kind))
    def same(value):
        assert codec.read(kind, codec.encode(value)) == value

    same()


@dataclass(frozen=True, slots=True, kw_only=True)
class Old:
    name: str
    count: int = 3
    share: float = 0.5
    by_code: typing.Mapping[int, int] = field(default_factory=dict)


def message(value, kind="Old", version=VERSION):
    return json.dumps({"version": version, "kind": kind, "value": value}).encode()


def test_keys_that_are_not_known_are_left_out_and_defaults_may_be_missing():
    codec = Codec(Old)
    assert codec.read(Old, message({"name": "a", "new": [1]})) == Old(name="a")
    assert codec.decode(message({"name": "a"}, kind="Newer")) is None
    assert codec.read(Old, message({"name": "a", "by_code": {"200": 4}})).by_code == {200: 4}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "Old: name: is missing"),
        ({"name": 3}, "Old: name: expected str, not '3'"),
        ({"name": None}, "name: expected str"),
        ({"name": "a", "count": True}, "count: expected int"),
        ({"name": "a", "count": 1.5}, "count: expected int"),
        ({"name": "a", "share": "1"}, "share: expected float"),
        ({"name": "a", "share": 10**400}, "share: expected a number that a float can hold"),
        ({"name": "a", "share": 1e308}, "share: expected a number within 1e30 of 0"),
        ({"name": "a", "share": -(10**31)}, "share: expected a number within 1e30 of 0"),
        ({"name": "a", "count": 2**53 + 1}, "count: expected a whole number within"),
        ({"name": "a", "count": -(2**53) - 1}, "count: expected a whole number within"),
        ({"name": "a", "by_code": {str(2**53 + 1): 1}}, "expected a whole number within"),
        ({"name": "a", "by_code": {"1": 10**400}}, "expected a whole number within"),
        ({"name": "a", "by_code": []}, "by_code: expected an object"),
        ({"name": "a", "by_code": {"x": 1}}, "expected a whole number"),
        ([], "Old: expected an object"),
        (None, "Old: expected an object"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(value, said):
    with pytest.raises(CodecError, match=said):
        Codec(Old).decode(message(value))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"name": "a", "count": -1}, "count: expected a whole number from 0 on, not '-1'"),
        ({"name": "a", "by_code": {"1": -1}}, "by_code: expected a whole number from 0 on"),
        ({"name": "a", "count": 2**53 + 1}, "count: expected a whole number within"),
        ({"name": "a", "count": True}, "count: expected int"),
    ],
)
def test_where_all_are_counts_none_is_negative(value, said):
    with pytest.raises(CodecError, match=said):
        Codec(Old, least=0).decode(message(value))
    assert Codec(Old, least=0).decode(message({"name": "a", "count": 0, "share": -1.5}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 100_000,
        message({"name": "a"}, version=VERSION + 1),
        message({"name": "a"}, version=str(VERSION)),
        b'{"version":1,"kind":"Old","value":{"name":"a","share":NaN}}',
        b'{"version":1,"kind":"Old","value":{"name":"a","share":1e999}}',
    ],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(CodecError):
        Codec(Old).decode(data)


def test_text_that_could_be_written_nowhere_is_made_writable():
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        by_name: typing.Mapping[str, str]

    found = Codec(Named).read(Named, message({"by_name": {"\ud800é": "\udfffü"}}, kind="Named"))
    assert found.by_name == {"?é": "?ü"}


@given(st.binary(max_size=40))
def test_nothing_but_a_codec_error_ever_comes_out(data):
    with contextlib.suppress(CodecError):
        assert Codec(Old).decode(data) is None


def test_what_cannot_be_written_is_refused():
    codec = Codec(Old)
    for wrong in (Old(name="a", share=float("inf")), Poked(revision=RevisionName("a")), "text"):
        with pytest.raises(CodecError):
            codec.encode(wrong)
    with pytest.raises(CodecError, match="at most"):
        codec.encode(Old(name="x" * MOST_BYTES))
    with pytest.raises(CodecError, match="at most"):
        codec.decode(b" " * (MOST_BYTES + 1))


def test_a_value_of_another_kind_than_was_expected_is_refused():
    codec = Codec(Old, Poked)
    with pytest.raises(CodecError, match="expected a Old"):
        codec.read(Old, codec.encode(Poked(revision=RevisionName("a"))))


@given(st.lists(st.binary(max_size=9), max_size=5), st.integers(1, 7))
def test_messages_come_out_of_a_stream_however_it_is_cut(messages, step):
    stream = b"".join(map(framed, messages))
    frames = Frames()
    found = []
    for at in range(0, len(stream), step):
        found += frames.feed(stream[at : at + step])
    assert found == messages


def test_a_length_that_is_too_large_is_refused_before_its_bytes_come():
    with pytest.raises(CodecError):
        Frames().feed((MOST_BYTES + 1).to_bytes(4, "big"))


def test_a_sample_of_a_thousand_models_is_small():
    replica = ReplicaSample(name=ReplicaName("r"), running=1, busy_s=1.5, slots=4, ready_for=9.5)
    one = {
        "waiting": 1,
        "running": 1,
        "waiting_s": 1.25,
        "running_s": 1.25,
        "arrivals": 100,
        "completions": 100,
        "service_s": 10.5,
        "oldest_wait": None,
        "idle_for": None,
        "replicas": (replica,),
    }
    names = [RevisionName(f"default/model-{n}") for n in range(1000)]
    made = {name: RevisionSample(revision=name, **one) for name in names}
    data = Codec(Sample).encode(Sample(gateway=GatewayName("g"), revisions=made))
    assert len(data) < 500 * len(names)

"""Whose a request is: key, certificate, address; what a trusted peer says; who has precedence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.reasons import Reason
from gateway.core.callers import Admitted, Origin, Said, admit, bearer, net_of
from gateway.core.keys import Key, key_line, read_keys
from gateway.core.peers import NOBODY, Peers
from gateway.core.refused import RefusedError

PEERS = Peers("10.0.0.0/8,fd00::/8")
STRANGER = Origin(address="192.0.2.7")
BALANCER = Origin(address="10.0.0.1", trusted=True)
KEYS, _ = read_keys(
    "\n".join(
        [
            key_line("plain-secret", Key(name="plain", models=("chat-*", "embed"))),
            key_line("ops-secret", Key(name="ops", trusted=True)),
        ]
    ),
    source="keys",
)


def admitted(said=None, origin=STRANGER, keys=None) -> Admitted:
    return admit(said or Said(), origin, keys=keys, peers=PEERS)


def refusal(said, origin=STRANGER, keys=KEYS) -> Reason:
    with pytest.raises(RefusedError) as refused:
        admitted(said, origin, keys)
    return refused.value.reason


def test_a_caller_is_its_key_else_its_certificate_else_its_address():
    named = Origin(address="192.0.2.7", subject="CN=alice")
    assert admitted(Said(secret=b"plain-secret"), named, KEYS).caller == "key:plain"
    assert admitted(origin=named).caller == "cert:CN=alice"
    assert admitted().caller == "addr:192.0.2.7"


def test_without_keys_an_authorization_means_nothing():
    assert admitted(Said(secret=b"what the model server wants")) == admitted()


def test_with_keys_one_is_wanted_whatever_else_is_known():
    assert refusal(Said(), Origin(address="10.0.0.1", subject="CN=a", trusted=True)) is (
        Reason.KEY_MISSING
    )
    for secret in (b"", b"plain-secre", b"plain-secret ", b"sha256:" + b"a" * 64):
        assert refusal(Said(secret=secret)) is Reason.KEY_WRONG


def test_a_key_says_which_models_are_there():
    assert admitted(Said(secret=b"plain-secret"), keys=KEYS).models == ("chat-*", "embed")
    assert admitted(Said(secret=b"ops-secret"), keys=KEYS).models is None
    assert admitted().models is None


@pytest.mark.parametrize(
    ("forwarded", "caller"),
    [
        ([b"198.51.100.9"], "addr:198.51.100.9"),
        ([b"203.0.113.1, 198.51.100.9, 10.2.3.4"], "addr:198.51.100.9"),
        ([b"203.0.113.1", b"198.51.100.9:4711"], "addr:198.51.100.9"),
        ([b'for=203.0.113.1;proto=http, FOR="[2001:db8:1:2::5]:80"'], "addr:2001:db8:1:2::/64"),
        ([b"by=10.0.0.1;for=198.51.100.9"], "addr:198.51.100.9"),
        ([b"10.1.1.1, fd00::1"], "addr:10.0.0.1"),
        ([b"unknown, _hidden"], "addr:10.0.0.1"),
        # What its sender wrote must not stand for one whom the peer could not tell.
        ([b"203.0.113.1, unknown"], "addr:10.0.0.1"),
        ([b"for=203.0.113.1, for=_hidden, for=10.2.3.4"], "addr:10.0.0.1"),
        ([b"198.51.100.9, , "], "addr:198.51.100.9"),
        ([b""], "addr:10.0.0.1"),
        ([], "addr:10.0.0.1"),
    ],
)
def test_behind_a_trusted_peer_the_last_untrusted_address_calls(forwarded, caller):
    assert admitted(Said(forwarded=forwarded), BALANCER).caller == caller


def test_nobody_else_may_speak_for_others():
    assert admitted(Said(forwarded=[b"198.51.100.9"])).caller == "addr:192.0.2.7"


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_whatever_a_trusted_peer_forwards_somebody_calls(forwarded):
    assert admitted(Said(forwarded=forwarded), BALANCER).caller.startswith("addr:")


def test_precedence_is_believed_from_trusted_keys_and_peers_alone():
    said = Said(precedence=b"7")
    assert admitted(said).precedence == 0
    assert admitted(said, BALANCER).precedence == 7
    for secret, origin, precedence in (
        (b"ops-secret", STRANGER, 7),
        (b"plain-secret", STRANGER, 0),
        (b"plain-secret", BALANCER, 7),
    ):
        keyed = Said(secret=secret, precedence=b"7")
        assert admitted(keyed, origin, KEYS).precedence == precedence


@pytest.mark.parametrize("value", [b"-100", b"-1", b"0", b"100", b"007"])
def test_precedence_is_a_whole_number(value):
    assert admitted(Said(precedence=value), BALANCER).precedence == int(value)


@pytest.mark.parametrize(
    "value", [b"101", b"-101", b"1.5", b"--1", b"-", b"high", b"1_0", b"0" * 9]
)
def test_other_precedence_is_refused_to_those_who_are_believed(value):
    assert refusal(Said(precedence=value), BALANCER, None) is Reason.MALFORMED
    assert admitted(Said(precedence=value)).precedence == 0


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        (b"Bearer abc", b"abc"),
        (b"bearer  abc ", b"abc"),
        (b"Basic abc", None),
        (b"Bearer", None),
        (b"", None),
        (b"BearerX abc", None),
    ],
)
def test_a_bearer_token_is_the_key(value, secret):
    assert bearer(value) == secret


@pytest.mark.parametrize(
    ("address", "net"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_one_caller_has_one_address_or_one_network(address, net):
    assert net_of(address) == net


def test_an_address_that_is_called_like_a_key_is_no_key():
    assert Origin(address="key:ops").caller == "addr:key:ops"
    assert admit(Said(), Origin(address=""), keys=None, peers=NOBODY).caller == "addr:"

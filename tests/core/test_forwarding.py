"""Who may speak for others, and what a replica is told of the hops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import SettingError
from fleet.reasons import Reason
from fleet.settings import read_settings
from gateway.core.chunks import LAST_CHUNK
from gateway.core.forwarding import Edge, Style, hop_lines
from gateway.core.head import Manner, read_request_head
from gateway.core.peers import NOBODY, Peers
from gateway.core.refused import RefusedError
from gateway.core.requests import request_pieces
from gateway.core.route import find_route
from gateway.core.table import Table


def head(*fields: bytes, host: bytes = b"Host: gw:80", via: bytes = b"ebbtide", line=b"HTTP/1.1"):
    raw = b"\r\n".join([b"GET /v2 " + line, host, *fields, b"", b""])
    return read_request_head(raw, Manner(via=via))


def edge(style: Style, *, trusted: bool = False, address: str = "192.0.2.7", via: bytes = b""):
    return Edge(style=style, trusted=trusted, address=address, via=via)


SPOKEN = (
    b"X-Forwarded-For: 198.51.100.1",
    b"x-forwarded-for: 198.51.100.2",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: shop.example",
    b"Forwarded: for=198.51.100.1;proto=https",
    b"X-Real-IP: 198.51.100.1",
    b"Accept: a/b",
)


def test_nobody_is_trusted_by_default():
    assert not NOBODY
    assert not NOBODY.contains("127.0.0.1")


@pytest.mark.parametrize(
    ("networks", "address", "contained"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.0/8, 2001:db8::/32", "2001:db8::5", True),
        ("10.0.0.0/8,2001:db8::/32", "2001:db9::5", False),
        ("10.0.0.0/8", "::ffff:10.0.0.1", True),
        ("10.0.0.0/8", "", False),
        ("0.0.0.0/0", "no address", False),
    ],
)
def test_peers_are_those_in_the_networks(networks, address, contained):
    assert Peers(networks).contains(address) is contained


@given(st.ip_addresses(v=4))
def test_an_address_means_the_same_mapped_into_ipv6(address):
    peers = Peers("128.0.0.0/1")
    assert peers.contains(str(address)) is peers.contains(f"::ffff:{address}")


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "nobody", "10.0.0.0 8"])
def test_what_is_no_network_is_said(text):
    with pytest.raises(SettingError, match="EBBTIDE_TRUSTED_PEERS"):
        read_settings({"EBBTIDE_TRUSTED_PEERS": text})


@pytest.mark.parametrize(
    ("name", "text"), [("FORWARDED", "yes"), ("VIA", "a b"), ("VIA", "a\r\nX: y")]
)
def test_other_settings_of_hops_are_read_strictly(name, text):
    with pytest.raises(SettingError, match=f"EBBTIDE_{name}"):
        read_settings({f"EBBTIDE_{name}": text})


def test_when_off_everything_passes_untouched():
    found = head(*SPOKEN)
    assert hop_lines(found, edge(Style.OFF)) == list(SPOKEN)
    assert hop_lines(found, edge(Style.OFF, trusted=True)) == list(SPOKEN)


def test_x_forwarded_says_who_asked_and_what_a_stranger_said_is_taken_out():
    assert hop_lines(head(*SPOKEN), edge(Style.X_FORWARDED)) == [
        b"Accept: a/b",
        b"X-Forwarded-For: 192.0.2.7",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: gw:80",
    ]


def test_x_forwarded_continues_what_a_trusted_peer_said():
    assert hop_lines(head(*SPOKEN), edge(Style.X_FORWARDED, trusted=True)) == [
        b"Accept: a/b",
        b"X-Forwarded-For: 198.51.100.1, 198.51.100.2, 192.0.2.7",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: shop.example",
        b"Forwarded: for=198.51.100.1;proto=https",
        b"x-real-ip: 198.51.100.1",
    ]


def test_forwarded_says_who_asked():
    assert hop_lines(head(*SPOKEN), edge(Style.FORWARDED)) == [
        b"Accept: a/b",
        b'Forwarded: for=192.0.2.7;host="gw:80";proto=http',
    ]
    (line,) = hop_lines(head(), edge(Style.FORWARDED, address="2001:db8::1"))
    assert line == b'Forwarded: for="[2001:db8::1]";host="gw:80";proto=http'


def test_forwarded_continues_what_a_trusted_peer_said():
    lines = hop_lines(head(*SPOKEN), edge(Style.FORWARDED, trusted=True))
    assert lines[-2] == (
        b'Forwarded: for=198.51.100.1;proto=https, for=192.0.2.7;host="gw:80";proto=http'
    )


def test_via_continues_with_the_version_that_was_received():
    via = edge(Style.OFF, via=b"ebbtide")
    assert hop_lines(head(b"Via: 1.1 front"), via) == [b"Via: 1.1 front", b"Via: 1.1 ebbtide"]
    assert hop_lines(head(line=b"HTTP/1.0"), via) == [b"Via: 1.0 ebbtide"]


@pytest.mark.parametrize(
    ("fields", "looped"),
    [
        ((), False),
        ((b"Via: 1.1 ebbtide",), False),
        ((b"Via: 1.1 ebbtide, 1.1 other",), False),
        ((b"Via: 1.1 ebbtide, 1.1 other, 1.0 Ebbtide",), True),
        ((b"Via: 1.1 ebbtide (us)", b"Via: 1.1 other", b"via: HTTP/1.1 ebbtide"), True),
        ((b"Via: ebbtide", b"Via: , ,"), False),
    ],
)
def test_a_request_that_has_been_here_twice_goes_round_in_a_loop(fields, looped):
    found = head(*fields)
    assert found.looped is looped
    assert not head(*fields, via=b"").looped
    if looped:
        with pytest.raises(RefusedError) as refused:
            find_route(Table(), found)
        assert refused.value.reason is Reason.REQUEST_LOOP


def test_what_is_remembered_of_a_head_holds_for_one_hop():
    found = head(*SPOKEN)
    one, other = edge(Style.X_FORWARDED), edge(Style.X_FORWARDED, address="192.0.2.8")
    sent = [
        request_pieces(b"GET /v2 HTTP/1.1", b"Host: a", found, [], last=LAST_CHUNK, edge=hop)[0]
        for hop in (one, other, one)
    ]
    assert [b"192.0.2.8" in piece for piece in sent] == [False, True, False]


def test_underscored_names_go_no_further_unless_they_may():
    raw = b"GET /a_b HTTP/1.1\r\nHost: gw\r\nX_A: 1\r\nX-A: b_c\r\n_: 1\r\n\r\n"
    assert read_request_head(raw).fields == [b"X-A: b_c"]
    assert len(read_request_head(raw, Manner(underscores=True)).fields) == 3

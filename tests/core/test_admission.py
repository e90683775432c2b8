"""Whom the admin port answers: every reach, with tokens and without."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.reasons import Reason
from gateway.core.admission import OPEN_PATHS, Admission, Asked, Reach, deny
from gateway.core.tokens import Tokens, read_tokens, said_token

TOKEN = "a-token-of-twenty-ch"
TOKENS = Tokens([TOKEN, "another-one-of-them"])
PATHS = ("/", "/api/models", "/api/models/healthz", "/metrics/", "//healthz", "/healthz/x", "")


def ask(path="/api/models", *, hosts=("127.0.0.1:8081",), said=()):
    return Asked(path=path, hosts=hosts, authorizations=said)


def bearer(token):
    return b"Bearer " + token.encode()


def basic(user, token):
    return b"Basic " + b64encode(f"{user}:{token}".encode())


def denied(asked, reach, tokens=None):
    denial = deny(asked, Admission(reach=reach), tokens)
    return None if denial is None else (denial.status, denial.reason)


@pytest.mark.parametrize("reach", [Reach.LOOPBACK, Reach.NETWORK])
@pytest.mark.parametrize("tokens", [None, TOKENS], ids=["open", "token"])
@pytest.mark.parametrize("hosts", [("10.1.2.3:8081",), ("evil.example",), (), ("a", "b")], ids=str)
@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
def test_in_a_cluster_health_and_metrics_are_told_to_anybody(path, hosts, tokens, reach):
    assert denied(ask(path, hosts=hosts), reach, tokens) is None


@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
def test_on_one_machine_they_are_as_the_rest_until_there_is_a_token(path):
    assert denied(ask(path, hosts=("evil.example",)), Reach.MACHINE) is not None
    assert denied(ask(path), Reach.MACHINE) is None
    assert denied(ask(path, hosts=("evil.example",)), Reach.MACHINE, TOKENS) is None


@pytest.mark.parametrize("path", PATHS)
def test_without_a_token_other_machines_are_told_nothing_else(path):
    assert denied(ask(path), Reach.NETWORK) == (403, Reason.NOT_ALLOWED)
    denial = deny(ask(path), Admission(reach=Reach.NETWORK), None)
    assert denial is not None
    assert "EBBTIDE_ADMIN_TOKEN_FILE" in denial.message


@pytest.mark.parametrize("reach", [Reach.MACHINE, Reach.LOOPBACK])
@pytest.mark.parametrize("path", PATHS)
def test_without_a_token_this_machine_is_told_all_by_its_own_names(path, reach):
    assert denied(ask(path), reach) is None
    assert denied(ask(path, hosts=("localhost",)), reach) is None
    for hosts in (("evil.example",), (), ("localhost", "localhost")):
        assert denied(ask(path, hosts=hosts), reach) == (403, Reason.NOT_ALLOWED)


@pytest.mark.parametrize("reach", list(Reach))
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ((bearer(TOKEN),), None),
        ((b"bearer   " + TOKEN.encode() + b" ",), None),
        ((basic("", TOKEN),), None),
        ((basic("me", "another-one-of-them"),), None),
        ((), (401, Reason.KEY_MISSING)),
        ((b"Bearer ",), (401, Reason.KEY_MISSING)),
        ((b"Basic !",), (401, Reason.KEY_MISSING)),
        ((b"Basic " + b64encode(TOKEN.encode()),), (401, Reason.KEY_MISSING)),
        ((b"Digest " + TOKEN.encode(),), (401, Reason.KEY_MISSING)),
        ((bearer(TOKEN), bearer(TOKEN)), (401, Reason.KEY_MISSING)),
        ((bearer(TOKEN + "x"),), (401, Reason.KEY_WRONG)),
        ((bearer(TOKEN[:-1]),), (401, Reason.KEY_WRONG)),
        ((basic(TOKEN, "x"),), (401, Reason.KEY_WRONG)),
        ((bearer("\xff"),), (401, Reason.KEY_WRONG)),
    ],
)
def test_with_a_token_who_says_it_is_answered_by_any_name(path, reach, said, answer):
    for hosts in (("admin.example",), ("127.0.0.1",), ()):
        assert denied(ask(path, hosts=hosts, said=said), reach, TOKENS) == answer


@given(st.binary(max_size=600))
def test_nothing_else_is_taken_for_a_token(said):
    assert TOKENS.hold(said) == (said in {TOKEN.encode(), b"another-one-of-them"})
    said_token(said)
    said_token(b"Basic " + said)


def test_a_file_has_a_token_in_each_line():
    tokens, faults = read_tokens(f"# of the team\n\n  {TOKEN}  \nsecond-token-0123\n", source="f")
    assert faults == []
    assert len(tokens) == 2
    assert tokens.hold(TOKEN.encode())
    assert tokens.hold(b"second-token-0123")
    assert not tokens.hold(b"# of the team")
    assert not tokens.hold(b"")


@pytest.mark.parametrize(
    "text", ["short", "with spaces between it", "ünprintable-characters", "x" * 513]
)
def test_what_is_no_token_is_told_without_repeating_it(text):
    _, faults = read_tokens(f"{TOKEN}\n{text}\n", source="f")
    assert faults == ["f:2: expected a token of 16 to 512 printable characters without spaces"]


def test_a_file_without_any_is_a_fault():
    assert read_tokens("# none yet\n", source="f")[1] == [
        "f: expected a line with a token; nobody could open the admin port"
    ]

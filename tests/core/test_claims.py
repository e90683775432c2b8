"""What a Deployment claims: its models' names, and what may pass to a plain server."""

import pytest

from fleet.model import AllowRule, Served
from tests.core.deployments import accepted, document, read, refused

# Names.


def test_model_names_and_aliases() -> None:
    models = accepted({"model": " ocr , team/ocr:v2=ocr,e5@large=e5 "}).models
    assert models == (
        Served(name="ocr", served="ocr"),
        Served(name="team/ocr:v2", served="ocr"),
        Served(name="e5@large", served="e5"),
    )


@pytest.mark.parametrize(
    "text", ["", ",", "a,", "a,,b", "-a", "a b", "=a", "a=", "a=b=c", "a=-", "x" * 254, "ä", "a\nb"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    (message,) = refused({"model": text})
    assert "ebbtide.dev/model" in message
    assert "letters, digits or ._/@:-" in message


def test_the_longest_name_passes() -> None:
    assert len(accepted({"model": "x" * 253}).model) == 253


def test_a_name_twice_in_one_deployment_is_refused() -> None:
    (message,) = refused({"model": "a, b, a=c"})
    assert "a is there more than once" in message


@pytest.mark.parametrize("text", ["team/ocr", "ocr, x=team/ocr", "ocr/../../trace", "a/"])
def test_triton_serves_no_name_with_a_slash(text: str) -> None:
    # Its models are folders, and more of a path would lead to other calls of its API.
    for runtime in ({}, {"runtime": "triton"}):
        (message,) = refused({"model": text, **runtime})
        assert f"ebbtide.dev/model: '{text}': a name without / on Triton" in message
        assert "ALIAS=NAME" in message


@pytest.mark.parametrize("runtime", ["openai", "plain"])
def test_other_servers_may_serve_a_name_with_a_slash(runtime: str) -> None:
    keys = {"runtime": runtime, "port": "80"} | ({"allow": "all"} if runtime == "plain" else {})
    assert accepted({"model": "team/ocr, x=team/e5", **keys}).models == (
        Served(name="team/ocr", served="team/ocr"),
        Served(name="x", served="team/e5"),
    )


# Allow.


def test_what_may_pass_to_a_plain_server() -> None:
    keys = {"model": "m", "runtime": "plain", "port": "80"}
    allow = accepted({**keys, "allow": "POST /predict,GET /items/*, * /v1/, GET /, POST /predict"})
    assert allow.allow == (
        AllowRule(method="POST", path="/predict"),
        AllowRule(method="GET", path="/items/*"),
        AllowRule(method="*", path="/v1/"),
        AllowRule(method="GET", path="/"),
    )
    assert accepted({**keys, "allow": " all "}).allow == (AllowRule(method="*", path="*"),)
    assert accepted({**keys, "allow": "POST *"}).allow == (AllowRule(method="POST", path="*"),)
    assert accepted({**keys, "allow": "GET /*"}).allow == (AllowRule(method="GET", path="/*"),)
    assert accepted({**keys, "allow": "GRPC /a.B/Do, GRPC /a.C/*, GRPC *, POST /b"}).allow == (
        AllowRule(method="GRPC", path="/a.B/Do"),
        AllowRule(method="GRPC", path="/a.C/*"),
        AllowRule(method="GRPC", path="*"),
        AllowRule(method="POST", path="/b"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ALL",
        "/predict",
        "POST",
        "post /predict",
        "POST predict",
        "POST /a POST /b",
        "CONNECT /a",
        "TRACE /a",
        "POST /a,",
        "POST /a/../b",
        "POST /./b",
        "POST //b",
        "POST /a//b",
        "POST /a//*",
        "POST /a%2fb",
        "POST /a?b",
        "POST /a#b",
        "POST /a\\b",
        "POST /a*",
        "POST /*/b",
        "POST /..",
        "POST /../*",
        "POST /a\x01",
        "GRPC /a.B",
        "GRPC /a.B/",
        "GRPC /*",
        "GRPC /a.B/C/D",
        "GRPC /a.B/C/*",
        "GRPC a.B/C",
        "grpc /a.B/C",
    ],
)
def test_a_rule_that_could_never_match_or_matches_too_much_is_refused(text: str) -> None:
    (message,) = refused({"model": "m", "runtime": "plain", "port": "80", "allow": text})
    assert "POST /predict, GET /items/*" in message


def test_a_plain_server_without_allow_gets_a_warning() -> None:
    registration = read(document({"model": "m", "runtime": "plain", "port": "80"}))
    assert registration.revision is not None
    assert registration.revision.allow == ()
    (problem,) = registration.problems
    assert problem.warning
    assert "nothing may pass" in problem.allowed


# How much is read at all.


@pytest.mark.parametrize(
    "text",
    [
        ",".join(f"m{n}" for n in range(101)),
        "m," * 100_000,
        ",".join(f"{n:081}" for n in range(100)) + "x" * 12,
        "x" * 8193,
    ],
    ids=["a name too many", "an annotation full", "a character too many", "one long name"],
)
def test_too_many_names_are_refused_unread(text: str) -> None:
    (message,) = refused({"model": text})
    assert "at most 100 names and 8192 characters in all" in message


def test_as_many_names_as_may_be_pass() -> None:
    assert len(accepted({"model": ",".join(f"m{n}" for n in range(100))}).models) == 100


@pytest.mark.parametrize(
    "text",
    [",".join(f"POST /{n}" for n in range(1001)), "POST /a," * 30_000, f"POST /{'a' * 65531}"],
    ids=["a rule too many", "an annotation full", "a character too many"],
)
def test_too_many_rules_are_refused_unread(text: str) -> None:
    (message,) = refused({"model": "m", "runtime": "plain", "port": "80", "allow": text})
    assert "at most 1000 rules and 65536 characters in all" in message


def test_as_many_rules_as_may_be_pass() -> None:
    text = ",".join(f"POST /{n}" for n in range(1000))
    notes = {"model": "m", "runtime": "plain", "port": "80", "allow": text}
    assert len(accepted(notes).allow) == 1000

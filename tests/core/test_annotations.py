"""Every annotation, good and bad, and what its default is."""

import pytest

from fleet.annotations import KEYS
from fleet.model import (
    Affinity,
    AffinityKind,
    Mode,
    Policy,
    Ports,
    Retry,
    Revision,
    RuntimeName,
    Served,
    Tls,
    WarmUp,
)
from tests.core.deployments import accepted, document, read, refused


def test_the_defaults_are_those_of_the_table() -> None:
    revision = accepted()
    assert revision == Revision(
        name="n/d",
        models=(Served(name="m", served="m"),),
        runtime=RuntimeName.TRITON,
        ports=Ports(http=8000, grpc=8001, metrics=8002),
        policy=Policy(
            mode=Mode.AUTO,
            min_replicas=0,
            max_replicas=10,
            slots=None,
            target=0.7,
            keep_alive=None,
            queue_limit=1000,
            queue_limit_bytes=64 * 2**20,
            wait_timeout=600,
            request_timeout=600,
            start_timeout=600,
            max_body=2**30,
            retry=Retry.AUTO,
            affinity=None,
            slow_start=0,
            warm_up=WarmUp.AUTO,
            priority=0,
            pinned=False,
            gpu_price=None,
        ),
        gpus=0,
        replicas=0,
        version="7",
        template=revision.template,
        created=5.0,
        source="f.yaml",
    )


GOOD = [
    ("mode", "advise", "mode", Mode.ADVISE),
    ("mode", "off", "mode", Mode.OFF),
    ("mode", " auto ", "mode", Mode.AUTO),
    ("min-replicas", "3", "min_replicas", 3),
    ("max-replicas", "0", "max_replicas", 0),
    ("slots", "auto", "slots", None),
    ("slots", "4", "slots", 4),
    ("target", "100", "target", 1.0),
    ("target", "1", "target", 0.01),
    ("keep-alive", "auto", "keep_alive", None),
    ("keep-alive", "0", "keep_alive", 0.0),
    ("keep-alive", "1h30m", "keep_alive", 5400.0),
    ("keep-alive", "90", "keep_alive", 90.0),
    ("queue-limit", "1", "queue_limit", 1),
    ("queue-limit-bytes", "1Gi", "queue_limit_bytes", 2**30),
    ("wait-timeout", "250ms", "wait_timeout", 0.25),
    ("request-timeout", "5m", "request_timeout", 300.0),
    ("start-timeout", "366d", "start_timeout", 366 * 86400.0),
    ("max-body", "500k", "max_body", 500_000),
    ("retry", "auto", "retry", Retry.AUTO),
    ("retry", "never", "retry", Retry.NEVER),
    ("retry", " connect ", "retry", Retry.CONNECT),
    ("retry", "replica", "retry", Retry.REPLICA),
    ("cancels", "auto", "cancels", None),
    ("cancels", "true", "cancels", True),
    ("cancels", "false", "cancels", False),
    ("affinity", "none", "affinity", None),
    ("affinity", " client ", "affinity", Affinity(kind=AffinityKind.CLIENT)),
    ("affinity", "header:X-User", "affinity", Affinity(kind=AffinityKind.HEADER, name="X-User")),
    ("affinity", "cookie:sid", "affinity", Affinity(kind=AffinityKind.COOKIE, name="sid")),
    ("affinity", "prompt:256", "affinity", Affinity(kind=AffinityKind.PROMPT, size=256)),
    ("slow-start", "30s", "slow_start", 30.0),
    ("slow-start", "0", "slow_start", 0.0),
    ("warm-up", "none", "warm_up", WarmUp.NONE),
    ("warm-up", "./first.json", "warm_up_file", "./first.json"),
    ("warm-up", "./first.json", "warm_up", WarmUp.FILE),
    ("priority", "-100", "priority", -100),
    ("priority", "100", "priority", 100),
    ("pinned", "true", "pinned", True),
    ("tls", "on", "http_tls", Tls()),
    ("tls", "on", "grpc_tls", Tls()),
    ("tls", "grpc", "http_tls", None),
    ("tls", "grpc", "grpc_tls", Tls()),
    ("tls", "off", "grpc_tls", None),
    ("gpu-price", "2.75", "gpu_price", 2.75),
    ("gpu-price", "0", "gpu_price", 0.0),
    ("heartbeat", "off", "heartbeat", None),
    ("heartbeat", "10s", "heartbeat", 10.0),
]


@pytest.mark.parametrize(("key", "text", "field", "value"), GOOD)
def test_a_good_value_is_understood(key: str, text: str, field: str, value: object) -> None:
    assert getattr(accepted({"model": "m", key: text}).policy, field) == value


def test_tls_is_spoken_to_a_name() -> None:
    texts = {"model": "m", "tls": "on", "tls-name": "m.example", "tls-verify": "false"}
    assert accepted(texts).policy.http_tls == Tls(verify=False, name="m.example")


@pytest.mark.parametrize("key", ["tls-name", "tls-verify"])
def test_how_tls_is_spoken_means_nothing_without_it(key: str) -> None:
    (message,) = refused({"model": "m", key: "true"})
    assert "only with ebbtide.dev/tls" in message


_DURATION = "a duration"
_SIZE = "a size"
BAD = [
    ("mode", "of", "one of auto, advise, off"),
    ("runtime", "triton2", "one of triton, plain, openai"),
    ("runtime", "tfserving", "not yet; for now one of triton, plain, openai"),
    ("runtime", "torchserve", "not yet; for now one of triton, plain, openai"),
    ("min-replicas", "-1", "a whole number from 0 to 1000"),
    ("min-replicas", "1.5", "a whole number from 0 to 1000"),
    ("max-replicas", "many", "a whole number from 0 to 1000"),
    ("max-replicas", "9" * 400, "a whole number from 0 to 1000"),
    ("slots", "0", "auto, or a whole number from 1 to 100000"),
    ("target", "0", "a whole number from 1 to 100"),
    ("target", "101", "a whole number from 1 to 100"),
    ("keep-alive", "soon", "auto, or a duration"),
    ("keep-alive", "5m30", _DURATION),
    ("keep-alive", "9" * 400, _DURATION),
    ("queue-limit", "0", "a whole number from 1 to 1000000"),
    ("queue-limit-bytes", "0", _SIZE),
    ("queue-limit-bytes", "64MB", _SIZE),
    ("wait-timeout", "0", "a duration over 0"),
    ("wait-timeout", "-1s", _DURATION),
    ("request-timeout", "0s", "a duration over 0"),
    ("start-timeout", "367d", "a duration of up to a year"),
    ("start-timeout", "", _DURATION),
    ("max-body", "1e9", _SIZE),
    ("max-body", "9" * 400, _SIZE),
    ("retry", "always", "one of auto, never, connect, replica"),
    ("cancels", "sometimes", "auto, or "),
    ("affinity", "clients", "none, client, header:NAME, cookie:NAME, or prompt:BYTES"),
    ("affinity", "client:x", "none, client, header:NAME"),
    ("affinity", "header:", "none, client, header:NAME"),
    ("affinity", "header:a b", "none, client, header:NAME"),
    ("affinity", "cookie:a;b", "none, client, header:NAME"),
    ("affinity", "prompt", "prompt:BYTES, a whole number from 1 to 65536"),
    ("affinity", "prompt:0", "prompt:BYTES, a whole number from 1 to 65536"),
    ("slow-start", "slowly", "a duration"),
    ("warm-up", "never", "auto, none, or a file"),
    ("warm-up", "", "auto, none, or a file"),
    ("priority", "101", "a whole number from -100 to 100"),
    ("pinned", "yes", "true or false"),
    ("heartbeat", "on", "off, or a duration"),
    ("heartbeat", "100ms", "off, or a duration of a second or more"),
    ("gpu-price", "-1", "a number of 0 or more"),
    ("gpu-price", "2,5", "a number of 0 or more"),
    ("tls", "yes", "one of off, on, grpc"),
    ("tls-verify", "maybe", "true or false"),
    ("tls-name", "a b", "the DNS name or IP address"),
    ("tls-name", "-a", "the DNS name or IP address"),
    ("tls-name", "a" * 254, "the DNS name or IP address"),
    ("port", "0", "a port number from 1 to 65535, or the name of a container port"),
    ("port", "65536", "a port number from 1 to 65535"),
    ("grpc-port", "web", "a port number from 1 to 65535"),
    ("metrics-port", "", "a port number from 1 to 65535"),
    ("allow", "all", "only for runtime plain; triton has its own list"),
]


@pytest.mark.parametrize(("key", "text", "allowed"), BAD)
def test_a_bad_value_is_refused_and_told_what_is_allowed(key: str, text: str, allowed: str) -> None:
    with_it = {"tls": "on"} if key.startswith("tls-") else {}
    (message,) = refused({"model": "m", **with_it, key: text})
    assert message.startswith(f"f.yaml n/d: ebbtide.dev/{key}: ")
    assert text[:70] in message
    assert allowed in message


def test_the_tables_here_leave_no_key_out() -> None:
    assert {key for key, *_ in BAD} | {"model"} == set(KEYS)


@pytest.mark.parametrize("value", [4, 1.5, True, False, ["a"], {"a": "b"}])
def test_a_value_that_is_no_text_is_told_to_be_quoted(value: object) -> None:
    # `mode: off` without quotes is the word false to YAML.
    (message,) = refused({"model": "m", "mode": value})
    assert "ebbtide.dev/mode" in message
    assert "quotes" in message


def test_all_problems_are_said_not_only_the_first() -> None:
    messages = refused({"model": "", "slots": "x", "pinned": "y", "port": "z", "nonsense": "1"})
    assert len(messages) == 5


def test_a_bad_runtime_is_one_problem_whatever_depends_on_it() -> None:
    assert len(refused({"model": "m", "runtime": "plian", "allow": "GET /x", "port": "80"})) == 1


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("keepalive", "ebbtide.dev/keep-alive?"),
        ("min-replica", "ebbtide.dev/min-replicas?"),
        ("Model", "ebbtide.dev/model?"),
        ("local.volumes.models", "ebbtide.dev/local.volume.NAME?"),
        ("local.volume.", "ebbtide.dev/local.volume.NAME?"),
        ("local.comand", "ebbtide.dev/local.command?"),
        ("zzzzzz", "known are model, runtime"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(key: str, near: str) -> None:
    (message,) = refused({"model": "m", key: "x"})
    assert f"ebbtide.dev/{key}: 'x': no such annotation" in message
    assert near in message


@pytest.mark.parametrize("key", ["draining", "local.command", "local.volume.models"])
def test_keys_of_ebbtide_and_of_the_local_cluster_are_known(key: str) -> None:
    assert read(document({"model": "m", key: "x"})).problems == ()


def test_the_minimum_must_not_be_over_the_maximum() -> None:
    (message,) = refused({"model": "m", "min-replicas": "5", "max-replicas": "4"})
    assert "ebbtide.dev/min-replicas: '5'" in message
    (message,) = refused({"model": "m", "min-replicas": "11"})
    assert "maximum (10)" in message
    (message,) = refused({"model": "m", "pinned": "true", "max-replicas": "0"})
    assert "ebbtide.dev/max-replicas" in message
    assert "since pinned" in message
    assert accepted({"model": "m", "min-replicas": "4", "max-replicas": "4"})


def test_of_very_many_unknown_keys_some_are_told_and_the_others_counted() -> None:
    messages = refused({"model": "m", **{f"x{n}": "y" for n in range(16_000)}})
    assert len(messages) == 21
    assert "ebbtide.dev/x20: 'y': no such annotation; nor are 15979 more" in messages[-1]

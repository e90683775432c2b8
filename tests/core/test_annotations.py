"""Every annotation, good and bad; and that no document from outside makes reading fail."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.annotations import KEYS
from fleet.deployment import Registration, read_deployment
from fleet.model import AllowRule, Mode, Policy, Ports, Revision, RuntimeName, Served, WarmUp


def document(
    annotations: dict[str, Any] | None = None,
    *,
    container: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
) -> dict[str, Any]:
    keys = {"model": "m"} if annotations is None else annotations
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "d",
            "namespace": "n",
            "annotations": {f"ebbtide.dev/{key}": value for key, value in keys.items()},
        },
        "spec": {
            "template": {"spec": {"containers": [{"name": "c", **(container or {})}]}},
            **(spec or {}),
        },
    }


def read(document: dict[str, Any]) -> Registration:
    return read_deployment(document, source="f.yaml", created=5.0, version="7")


def accepted(*args: Any, **kwargs: Any) -> Revision:
    registration = read(document(*args, **kwargs))
    assert registration.revision is not None, [str(each) for each in registration.problems]
    return registration.revision


def refused(*args: Any, **kwargs: Any) -> list[str]:
    registration = read(document(*args, **kwargs))
    assert registration.revision is None
    return [str(each) for each in registration.problems if not each.warning]


def ports(*named: tuple[str | None, int]) -> dict[str, Any]:
    return {
        "ports": [
            {"containerPort": number} | ({"name": name} if name else {}) for name, number in named
        ]
    }


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
    ("warm-up", "none", "warm_up", WarmUp.NONE),
    ("warm-up", "./first.json", "warm_up_file", "./first.json"),
    ("warm-up", "./first.json", "warm_up", WarmUp.FILE),
    ("priority", "-100", "priority", -100),
    ("priority", "100", "priority", 100),
    ("pinned", "true", "pinned", True),
    ("gpu-price", "2.75", "gpu_price", 2.75),
    ("gpu-price", "0", "gpu_price", 0.0),
]


@pytest.mark.parametrize(("key", "text", "field", "value"), GOOD)
def test_a_good_value_is_understood(key: str, text: str, field: str, value: object) -> None:
    assert getattr(accepted({"model": "m", key: text}).policy, field) == value


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
    ("warm-up", "never", "auto, none, or a file"),
    ("warm-up", "", "auto, none, or a file"),
    ("priority", "101", "a whole number from -100 to 100"),
    ("pinned", "yes", "true or false"),
    ("gpu-price", "-1", "a number of 0 or more"),
    ("gpu-price", "2,5", "a number of 0 or more"),
    ("port", "0", "a port number from 1 to 65535, or the name of a container port"),
    ("port", "65536", "a port number from 1 to 65535"),
    ("grpc-port", "web", "a port number from 1 to 65535"),
    ("metrics-port", "", "a port number from 1 to 65535"),
    ("allow", "all", "only for runtime plain; triton has its own list"),
]


@pytest.mark.parametrize(("key", "text", "allowed"), BAD)
def test_a_bad_value_is_refused_and_told_what_is_allowed(key: str, text: str, allowed: str) -> None:
    (message,) = refused({"model": "m", key: text})
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


# Not ours.


def test_a_deployment_without_annotations_is_not_ours() -> None:
    plain = document({})
    assert read(plain) == Registration(revision=None, problems=())
    plain["metadata"]["annotations"] = {"other": 3}
    plain["spec"] = "whatever"
    assert read(plain) == Registration(revision=None, problems=())


def test_other_keys_without_model_are_a_problem() -> None:
    (message,) = refused({"keep-alive": "5m"})
    assert "ebbtide.dev/model: the model's name" in message
    assert "ebbtide.dev/keep-alive" in message


def test_annotations_on_the_pod_template_are_pointed_at() -> None:
    wrong = document({})
    wrong["spec"]["template"]["metadata"] = {"annotations": {"ebbtide.dev/model": "m"}}
    (problem,) = read(wrong).problems
    assert "not on its pod template" in problem.allowed
    both = document()
    both["spec"]["template"]["metadata"] = {"annotations": {"ebbtide.dev/mode": "off"}}
    (problem,) = read(both).problems
    assert problem.warning
    assert read(both).revision is not None


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


# Ports.


def test_ports_come_from_annotation_then_name_then_runtime() -> None:
    named = ports(("http", 1), ("grpc", 2), ("metrics", 3), ("web", 4))
    assert accepted(container=named).ports == Ports(http=1, grpc=2, metrics=3)
    chosen = {"model": "m", "port": "web", "grpc-port": "9001", "metrics-port": "http"}
    assert accepted(chosen, container=named).ports == Ports(http=4, grpc=9001, metrics=1)
    openai = {"model": "m", "runtime": "openai"}
    assert accepted(openai).ports == Ports(http=8000)
    assert accepted(openai, container=ports((None, 9))).ports == Ports(http=8000)


def test_a_port_name_must_be_one_of_a_container() -> None:
    (message,) = refused({"model": "m", "port": "web"}, container=ports(("http", 1), ("admin", 2)))
    assert "the name of a container port: admin, http" in message


def test_the_ports_of_triton_differ() -> None:
    (message,) = refused({"model": "m", "port": "8001"})
    assert "another port" in message


def test_a_plain_server_must_say_its_port() -> None:
    keys = {"model": "m", "runtime": "plain", "allow": "all"}
    assert accepted(keys, container=ports((None, 9))).ports == Ports(http=9)
    assert accepted(keys, container=ports(("x", 8), ("http", 9))).ports == Ports(http=9)
    assert accepted({**keys, "port": "7"}).ports == Ports(http=7)
    for container in ({}, ports((None, 8), (None, 9))):
        (message,) = refused(keys, container=container)
        assert "runtime plain has no port of its own" in message


def test_ports_for_datagrams_do_not_count() -> None:
    container = {"ports": [{"name": "http", "containerPort": 9, "protocol": "UDP"}]}
    assert accepted(container=container).ports.http == 8000


@pytest.mark.parametrize("port", [0, 65536, "80", True, None, 1.5])
def test_a_container_port_that_is_none(port: object) -> None:
    container = {"ports": [{"name": "http", "containerPort": port}]}
    if port is None:
        assert accepted(container=container).ports.http == 8000
    else:
        (message,) = refused(container=container)
        assert "spec.template.spec.containers[0].ports[0].containerPort" in message


# GPUs, replicas, deadline.


@pytest.mark.parametrize(("value", "gpus"), [(0, 0), (1, 1), ("2", 2), (1024, 1024)])
def test_gpus_come_from_the_limits(value: object, gpus: int) -> None:
    limits = {"nvidia.com/gpu": value}
    assert accepted(container={"resources": {"limits": limits}}).gpus == gpus
    both = {"limits": limits, "requests": {"nvidia.com/gpu": value}}
    assert accepted(container={"resources": both}).gpus == gpus


@pytest.mark.parametrize("value", ["1.5", 0.5, -1, "-1", "one", True, 1025, [1], "٣"])
def test_gpus_are_a_whole_number(value: object) -> None:
    (message,) = refused(container={"resources": {"limits": {"nvidia.com/gpu": value}}})
    assert "limits.nvidia.com/gpu" in message
    assert "a whole number of GPUs from 0 to 1024" in message


def test_gpu_requests_must_equal_the_limits() -> None:
    for number in (1, 3):
        differ = {"limits": {"nvidia.com/gpu": 2}, "requests": {"nvidia.com/gpu": number}}
        (message,) = refused(container={"resources": differ})
        assert f"requests.nvidia.com/gpu: '{number}': the same as the limit (2)" in message
    (message,) = refused(container={"resources": {"requests": {"nvidia.com/gpu": 1}}})
    assert "needs a limit" in message


def test_gpus_of_all_containers_add_up() -> None:
    two = document(container={"resources": {"limits": {"nvidia.com/gpu": 1}}})
    containers = two["spec"]["template"]["spec"]["containers"]
    containers.append({**containers[0], "name": "e"})
    revision = read(two).revision
    assert revision is not None
    assert revision.gpus == 2


def test_another_kind_of_gpu_is_warned_about() -> None:
    container = {"resources": {"limits": {"nvidia.com/mig-1g.5gb": 1, "memory": "1Gi"}}}
    (problem,) = read(document(container=container)).problems
    assert problem.warning
    assert "nvidia.com/mig-1g.5gb" in problem.key


def test_replicas_when_first_seen() -> None:
    assert accepted(spec={"replicas": 3}).replicas == 3
    assert accepted({"model": "m", "min-replicas": "2"}).replicas == 2
    assert accepted({"model": "m", "pinned": "true"}).replicas == 1
    assert accepted({"model": "m", "pinned": "true"}, spec={"replicas": 0}).replicas == 0
    (message,) = refused(spec={"replicas": -1})
    assert "spec.replicas: '-1': a whole number from 0 to 1000" in message


def test_the_progress_deadline_is_the_default_of_the_start_timeout() -> None:
    deadline = {"progressDeadlineSeconds": 90}
    assert accepted(spec=deadline).policy.start_timeout == 90.0
    assert (
        accepted({"model": "m", "start-timeout": "2m"}, spec=deadline).policy.start_timeout == 120
    )
    (message,) = refused(spec={"progressDeadlineSeconds": "soon"})
    assert "spec.progressDeadlineSeconds" in message


# The document around it.


@pytest.mark.parametrize(
    ("field", "value"), [("name", None), ("name", "../x"), ("name", "A"), ("namespace", "a/b")]
)
def test_names_are_as_kubernetes_wants_them(field: str, value: object) -> None:
    bad = document()
    bad["metadata"][field] = value
    registration = read(bad)
    assert registration.revision is None
    assert f"metadata.{field}" in str(registration.problems[0])


def test_another_api_version_is_refused() -> None:
    (problem,) = read({**document(), "apiVersion": "extensions/v1beta1"}).problems
    assert (problem.key, problem.allowed) == ("apiVersion", "apps/v1")


def test_an_item_of_a_list_needs_neither_kind_nor_version() -> None:
    bare = document()
    del bare["kind"], bare["apiVersion"]
    assert read(bare).revision is not None


def test_there_must_be_a_container() -> None:
    empty = document(spec={"template": {}})
    (problem,) = read(empty).problems
    assert problem.key == "spec.template.spec.containers"


def test_the_digest_names_what_decides_the_processes_and_nothing_else() -> None:
    base = accepted().template
    assert accepted(spec={"replicas": 4, "strategy": {"type": "Recreate"}}).template == base
    assert accepted({"model": "m, n", "keep-alive": "5m"}).template == base
    assert accepted(container={"args": ["x"]}).template != base
    assert accepted({"model": "m", "local.command": "x"}).template != base
    assert accepted({"model": "m", "local.volume.v": "./x"}).template != base
    assert accepted({"model": "m", "port": "9000"}).template != base
    turned = document()
    turned["spec"]["template"]["spec"]["containers"][0] = {"image": "i", "name": "c"}
    other = document()
    other["spec"]["template"]["spec"]["containers"][0] = {"name": "c", "image": "i"}
    assert read(turned).revision == read(other).revision
    assert read(turned).revision is not None


def test_a_refused_deployment_leaves_a_draft_for_further_checks() -> None:
    registration = read(document({"model": "m", "slots": "none", "keep-alive": "5m"}))
    assert registration.revision is None
    assert registration.draft is not None
    assert (registration.draft.policy.slots, registration.draft.policy.keep_alive) == (None, 300)


def test_a_document_that_contains_itself_or_is_too_large_is_refused() -> None:
    ring = document()
    ring["spec"]["template"]["again"] = ring
    bomb: list[Any] = ["x"] * 100
    for _ in range(5):
        bomb = [bomb] * 100
    for bad in (ring, {**document(), "x": bomb}, {**document(), "x": 10**5000}):
        registration = read(bad)
        assert registration.revision is None
        assert registration.problems[0].key == "document"


def test_text_that_can_be_written_nowhere_is_made_writable() -> None:
    bad = document({"model": "m", "x\ud800": "\ud800"})
    bad["metadata"]["name"] = "\ud800"
    problems = read(bad).problems
    assert len(problems) == 2
    for problem in problems:
        str(problem).encode()


_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("all")
)
_ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)
_WHOLE = document(
    {
        "model": "m, a=b",
        "runtime": "plain",
        "allow": "GET /x",
        "port": "web",
        "local.volume.v": "./v",
        "warm-up": "./f",
    },
    container={
        "command": ["x"],
        "args": ["$(A)"],
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "envFrom": [{"configMapRef": {"name": "c"}}],
        "resources": {"limits": {"nvidia.com/gpu": 1}, "requests": {"nvidia.com/gpu": 1}},
        "ports": [{"name": "web", "containerPort": 80}],
        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "w"}],
    },
    spec={"replicas": 1, "progressDeadlineSeconds": 60},
)
_WHOLE["spec"]["template"]["spec"]["volumes"] = [
    {"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}}
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key, item in inner:
            found += places(item, (*path, key)) if isinstance(item, dict | list) else [(*path, key)]
    return found


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(places(_WHOLE)), value=_ANYTHING)
def test_anything_anywhere_gives_problems_never_an_exception(
    place: tuple[Any, ...], value: object
) -> None:
    broken = deepcopy(_WHOLE)
    target: Any = broken
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    registration = read(broken)
    wrong = any(not problem.warning for problem in registration.problems)
    assert registration.revision is None or not wrong
    for problem in registration.problems:
        str(problem).encode()


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from(["metadata", "spec", "kind"]), _ANYTHING))
def test_no_document_at_all_raises(value: dict[str, object]) -> None:
    read_deployment(value, source="f", created=0, version="")

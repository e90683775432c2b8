"""The document around the annotations; and that no document from outside makes reading fail."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.deployment import Registration, read_deployment
from fleet.model import WarmUp
from tests.core.deployments import ANYTHING, accepted, document, read, refused

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


def test_of_thousands_of_other_keys_a_few_are_named() -> None:
    (message,) = refused({f"local.volume.{number:040}": "" for number in range(3000)})
    assert len(message) < 3000
    assert message.endswith(" and 2980 more")


def test_a_drain_mark_that_is_left_alone_is_no_slip() -> None:
    assert read(document({"draining": "{}"})) == Registration(revision=None, problems=())


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


@pytest.mark.parametrize("path", ["/proc/self/environ", "./first.json", "../../token", "a.b"])
def test_in_a_cluster_no_annotation_names_a_file(path: str) -> None:
    given = document({"model": "m", "warm-up": path})
    found = read_deployment(given, source="f", created=0, version="", in_cluster=True)
    assert found.revision is None
    assert found.draft is not None
    assert found.draft.policy.warm_up_file is None
    (problem,) = found.problems
    assert "warm-up" in problem.key
    assert "auto or none" in problem.allowed
    assert read(given).revision is not None, "one machine's own manifests may"


@pytest.mark.parametrize("word", ["auto", " none "])
def test_in_a_cluster_the_words_for_a_first_inference_are_the_same(word: str) -> None:
    given = document({"model": "m", "warm-up": word})
    found = read_deployment(given, source="f", created=0, version="", in_cluster=True)
    assert found.revision is not None
    assert found.revision.policy.warm_up is WarmUp(word.strip())


def test_text_that_can_be_written_nowhere_is_made_writable() -> None:
    bad = document({"model": "m", "x\ud800": "\ud800"})
    bad["metadata"]["name"] = "\ud800"
    problems = read(bad).problems
    assert len(problems) == 2
    for problem in problems:
        str(problem).encode()


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
@given(place=st.sampled_from(places(_WHOLE)), value=ANYTHING)
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
@given(st.dictionaries(st.sampled_from(["metadata", "spec", "kind"]), ANYTHING))
def test_no_document_at_all_raises(value: dict[str, object]) -> None:
    read_deployment(value, source="f", created=0, version="")

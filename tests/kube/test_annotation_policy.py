"""The chart's admission policy for annotations says what `fleet.annotations` says, to everybody.

The same values are asked of both: of a real API server with the policy, and of `read_deployment`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.annotations import KEYS
from fleet.deployment import read_deployment
from fleet.model import Problem
from tests.core.test_annotations import BAD, GOOD
from tests.kube.admin import Admin, RefusedError
from tests.kube.chart import apply, render, withdraw
from tests.kube.objects import deployment
from tests.kube.plane import ControlPlane

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PLACE = "policed"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{PLACE}/deployments"


@pytest.fixture(scope="module")
def policed(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Admin]:
    """An administrator of a cluster on which the policy is in force."""
    admin = control_plane.admin
    documents = [
        document
        for document in render(folder=tmp_path_factory.mktemp("policy"))
        if document["metadata"]["name"].endswith("-annotations")
    ]
    assert {document["kind"] for document in documents} == {
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    admin.post("/api/v1/namespaces", {"metadata": {"name": PLACE}})
    apply(admin, documents, namespace=PLACE)
    _until_in_force(admin)
    yield admin
    withdraw(admin, documents, namespace=PLACE)
    admin.delete(DEPLOYMENTS)
    admin.delete(f"/api/v1/namespaces/{PLACE}")


def _until_in_force(admin: Admin) -> None:
    for _ in range(500):
        if said(admin, annotated({"model": "m", "mode": "wrong"})):
            return
    pytest.fail("the policy never came into force")


def annotated(
    annotations: Mapping[str, str],
    *,
    ports: tuple[Mapping[str, Any], ...] = (),
    inner: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A Deployment with these, `inner` of them on its pod template."""
    made = deployment("d", PLACE, annotations=annotations)
    template = made["spec"]["template"]
    template["spec"]["containers"][0]["ports"] = list(ports)
    if inner:
        template["metadata"]["annotations"] = {f"ebbtide.dev/{k}": v for k, v in inner.items()}
    return made


def said(admin: Admin, document: Mapping[str, Any]) -> str:
    """What the API server has against it; empty when nothing."""
    try:
        admin.post(DEPLOYMENTS, document, dry=True)
    except RefusedError as error:
        _, denied, message = str(error).partition("-annotations' denied request: ")
        if not denied:
            raise
        return message
    return ""


def found(document: dict[str, Any]) -> list[Problem]:
    """What ebbtide has against it."""
    registration = read_deployment(document, source="", created=0.0, version="1", in_cluster=True)
    return [problem for problem in registration.problems if not problem.warning]


def agree(admin: Admin, document: dict[str, Any]) -> None:
    """Both refuse or neither does; every key is named to the user, and every number he may use."""
    message, problems = said(admin, document), found(document)
    shown = document["metadata"]["annotations"]
    assert bool(message) == bool(problems), f"{shown}: {message or [str(p) for p in problems]}"
    for problem in problems:
        assert f"{problem.key}: " in message
        parts = [part for part in message.split("; ") if part.startswith(f"{problem.key}: ")]
        numbers = set(re.findall(r"(?<![\w.])\d+(?![\w.])", problem.allowed))
        assert any(numbers <= set(re.findall(r"\d+", part)) for part in parts), (message, problem)


@pytest.mark.parametrize(("key", "text"), [row[:2] for row in [*GOOD, *BAD]])
def test_both_say_the_same_of_the_table(policed: Admin, key: str, text: str) -> None:
    with_it = {"tls": "on"} if key.startswith("tls-") else {}
    agree(policed, annotated({"model": "m", **with_it, key: text}))


# What lies right beside each limit and rule that the table leaves out.
EDGES = {
    "keep-alive": "8784h 8785h 527040m 527041m 31622400s 31622401s 31622400000ms 31622400001ms",
    "heartbeat": "1000ms 999ms 0.999s 0.016m 0.0166m 0.0167m",
    "max-body": "0.9 1 0.0009k 0.001k 0.0000009M 0.000001M 0.000000001G "
    "0.0000000009G 0.000000000001T 0.0000000000009T 0.0009Ki 0.001Ki 0.0000009Mi 0.000001Mi "
    "0.000000001Gi 0.0000000009Gi 0.000000000001Ti 0.0000000000009Ti 1m 1KI",
    "priority": "+100 -101 -0 00000000000000000000100",
    "tls-name": "a.b a_b a. ::1 a:b " + "a" * 253,
}
RULES = [
    *("POST /x", "POST /x/", "POST /x/*", "POST /*", "POST *", "* /x", "POST /", "all, POST /x"),
    *("POST /x//y", "POST //", "POST /x//*", "POST //*", "POST /./x", "POST /x/..", "POST /..x"),
    *(
        "POST /x/../y",
        "POST /a%20b",
        "POST /a?b",
        "POST /a*",
        "POST /a,GET /b",
        "POST x",
        "post /x",
    ),
    *("POST  /x ", "POST\u00a0/x", "POST /x y", "POST", "", "POST /x,", "POST /é", "POST /a\\b"),
    *(
        "GRPC /p.S/M",
        "GRPC /p.S/*",
        "GRPC *",
        "GRPC /p.S/",
        "GRPC /p.S",
        "GRPC /p-S/M",
        "GRPC /*/M",
    ),
]
NAMES = [
    *("m", "m,n", " m , n ", "m,,n", "m,", "a=b", "a = b", "a=", "=b", "a=b=c", "a=m,b=m", "m,m"),
    *("a=m,a=n", "a/b", "a=b/c", "a/b=c", "é", "-a", "a" * 253, "a" * 254, "", "m,n,n,m"),
]


@pytest.mark.parametrize(
    ("key", "text"), [(key, text) for key, texts in EDGES.items() for text in texts.split()]
)
def test_both_draw_the_line_at_the_same_place(policed: Admin, key: str, text: str) -> None:
    agree(policed, annotated({"model": "m", "tls": "on", key: text}))


@pytest.mark.parametrize("text", RULES)
def test_both_read_the_same_rules(policed: Admin, text: str) -> None:
    notes = {"model": "m", "runtime": "plain", "port": "80", "allow": text}
    agree(policed, annotated(notes))


@pytest.mark.parametrize("text", NAMES)
@pytest.mark.parametrize("runtime", ["triton", "openai", "wrong"])
def test_both_read_the_same_names(policed: Admin, text: str, runtime: str) -> None:
    agree(policed, annotated({"model": text, "runtime": runtime}))


def test_both_stop_at_as_many_names(policed: Admin) -> None:
    names = [f"model-{n}" for n in range(100)]
    agree(policed, annotated({"model": ",".join(names)}))
    agree(policed, annotated({"model": ",".join([*names[:-1], "model-7"])}))
    agree(policed, annotated({"model": ",".join([*names, "more"])}))
    long = ",".join(f"{n:081}" for n in range(100))
    agree(policed, annotated({"model": long[:8192]}))
    agree(policed, annotated({"model": long + "x" * (8193 - len(long))}))
    assert "at most 100 names" in said(policed, annotated({"model": "m," * 100000}))


def test_both_stop_at_as_many_rules(policed: Admin) -> None:
    notes = {"model": "m", "runtime": "plain", "port": "80"}
    rules = [f"POST /{n}" for n in range(1001)]
    assert not found(annotated({**notes, "allow": ",".join(rules[:1000])}))
    for text in (
        ",".join(rules[:100]),
        ",".join(rules),
        f"POST /{'a' * 65531}",
        "POST /a," * 20000,
    ):
        agree(policed, annotated({**notes, "allow": text}))


@pytest.mark.parametrize("runtime", ["triton", "openai", "plain"])
@pytest.mark.parametrize("key", ["port", "grpc-port", "metrics-port", ""])
@pytest.mark.parametrize("text", ["8000", "8001", "8002", "http", "grpc", "metrics", "web"])
def test_both_find_the_same_ports(policed: Admin, runtime: str, key: str, text: str) -> None:
    notes = {"model": "m", "runtime": runtime} | ({key: text} if key else {})
    for names in (("http",), ("http", "grpc"), ("metrics", "http"), ("web", "http"), ("web",)):
        ports = [{"name": n, "containerPort": 8001 + i} for i, n in enumerate(names)]
        agree(policed, annotated(notes, ports=tuple(ports)))


PORTS: tuple[tuple[Mapping[str, Any], ...], ...] = (
    (),
    ({"name": "http", "containerPort": 8000}, {"containerPort": 53, "protocol": "UDP"}),
    ({"containerPort": 80},),
    ({"containerPort": 80}, {"containerPort": 81, "name": "grpc"}),
    ({"name": "http", "containerPort": 8001},),
    ({"name": "dns", "containerPort": 53, "protocol": "UDP"},),
)
WORDS = """
    auto off on true false none triton plain openai m a/b a=b x= all client grpc m,n m,m s http dns
    5m 1h30m 250ms 0 1 -1 +5 366d 367d 1.5 1.5h 64Mi 1Gi 0.5 500k 1Ti 80 65536 99999 1e9 0x10 00001
    1d1d 1m1ms 1.ms .5s 1s1 header:X cookie: prompt:5 prompt:70000 ./f.json 127.0.0.1 ::1 a.b- é
    GRPC POST GET * /p /a/* /x/../y // /p.S/M /p.S/* , = :
"""
TEXTS = st.lists(
    st.sampled_from(
        [*WORDS.split(), " ", "\t", "\n", "\u00a0", "9" * 18, "9" * 19, "x" * 90, "'", '"', "\\"]
    ),
    max_size=4,
).map("".join)
OTHERS = ("local.command", "local.volume.models", "draining", "nonsense", "keepalive")


@settings(max_examples=400)
@given(
    texts=st.dictionaries(st.sampled_from([*KEYS, *OTHERS]), TEXTS, max_size=4),
    model=st.sampled_from([None, "m", "m, n", "a=b/c", "a/b"]),
    runtime=st.sampled_from([None, None, "triton", "plain", "openai"]),
    ports=st.sampled_from(PORTS),
    inner=st.sampled_from([None, None, {"model": "m"}, {"mode": "off"}]),
)
def test_both_say_the_same_of_anything(
    policed: Admin,
    texts: dict[str, str],
    model: str | None,
    runtime: str | None,
    ports: tuple[Mapping[str, Any], ...],
    inner: dict[str, str] | None,
) -> None:
    given = {"model": model, "runtime": runtime}
    whole = texts | {key: text for key, text in given.items() if text is not None}
    agree(policed, annotated(whole, ports=ports, inner=inner))


def test_a_person_understands_why_and_is_told_all_of_it(policed: Admin) -> None:
    assert said(
        policed,
        annotated({"model": "m", "mode": "of", "keepalive": "5m", "wait-timeout": "soon"}),
    ).startswith("ebbtide.dev/keepalive: no such annotation; known are model, runtime, ")
    message = said(policed, annotated({"model": "m", "mode": "of", "wait-timeout": "soon"}))
    assert message.startswith(
        "ebbtide.dev/mode: 'of': one of auto, advise, off; ebbtide.dev/wait-timeout: 'soon': a "
        "duration over 0, up to a year: plain seconds or like 90s, 5m, 1h30m"
    )


def test_every_key_is_told_to_who_mistypes_one(policed: Admin) -> None:
    message = said(policed, annotated({"model": "m", "Model": "m"}))
    known = message.partition("known are ")[2].partition('"')[0].split(", ")
    assert {*known} == {*KEYS, "local.command", "local.volume.NAME"}


def test_an_update_is_checked_too(policed: Admin) -> None:
    policed.post(DEPLOYMENTS, annotated({"model": "m"}))
    path = f"{DEPLOYMENTS}/d"
    with pytest.raises(RefusedError, match=re.escape("ebbtide.dev/slots: 'many'")):
        policed.patch(path, {"metadata": {"annotations": {"ebbtide.dev/slots": "many"}}})
    notes = {"ebbtide.dev/model": None, "ebbtide.dev/slots": "4"}
    with pytest.raises(RefusedError, match="the model's name, since there is"):
        policed.patch(path, {"metadata": {"annotations": notes}})
    policed.patch(path, {"metadata": {"annotations": {"ebbtide.dev/slots": "4"}}})
    container = {"name": "model", "image": "i", "ports": [{"name": "web", "containerPort": 80}]}
    template = {"spec": {"containers": [container]}}
    policed.patch(
        path,
        {
            "metadata": {"annotations": {"ebbtide.dev/port": "web"}},
            "spec": {"template": template},
        },
    )
    container["ports"] = []
    with pytest.raises(RefusedError, match=re.escape("ebbtide.dev/port: 'web'")):
        policed.patch(path, {"spec": {"template": template}})
    policed.delete(path)


def test_what_was_wrong_before_halts_no_other_change(policed: Admin) -> None:
    """Somebody installs ebbtide where an annotation is wrong already: rollouts go on."""
    binding = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
    name = "ebbtide-ebbtide-annotations"
    kept = policed.get(f"{binding}/{name}")
    policed.delete(f"{binding}/{name}")
    wrong = annotated({"model": "m", "mode": "of"})
    wrong["metadata"]["name"] = "old"
    path = f"{DEPLOYMENTS}/old"
    for _ in range(500):
        if not said(policed, wrong):
            break
    policed.post(DEPLOYMENTS, wrong)
    metadata = {"name": name, "labels": kept["metadata"]["labels"]}
    policed.post(binding, {**kept, "metadata": metadata})
    _until_in_force(policed)
    policed.patch(path, {"spec": {"template": {"metadata": {"labels": {"new": "1"}}}}})
    policed.patch(path, {"metadata": {"labels": {"other": "1"}}})
    # The leader clears its mark, whatever a user has done to the other keys.
    for mark in ('{"number": 1}', None):
        policed.patch(path, {"metadata": {"annotations": {"ebbtide.dev/draining": mark}}})
    # The Deployment controller writes its own annotation of the revision.
    revision = "deployment.kubernetes.io/revision"
    policed.until(path, lambda each: each["metadata"]["annotations"].get(revision) == "2")
    with pytest.raises(RefusedError, match=re.escape("ebbtide.dev/mode: 'of'")):
        policed.patch(path, {"metadata": {"annotations": {"ebbtide.dev/slots": "4"}}})
    policed.patch(path, {"metadata": {"annotations": {"ebbtide.dev/mode": "off"}}})
    policed.delete(path)


def test_deployments_that_are_not_ours_are_nobodys_business(policed: Admin) -> None:
    other = annotated({})
    other["metadata"]["annotations"] = {"ebbtide.example/mode": "of", "model": "x"}
    assert said(policed, other) == ""


def test_the_api_server_finds_no_fault_with_the_expressions(policed: Admin) -> None:
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    checked = policed.until(
        f"{path}/ebbtide-ebbtide-annotations",
        lambda each: "typeChecking" in each.get("status", {}),
    )
    assert checked["status"]["typeChecking"].get("expressionWarnings", []) == []


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted(EXAMPLES.glob("*/*.yaml"))
        if not path.name.startswith(("kind", "values-"))
    ],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_every_example_is_taken(policed: Admin, path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    apply(policed, documents, namespace=PLACE, dry=True)
    assert documents

"""From a head to a model: the sources of a name, their conflicts, and what may pass."""

from dataclasses import replace

import pytest

from fleet.model import AllowRule, RuntimeName, Served
from fleet.names import ModelName
from fleet.reasons import Reason
from fleet.runtimes import CallKind
from fleet.runtimes.profiles import profile
from gateway.core.head import read_request_head
from gateway.core.naming import read_named_body
from gateway.core.refused import RefusedError
from gateway.core.route import find_route, route_by_body
from gateway.core.table import Table, Tables
from tests.fakes.cluster import revision


class StillLine:
    """A line nobody may touch: routing asks for its revision alone."""

    def __init__(self, revision) -> None:
        self.revision = revision


def named(name: str, *models: str, **changes):
    served = tuple(
        Served(name=ModelName(one.partition("=")[0]), served=one.rpartition("=")[2])
        for one in models or (name,)
    )
    return revision(name, models=served, **changes)


REVISIONS = [
    named("demo", "demo", "alias=inner", "org/big", "org/big/small"),
    named("other"),
    named("llm", "llm", "org/llm=served-llm", runtime=RuntimeName.OPENAI),
    named(
        "plain",
        runtime=RuntimeName.PLAIN,
        allow=(AllowRule(method="POST", path="/predict"), AllowRule(method="GET", path="/a/*")),
    ),
    named("anything", runtime=RuntimeName.PLAIN, allow=(AllowRule(method="*", path="*"),)),
    named("Upper"),
]


def tables(*revisions) -> Tables:
    made = Tables(profile)
    made.update({r.name: r for r in revisions}, {r.name: StillLine(r) for r in revisions})
    return made


@pytest.fixture
def table() -> Table:
    return tables(*REVISIONS).now


def route(table, target, *fields, method="POST", host="gw", suffix=""):
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]
    return find_route(table, read_request_head("\r\n".join(lines).encode()), suffix)


def reason(table, *args, **kwargs) -> Reason:
    with pytest.raises(RefusedError) as refused:
        route(table, *args, **kwargs)
    return refused.value.reason


@pytest.mark.parametrize(
    ("method", "target", "name", "kind", "start"),
    [
        ("POST", "/v2/models/demo/infer", "demo", CallKind.INFER, "/v2/models/demo/infer"),
        ("POST", "/v2/models/demo/generate", "demo", CallKind.INFER, "/v2/models/demo/generate"),
        (
            "POST",
            "/v2/models/demo/versions/1/infer",
            "demo",
            CallKind.INFER,
            "/v2/models/demo/versions/1/infer",
        ),
        ("GET", "/v2/models/demo", "demo", CallKind.METADATA, "/v2/models/demo"),
        ("GET", "/v2/models/demo/config", "demo", CallKind.CONFIG, "/v2/models/demo/config"),
        ("GET", "/v2/models/demo/stats", "demo", CallKind.STATS, "/v2/models/demo/stats"),
        ("GET", "/v2/models/demo/ready", "demo", CallKind.READY, "/v2/models/demo/ready"),
        ("POST", "/v2/models/alias/infer", "alias", CallKind.INFER, "/v2/models/inner/infer"),
        ("POST", "/v2/models/%61lias/infer", "alias", CallKind.INFER, "/v2/models/inner/infer"),
        ("POST", "/v2/models/org/big/infer", "org/big", CallKind.INFER, "/v2/models/org/big/infer"),
        (
            "POST",
            "/v2/models/org/big/small/infer",
            "org/big/small",
            CallKind.INFER,
            "/v2/models/org/big/small/infer",
        ),
        ("POST", "/models/plain/predict", "plain", CallKind.INFER, "/predict"),
        ("GET", "/models/plain/a/b", "plain", CallKind.INFER, "/a/b"),
        ("PUT", "/models/anything", "anything", CallKind.INFER, "/"),
        (
            "POST",
            "/models/demo/v2/models/demo/infer",
            "demo",
            CallKind.INFER,
            "/v2/models/demo/infer",
        ),
        (
            "POST",
            "/models/alias/v2/models/alias/infer",
            "alias",
            CallKind.INFER,
            "/v2/models/inner/infer",
        ),
        (
            "POST",
            "/models/alias/v2/models/inner/infer",
            "alias",
            CallKind.INFER,
            "/v2/models/inner/infer",
        ),
        ("POST", "/models/llm/v1/completions", "llm", CallKind.INFER, "/v1/completions"),
        ("GET", "/models/llm/v1/models", "llm", CallKind.SERVER, "/v1/models"),
    ],
)
def test_a_path_names_a_model(table, method, target, name, kind, start):
    found, query = route(table, target + "?a=b", method=method)
    assert found.entry is not None
    assert (found.entry.name, found.kind) == (name, kind)
    assert found.start == f"{method} {start}".encode()
    assert query == b"?a=b"


def test_header_and_host_name_a_model(table):
    found, _ = route(table, "/predict", "Ebbtide-Model: plain")
    assert found.entry.name == "plain"
    found, _ = route(table, "/predict", host="plain.models.example:80", suffix="models.example")
    assert found.entry.name == "plain"
    found, _ = route(
        table, "/v2/models/Upper/infer", host="UPPER.Models.example", suffix="models.example"
    )
    assert found.entry.name == "Upper"
    found, _ = route(table, "/predict", "Ebbtide-Model: plain", host="x.y", suffix="models.example")
    assert found.entry.name == "plain"


def test_the_host_counts_under_the_configured_suffix_only(table):
    assert reason(table, "/predict", host="plain.models.example") is Reason.NO_MODEL
    assert (
        reason(table, "/predict", host="plainmodels.example", suffix="models.example")
        is Reason.NO_MODEL
    )
    assert (
        reason(table, "/predict", host="nope.models.example", suffix="models.example")
        is Reason.UNKNOWN_MODEL
    )


@pytest.mark.parametrize(
    ("target", "fields", "host"),
    [
        ("/v2/models/demo/infer", ["Ebbtide-Model: other"], "gw"),
        ("/v2/models/demo/infer", ["Ebbtide-Model: alias"], "gw"),
        ("/v2/models/org/big/small/infer", ["Ebbtide-Model: org/big"], "gw"),
        ("/v2/models/nope/infer", ["Ebbtide-Model: demo"], "gw"),
        ("/models/demo/v2/models/other/infer", [], "gw"),
        ("/models/demo/v2/models/nope/infer", [], "gw"),
        ("/models/plain/predict", ["Ebbtide-Model: demo"], "gw"),
        ("/v2/models/demo/infer", [], "other.s"),
        ("/predict", ["Ebbtide-Model: demo"], "plain.s"),
        ("/models/demo/v2/models/demo/infer", [], "other.s"),
    ],
)
def test_sources_that_disagree(table, target, fields, host):
    assert reason(table, target, *fields, host=host, suffix="s") is Reason.MODEL_CONFLICT


def test_sources_that_agree(table):
    found, _ = route(table, "/models/demo/v2/models/demo/infer", "Ebbtide-Model: demo")
    assert found.entry.name == "demo"


@pytest.mark.parametrize(
    "target",
    [
        "/v2/models/nope/infer",
        "/v2/models/dem/infer",
        "/v2/models/demo2/infer",
        "/models/nope/x",
        "/v2/models/infer",
        "/v2/models/stats",
        "/models/",
        "/v2/models/DEMO/infer",
        "/models//x",
    ],
)
def test_unknown_models(table, target):
    if "//" in target:
        assert reason(table, target) is Reason.MALFORMED
    else:
        assert reason(table, target) is Reason.UNKNOWN_MODEL


FORBIDDEN = [
    ("POST", "/v2/repository/index"),
    ("GET", "/v2/repository/index"),
    ("POST", "/v2/repository/models/demo/load"),
    ("POST", "/v2/repository/models/demo/unload"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/systemsharedmemory/region/x/register"),
    ("POST", "/v2/cudasharedmemory/unregister"),
    ("GET", "/v2/trace/setting"),
    ("POST", "/v2/trace/setting"),
    ("GET", "/v2/logging"),
    ("POST", "/v2/logging"),
    ("GET", "/v2/models/demo/trace/setting"),
    ("POST", "/v2/models/demo/trace/setting"),
    ("POST", "/v2/models/demo/load"),
    ("POST", "/v2/models/demo"),
    ("GET", "/v2/models/demo/infer"),
    ("PUT", "/v2/models/demo/infer"),
    ("DELETE", "/v2/models/demo"),
    ("POST", "/v2/models/demo/infer/"),
    ("POST", "/v2/models/demo/INFER"),
    ("POST", "/v2/models/demo/infer/x"),
    ("POST", "/v2/models/demo/versions/infer"),
    ("POST", "/v2/models/demo/versions/x/infer"),
    ("GET", "/v2/models"),
    ("GET", "/v2/"),
    ("POST", "/v2"),
    ("GET", "/metrics"),
    ("POST", "/v1/chat/completions/x"),
    ("GET", "/v1/completions"),
    ("GET", "/"),
    ("POST", "/models/demo/v2/repository/index"),
    ("POST", "/models/demo/v2/repository/models/demo/unload"),
    ("GET", "/models/demo/v2/logging"),
    ("GET", "/models/demo/metrics"),
    ("POST", "/models/llm/v1/load_lora_adapter"),
    ("POST", "/models/llm/tokenize"),
    ("GET", "/models/plain/predict"),
    ("POST", "/models/plain/admin"),
    ("POST", "/models/plain"),
    ("POST", "/v2/models/plain/infer"),
]


@pytest.mark.parametrize(("method", "target"), FORBIDDEN)
def test_what_the_allow_list_does_not_name_is_not_found(table, method, target):
    found = reason(table, target, method=method)
    assert found in (Reason.NOT_ALLOWED, Reason.NO_MODEL, Reason.UNKNOWN_MODEL)
    for header in ("demo", "llm", "plain"):
        named_too = reason(table, target, f"Ebbtide-Model: {header}", method=method)
        assert named_too in (Reason.NOT_ALLOWED, Reason.MODEL_CONFLICT, Reason.UNKNOWN_MODEL)


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", "/v1/models"])
def test_the_gateway_answers_for_the_server(table, path):
    found, _ = route(table, path, method="GET")
    assert (found.entry, found.kind) == (None, CallKind.SERVER)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
def test_the_body_names_the_model(table, path):
    found, _ = route(table, path)
    assert found.by_body
    assert found.entry is None
    body = read_named_body(b'{"model":"org/llm"}')
    final = route_by_body(table, found, b"POST", body)
    assert final.entry.name == "org/llm"
    assert final.start == b"POST " + path.encode()


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"{}", Reason.NO_MODEL),
        (b'{"model":"nope"}', Reason.UNKNOWN_MODEL),
        (b'{"model":"served-llm"}', Reason.UNKNOWN_MODEL),
        (b'{"model":"demo"}', Reason.NOT_ALLOWED),
    ],
)
def test_a_body_that_names_nothing_to_be_called(table, body, wanted):
    found, _ = route(table, "/v1/completions")
    with pytest.raises(RefusedError) as refused:
        route_by_body(table, found, b"POST", read_named_body(body))
    assert refused.value.reason is wanted


def test_a_body_must_agree_with_the_header(table):
    found, _ = route(table, "/v1/completions", "Ebbtide-Model: org/llm")
    assert found.by_body
    for body in (b"{}", b'{"model":"org/llm"}', b'{"model":"served-llm"}'):
        assert route_by_body(table, found, b"POST", read_named_body(body)) is found
    for body in (b'{"model":"llm"}', b'{"model":"nope"}'):
        with pytest.raises(RefusedError) as refused:
            route_by_body(table, found, b"POST", read_named_body(body))
        assert refused.value.reason is Reason.MODEL_CONFLICT


def test_a_table_swapped_while_the_body_came_is_no_conflict(table):
    found, _ = route(table, "/v1/completions", "Ebbtide-Model: org/llm")
    # Any change of any revision swaps the table: a model that wakes does.
    newer = tables(*(replace(one, replicas=1) for one in REVISIONS)).now
    for body in (b"{}", b'{"model":"org/llm"}', b'{"model":"served-llm"}'):
        assert route_by_body(newer, found, b"POST", read_named_body(body)) is found
    with pytest.raises(RefusedError) as refused:
        route_by_body(newer, found, b"POST", read_named_body(b'{"model":"llm"}'))
    assert refused.value.reason is Reason.MODEL_CONFLICT


def test_a_name_that_would_read_as_something_else_at_the_server_does_not_pass():
    table = tables(named("m", "m/trace/setting", "x=y/trace/setting")).now
    assert reason(table, "/v2/models/m/trace/setting", method="GET") is Reason.NOT_ALLOWED
    assert reason(table, "/v2/models/x", method="GET") is Reason.NOT_ALLOWED


def test_routes_are_remembered_by_method_and_path(table):
    first, _ = route(table, "/v2/models/demo/infer?x")
    again, _ = route(table, "/v2/models/demo/infer?y")
    assert first is again
    assert reason(table, "/v2/models/demo/infer", method="GET") is Reason.NOT_ALLOWED
    with_header, _ = route(table, "/v2/models/demo/infer", "Ebbtide-Model: demo")
    assert with_header.entry is first.entry


def test_a_long_path_is_not_remembered(table):
    for size, remembered in ((100, True), (5000, False)):
        path = "/models/anything/" + "x" * size
        found, _ = route(table, path)
        assert found.path == path.removeprefix("/models/anything")
        assert (table.known(f"POST {path}".encode()) is found) is remembered


def test_a_path_of_many_segments_costs_no_more_look_ups_than_a_name_has(table):
    class Counting(dict):
        looks = 0

        def get(self, key, default=None):
            self.looks += 1
            return super().get(key, default)

    table.names = names = Counting(table.names)
    longest = "n" + "/n" * 126
    names[longest] = names["demo"]
    assert table.at(f"/models/{longest}/{'a/' * 3900}", len("/models/")) is names[longest]
    assert reason(table, "/models/" + "a/" * 3900) is Reason.UNKNOWN_MODEL
    assert names.looks < 300


def test_the_elder_of_two_claimants_has_the_name():
    elder = named("a", "m", created=1.0)
    younger = replace(named("b", "m", "n"), created=2.0)
    names = tables(younger, elder).now.names
    assert names["m"].revision is elder
    assert names["n"].revision is younger


def test_a_table_is_swapped_only_when_something_changed():
    made = Tables(profile)
    first = named("a")
    lines = {first.name: StillLine(first)}
    made.update({first.name: first}, lines)
    before, tally = made.now, made.tallies[first.name]
    made.update({first.name: first}, lines)
    assert made.now is before
    changed = replace(first, replicas=1)
    made.update({first.name: changed}, lines)
    assert made.now is not before
    assert made.tallies[first.name] is tally
    made.update({}, {})
    assert not made.now.names
    assert not made.tallies

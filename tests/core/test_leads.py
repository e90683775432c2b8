"""From a call to a model: the sources of a name, their conflicts, and what may pass over gRPC."""

from contextlib import contextmanager
from copy import copy

import pytest

from fleet.model import AllowRule, RuntimeName
from fleet.reasons import Reason
from fleet.runtimes import CallKind
from fleet.runtimes.profiles import profile
from gateway.core.refused import RefusedError
from gateway.core.table import Table
from gateway.grpc.core.heads import read_call
from gateway.grpc.core.leads import by_name, find_lead, lead_of
from gateway.grpc.core.statuses import http_status
from gateway.grpc.core.v2 import METHODS
from tests.core.test_route import named, tables

INFER = "/inference.GRPCInferenceService/ModelInfer"
READY = "/inference.GRPCInferenceService/ModelReady"
LIVE = "/inference.GRPCInferenceService/ServerLive"
HEALTH = "/grpc.health.v1.Health/Check"
SUFFIX = "models.example"

REVISIONS = [
    named("demo", "demo", "alias=inner"),
    named("other"),
    named("llm", runtime=RuntimeName.OPENAI),
    named(
        "plain",
        runtime=RuntimeName.PLAIN,
        allow=(AllowRule(method="GRPC", path="/a.B/Do"), AllowRule(method="POST", path="/x")),
    ),
    named("v2", runtime=RuntimeName.PLAIN, allow=(AllowRule(method="GRPC", path=INFER),)),
    named("all", runtime=RuntimeName.PLAIN, allow=(AllowRule(method="*", path="*"),)),
]


@pytest.fixture
def table() -> Table:
    return tables(*REVISIONS).now


def lead(table, path=INFER, *, model=None, authority="gw"):
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
        (b"content-type", b"application/grpc"),
    ]
    if model is not None:
        fields.append((b"ebbtide-model", model.encode()))
    return find_lead(table, read_call(fields), SUFFIX)


@contextmanager
def refused(reason: Reason):
    with pytest.raises(RefusedError) as caught:
        yield
    assert caught.value.reason is reason


def test_the_messages_of_the_v2_service_name_the_model(table) -> None:
    found = lead(table)
    assert (found.kind, found.entry, found.field) == (CallKind.INFER, None, 1)
    assert by_name(table, found, b"demo").name == "demo"
    assert by_name(table, found, b"alias").served == "inner"
    with refused(Reason.UNKNOWN_MODEL):
        by_name(table, found, b"nobody")
    with refused(Reason.UNKNOWN_MODEL):
        by_name(table, found, b"\xff")


def test_a_head_is_led_once_until_something_changes(table) -> None:
    head = lead(table).head
    found = lead_of(table, head, SUFFIX)
    assert found.head is head
    assert lead_of(table, head, SUFFIX) is found
    assert lead_of(tables(*REVISIONS).now, head, SUFFIX) is not found
    found = lead_of(table, head, SUFFIX)
    assert lead_of(table, head, "elsewhere.example") is not found


def test_a_copy_of_a_head_is_led_anew_for_else_the_key_in_it_went_on(table) -> None:
    head = lead(table).head
    lead_of(table, head, SUFFIX)
    assert lead_of(table, without := copy(head), SUFFIX).head is without


@pytest.mark.parametrize(
    ("path", "name", "most"),
    [(INFER, b"demo", True), (INFER, b"alias", False), (READY, b"demo", False)],
)
def test_what_goes_on_as_it_is_is_noted(table, path, name, most) -> None:
    found = lead(table, path)
    entry = by_name(table, found, name)
    assert (found.noted.table, found.noted.name, found.noted.entry) == (table, name, entry)
    assert found.noted.most == (entry.revision.policy.max_body if most else -1)


def test_a_name_leads_elsewhere_when_the_table_has_changed(table) -> None:
    found = lead(table)
    assert by_name(table, found, b"other").name == "other"
    assert by_name(table, found, b"demo").name == "demo"
    newer = tables(named("demo", "demo")).now
    assert by_name(newer, found, b"demo") is newer.names["demo"]
    with refused(Reason.UNKNOWN_MODEL):
        by_name(newer, found, b"other")


@pytest.mark.parametrize("where", [{"model": "demo"}, {"authority": f"Demo.{SUFFIX}:80"}])
def test_the_head_may_name_it_too_and_every_message_must_agree(table, where) -> None:
    found = lead(table, **where)
    assert found.entry is table.names["demo"]
    assert found.field == 1
    assert by_name(table, found, b"demo").name == "demo"
    for name in (b"other", b"alias", b"nobody", b"all"):
        with refused(Reason.MODEL_CONFLICT):
            by_name(table, found, name)


def test_who_names_an_alias_in_the_head_may_name_the_served_one_in_the_message(table) -> None:
    found = lead(table, model="alias")
    assert by_name(table, found, b"inner") is table.names["alias"]
    assert by_name(table, found, b"alias") is table.names["alias"]


def test_metadata_and_authority_must_agree(table) -> None:
    assert lead(table, model="demo", authority=f"demo.{SUFFIX}").entry.name == "demo"
    with refused(Reason.MODEL_CONFLICT):
        lead(table, model="demo", authority=f"other.{SUFFIX}")
    for where in ({"model": "nobody"}, {"authority": f"nobody.{SUFFIX}"}):
        with refused(Reason.UNKNOWN_MODEL):
            lead(table, **where)


def test_a_plain_server_gets_what_its_rules_allow_and_its_messages_are_its_own(table) -> None:
    found = lead(table, "/a.B/Do", model="plain")
    assert (found.kind, found.entry.name, found.field) == (CallKind.INFER, "plain", None)
    for path in ("/a.B/Undo", "/x/y", INFER, "/a.B.C/Do"):
        with refused(Reason.NOT_ALLOWED):
            lead(table, path, model="plain")
    assert lead(table, INFER, model="v2").field is None
    assert lead(table, "/any.Service/Do", model="all").entry.name == "all"


def test_a_message_leads_to_no_server_that_does_not_allow_the_method(table) -> None:
    for name in (b"plain", b"llm"):
        with refused(Reason.NOT_ALLOWED):
            by_name(table, lead(table), name)
    # Its rules let the call pass, but as another kind than readiness: the head must name it.
    with refused(Reason.NOT_ALLOWED):
        by_name(table, lead(table, READY), b"all")


@pytest.mark.parametrize("model", [None, "demo", "llm", "other"])
def test_no_other_service_and_no_other_method_passes(table, model) -> None:
    for path in (
        "/inference.GRPCInferenceService/RepositoryModelLoad",
        "/inference.GRPCInferenceService/SystemSharedMemoryRegister",
        "/inference.Other/ModelInfer",
    ):
        with refused(Reason.NOT_ALLOWED):
            lead(table, path, model=model)
    with refused(Reason.NO_MODEL if model is None else Reason.NOT_ALLOWED):
        lead(table, "/a.B/Do", model=model)


def test_openai_servers_take_no_grpc(table) -> None:
    with refused(Reason.NOT_ALLOWED):
        lead(table, INFER, model="llm")


@pytest.mark.parametrize("path", [LIVE, HEALTH])
def test_the_server_s_own_state_is_the_gateway_s_whatever_names_a_model(table, path) -> None:
    for model in (None, "demo", "llm", "plain"):
        found = lead(table, path, model=model)
        assert (found.kind, found.entry, found.field) == (CallKind.SERVER, None, None)
    # A server that has a health of its own, and lets it be asked, is asked.
    assert lead(table, HEALTH, model="all").entry.name == "all"


def test_triton_s_list_and_the_methods_that_are_known_are_one() -> None:
    triton = profile(RuntimeName.TRITON)
    for method, known in METHODS.items():
        call = triton.classify("GRPC", method, ())
        if method == HEALTH:
            assert call is None
        else:
            assert call.kind is known.kind


@pytest.mark.parametrize(
    ("status", "http"),
    [
        (b"0", 200),
        (b"1", 499),
        (b"3", 400),
        (b"4", 504),
        (b"5", 404),
        (b"8", 429),
        (b"12", 501),
        (b"13", 500),
        (b"14", 503),
        (b"16", 401),
        (None, 500),
        (b"17", 500),
        (b"00", 500),
        (b"x", 500),
    ],
)
def test_a_status_of_grpc_counts_as_the_http_status_that_it_stands_for(status, http) -> None:
    assert http_status(status) == http

"""The admin port: its answers field for field, whom it answers, how it ends."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from fleet.errors import SettingError
from fleet.model import Phase
from fleet.names import RevisionName
from fleet.reasons import Reason
from gateway.admin.app import make_app
from gateway.admin.ports import Unready
from gateway.admin.server import AdminServer
from gateway.core.admission import Admission, host_is_allowed
from tests.fakes.adminview import FakeLine, FakeView, busy_view, sample
from tests.wire.adminport import asking

pytestmark = pytest.mark.anyio

MODEL_FIELDS = {
    "model", "revision", "phase", "reason", "message", "replicas", "waiting", "running",
    "requests", "errors", "cold_starts", "last_cold_start_s", "idle_s", "gpus", "second_writer",
}  # fmt: skip
AMOUNTS = {
    "starting", "serving", "idle", "draining", "allocated", "always_on", "released",
    "cost", "saved",
}  # fmt: skip


@pytest.fixture
def view() -> FakeView:
    return busy_view()


@pytest.fixture
async def client(view: FakeView) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(view) as made:
        yield made


async def models(client: httpx.AsyncClient) -> dict[str, dict]:
    answer = (await client.get("/api/models")).json()
    assert set(answer) == {"models"}
    return {model["model"]: model for model in answer["models"]}


async def test_models_are_told_field_for_field(client: httpx.AsyncClient) -> None:
    found = await models(client)
    assert list(found) == ["broken", "magika", "speech", "team/ocr"]
    assert all(set(model) == MODEL_FIELDS for model in found.values())
    assert found["team/ocr"] == {
        "model": "team/ocr",
        "revision": "default/ocr",
        "phase": "ready",
        "reason": None,
        "message": "",
        "replicas": {"desired": 3, "ready": 1, "starting": 0, "draining": 1},
        "waiting": 2,
        "running": 3,
        "requests": 46,
        "errors": 4,
        "cold_starts": 2,
        "last_cold_start_s": 2.25,
        "idle_s": None,
        "gpus": 2,
        "second_writer": None,
    }
    assert found["magika"]["second_writer"] == "HorizontalPodAutoscaler magika"
    assert found["magika"]["idle_s"] == 75.5
    assert found["magika"]["phase"] == "asleep"
    assert found["broken"]["reason"] == "crash_loop_back_off"
    assert found["broken"]["message"] == "no weights"


async def test_starting_is_a_replica_with_its_gpu_that_does_not_answer_yet(
    client: httpx.AsyncClient,
) -> None:
    found = await models(client)
    assert found["speech"]["replicas"] == {"desired": 1, "ready": 0, "starting": 1, "draining": 0}
    assert found["speech"]["reason"] == "starting"
    # Of the three replicas of this one, the Pending one is not counted.
    assert sum(found["team/ocr"]["replicas"].values()) == 3 + 2


async def test_a_model_without_a_line_yet_is_told_all_the_same(view: FakeView) -> None:
    view.lines, view.tallies = {}, {}
    async with asking(view) as client:
        found = await models(client)
        assert found["speech"]["phase"] == "loading"
        assert found["magika"]["phase"] == "asleep"
        assert found["magika"]["last_cold_start_s"] is None
        assert (await client.get("/api/models/magika")).status_code == 200
        assert (await client.get("/metrics")).status_code == 200


async def test_a_failed_model_says_why_after_its_replica_is_gone(view: FakeView) -> None:
    left = dict(view.snapshot.replicas)
    del left[RevisionName("default/broken")]
    view.snapshot = replace(view.snapshot, replicas=left)
    async with asking(view) as client:
        broken = (await models(client))["broken"]
        assert (broken["reason"], broken["message"]) == ("exited", "broken: no weights")


@pytest.mark.parametrize("name", ["team/ocr", "reader"])
async def test_one_model_adds_why_and_what_went_before(
    client: httpx.AsyncClient, name: str
) -> None:
    found = (await client.get(f"/api/models/{name}")).json()
    added = {"decision", "cold_start_phases", "journal", "last_error"}
    assert set(found) == MODEL_FIELDS | added
    assert found["model"] == "team/ocr"
    assert found["decision"] == {
        "at": 1.7e9,
        "before": 2,
        "after": 3,
        "reason": "queue_and_gpu",
        "message": "queue grows",
        "inputs": {"waiting": 2, "gpu_use": None},
    }
    assert found["cold_start_phases"] == {"ask": 0.01, "load": 2.1}
    assert [entry["event"] for entry in found["journal"]] == ["ready"]
    assert found["last_error"] is None
    replicas = found["replicas"]["list"]
    assert [r["phase"] for r in replicas] == ["ready", "draining", "pending"]
    assert replicas[0]["started_s"] == 15.0
    assert replicas[2] == {
        "replica": "ocr-3", "phase": "pending", "reason": "no_free_gpu", "message": "",
        "address": None, "gpus": 0, "gpu_ids": [], "node": None, "started_s": None,
    }  # fmt: skip


async def test_the_last_error_comes_with_its_log_lines(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/models/broken")).json()["last_error"] == {
        "replica": "broken-3",
        "reason": "exited",
        "message": "broken: no weights",
        "log": ["line 1", "line 2"],
        "ago_s": 60.0,
    }


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/api/models/nobody", 404, "unknown_model"),
        ("/api/models/", 404, "unknown_model"),
        ("/api/journal?model=nobody", 404, "unknown_model"),
        ("/api/journal?limit=0", 400, "malformed"),
        ("/api/journal?limit=1001", 400, "malformed"),
        ("/api/journal?limit=0000000019999", 400, "malformed"),
        (f"/api/journal?limit={'0' * 5000}1", 400, "malformed"),
        ("/api/journal?limit=ten", 400, "malformed"),
        ("/api/journal?limit=1000000001", 400, "malformed"),
        ("/nothing", 404, "not_allowed"),
    ],
)
async def test_errors_are_json(
    client: httpx.AsyncClient, path: str, status: int, reason: str
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert answer.json()["message"]
    assert answer.headers["content-type"] == "application/json"


async def test_nothing_can_be_changed_here(client: httpx.AsyncClient) -> None:
    for path in ("/", "/healthz", "/metrics", "/api/models", "/api/models/magika", "/api/cost"):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert (await client.request(method, path)).status_code == 405


async def test_a_fault_of_ours_is_json_too() -> None:
    view = busy_view()
    view.lines["default/ocr"] = None  # type: ignore[assignment]
    view.account = None  # type: ignore[assignment]
    async with asking(view) as client:
        answer = await client.get("/api/cost")
        assert answer.status_code == 500
        assert answer.json() == {"reason": None, "message": "AttributeError"}


async def test_gpus_are_told_with_who_holds_them(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/gpus")).json()
    assert found["gpus"] == [
        {
            "gpu_class": "gpu",
            "total": 5,
            "free": 1,
            "elastic": 3,
            "nodes": [{"node": "n1", "total": 5, "free": 1, "usable": True}],
        }
    ]
    held = {holder["replica"]: holder for holder in found["held"]}
    assert {name: holder["phase"] for name, holder in held.items()} == {
        "ocr-1": "ready",
        "ocr-2": "draining",
        "speech-1": "loading",
        "gone-1": "draining",
    }
    assert held["gone-1"]["model"] is None
    assert held["ocr-1"] == {
        "replica": "ocr-1", "model": "team/ocr", "revision": "default/ocr", "phase": "ready",
        "gpu_class": "gpu", "gpus": 1, "gpu_ids": ["0"], "node": "n1",
    }  # fmt: skip


async def test_the_bill_adds_up(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/cost")).json()
    assert set(found) == {"currency", "seconds", "models", "total"}
    assert (found["currency"], found["seconds"]) == ("EUR", 600.0)
    assert set(found["total"]) == AMOUNTS
    for line in found["models"]:
        assert set(line) == AMOUNTS | {"model", "revision", "gpu_class", "price"}
        states = line["starting"] + line["serving"] + line["idle"] + line["draining"]
        assert line["allocated"] == states
        assert line["released"] == line["always_on"] - line["allocated"]
        assert line["cost"] == pytest.approx(line["allocated"] * 3.6 / 3600)
        assert line["saved"] == pytest.approx(line["released"] * 3.6 / 3600)
    for amount in AMOUNTS:
        total = sum(line[amount] for line in found["models"])
        assert found["total"][amount] == pytest.approx(total)


async def test_the_journal_is_bounded_and_of_one_model_if_wanted(view: FakeView) -> None:
    async with asking(view) as client:
        every = (await client.get("/api/journal")).json()["journal"]
        assert [entry["model"] for entry in every] == ["speech", "ocr"]
        assert every[0] == {
            "at": 1.7e9, "model": "speech", "revision": "default/speech", "event": "woken",
            "reason": "demand", "message": "", "before": 0, "after": 1, "seconds": None,
        }  # fmt: skip
        one = (await client.get("/api/journal?limit=1")).json()["journal"]
        assert [entry["model"] for entry in one] == ["ocr"]
        named = (await client.get("/api/journal?model=team/ocr")).json()["journal"]
        assert [entry["model"] for entry in named] == ["ocr"]


async def test_problems_are_told(client: httpx.AsyncClient) -> None:
    first, second = (await client.get("/api/problems")).json()["problems"]
    assert first == {
        "source": "bad.yaml",
        "deployment": "x",
        "key": "ebbtide.dev/slots",
        "value": "many",
        "allowed": "auto or a whole number from 1 to 10000",
        "warning": False,
    }
    assert second["warning"] is True


async def test_what_is_not_ready_says_why_and_is_alive(view: FakeView) -> None:
    async with asking(view) as client:
        assert (await client.get("/readyz")).status_code == 200
        view.lacks = Unready(reason=Reason.STARTING, message="no fleet yet")
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {"ready": False, "reason": "starting", "message": "no fleet yet"}
        # As 200, for who shows it: an answer of 503 is none to most clients.
        process = (await client.get("/api/process")).json()
        assert process["unready"] == {"reason": "starting", "message": "no fleet yet"}
        assert (await client.get("/healthz")).status_code == 200


# Who it answers, and the page.


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8081", True),
        ("127.0.0.1", True),
        ("localhost:8081", True),
        ("LOCALHOST", True),
        ("[::1]:8081", True),
        ("::1", True),
        ("10.1.2.3:8081", True),
        ("box.lan:8081", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example:127.0.0.1", False),
        ("", False),
    ],
)
async def test_only_its_own_names_and_addresses_are_answered(host: str, allowed: bool) -> None:
    async with asking(FakeView(), admission=Admission(names=("localhost", "box.lan"))) as client:
        for path in ("/", "/api/models", "/metrics", "/healthz"):
            answer = await client.get(path, headers={"Host": host})
            assert answer.status_code == (200 if allowed else 403)
        if not allowed:
            assert answer.json()["reason"] == "not_allowed"
    assert host_is_allowed(host, {"localhost", "box.lan"}) is allowed


async def test_two_hosts_are_no_host() -> None:
    async with asking(FakeView()) as client:
        hosts = [("Host", "127.0.0.1"), ("Host", "evil.example")]
        assert (await client.get("/healthz", headers=hosts)).status_code == 403


async def test_the_page_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert policy.count("sha256-") == 2
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", answer.text)
    assert "innerHTML" not in answer.text
    assert not re.search(r"\sstyle=|\son[a-z]+=", answer.text)
    for path in re.findall(r'"(/api/[^"?]*)', answer.text):
        if not path.endswith("/"):
            assert (await client.get(path)).status_code == 200


async def test_nothing_is_cached_or_guessed_at(client: httpx.AsyncClient) -> None:
    for path in ("/", "/metrics", "/api/models", "/nothing"):
        headers = (await client.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


# Over real sockets.


async def test_it_serves_on_port_0_stops_when_told_and_leaves_signals_alone(
    view: FakeView,
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    server = AdminServer(make_app(view), host="127.0.0.1", port=0)
    assert server.port > 0
    running = asyncio.create_task(server.run())
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{server.port}", trust_env=False
    ) as client:
        assert (await client.get("/readyz")).json() == {"ready": True}
        assert {number: signal.getsignal(number) for number in before} == before
        view.lines["default/new"] = FakeLine(sample("default/new"), Phase.ASLEEP)
        assert json.loads((await client.get("/api/models/team%2Focr")).text)["model"] == "team/ocr"
        server.stop()
        async with asyncio.timeout(5):
            await running
        with pytest.raises(httpx.ConnectError):
            await client.get("/healthz")


async def test_cancelling_it_closes_the_port(view: FakeView) -> None:
    server = AdminServer(make_app(view), host="127.0.0.1", port=0)
    running = asyncio.create_task(server.run())
    async with httpx.AsyncClient(trust_env=False) as client:
        where = f"http://127.0.0.1:{server.port}/healthz"
        assert (await client.get(where)).status_code == 200
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(where)


async def test_an_address_in_use_is_told_before_anything_starts(view: FakeView) -> None:
    first = AdminServer(make_app(view), host="127.0.0.1", port=0)
    with pytest.raises(SettingError, match=f"127.0.0.1:{first.port}"):
        AdminServer(make_app(view), host="127.0.0.1", port=first.port)
    first.stop()
    await first.run()

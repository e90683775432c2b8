"""`/metrics`: names and labels, the figures of the API, and counters that never fall."""

import re
from dataclasses import replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.admin.metrics import registry
from tests.fakes.adminview import FakeView, busy_view
from tests.wire.adminport import asking

pytestmark = pytest.mark.anyio


async def families(client: httpx.AsyncClient) -> dict[str, list]:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = text_string_to_metric_families(answer.text)
    return {family.name: family.samples for family in found}


async def scraped() -> dict[str, list]:
    async with asking(busy_view()) as client:
        return await families(client)


def value(samples: list, name: str, **labels: str) -> float:
    (found,) = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
    return found


async def test_metrics_have_their_names_and_no_other_labels() -> None:
    known = {"model", "revision", "reason", "phase", "state", "code", "source", "gpu_class", "le"}
    found = await scraped()
    assert len(found) >= 15
    for name, samples in found.items():
        assert re.fullmatch(r"ebbtide(_[a-z]+)+", name)
        assert samples, f"{name} has no sample"
        for each in samples:
            assert set(each.labels) <= known


async def test_metrics_tell_what_the_api_tells() -> None:
    found = await scraped()
    ocr = {"model": "team/ocr", "revision": "default/ocr"}
    requests = found["ebbtide_requests"]
    assert value(requests, "ebbtide_requests_total", code="200", **ocr) == 40
    assert value(requests, "ebbtide_requests_total", code="404", model="", revision="") == 1
    refusals = found["ebbtide_refusals"]
    assert value(refusals, "ebbtide_refusals_total", reason="wait_timeout", **ocr) == 1
    for name, reason in (("retries", "reset"), ("denied_retries", "budget")):
        counted = found[f"ebbtide_{name}"]
        assert value(counted, f"ebbtide_{name}_total", reason=reason, **ocr) == 1
    replicas = found["ebbtide_replicas"]
    for state, count in {"desired": 3, "ready": 1, "starting": 0, "draining": 1}.items():
        assert value(replicas, "ebbtide_replicas", state=state, **ocr) == count
    phases = [s.labels["phase"] for s in found["ebbtide_model_phase"] if s.value == 1]
    assert sorted(phases) == ["asleep", "failed", "loading", "ready"]
    waiting = found["ebbtide_waiting_requests"]
    assert value(waiting, "ebbtide_waiting_requests", **ocr) == 2
    gpus = found["ebbtide_gpus"]
    assert value(gpus, "ebbtide_gpus", gpu_class="gpu", state="held") == 4
    assert value(found["ebbtide_elastic_gpus"], "ebbtide_elastic_gpus", gpu_class="gpu") == 3
    others = found["ebbtide_second_writer"]
    assert [s.labels["model"] for s in others if s.value == 1] == ["magika"]
    seconds = found["ebbtide_gpu_seconds"]
    assert value(seconds, "ebbtide_gpu_seconds_total", state="serving", model="ocr") == 200


async def test_what_is_unknown_is_absent_from_the_metrics() -> None:
    idle = (await scraped())["ebbtide_idle_seconds"]
    assert [s.labels["model"] for s in idle] == ["magika"]


async def test_time_histograms_are_cumulative_and_reach_900_s() -> None:
    found = await scraped()
    for name in ("ebbtide_wait_seconds", "ebbtide_upstream_seconds"):
        bounds = {s.labels["le"] for s in found[name] if "le" in s.labels}
        assert {"900.0", "+Inf"} <= bounds
    wait = [s for s in found["ebbtide_wait_seconds"] if s.labels["model"] == "team/ocr"]
    counts = {s.labels["le"]: s.value for s in wait if s.name.endswith("_bucket")}
    assert (counts["0.001"], counts["0.25"], counts["0.5"]) == (1, 1, 2)
    assert (counts["600.0"], counts["900.0"], counts["+Inf"]) == (2, 3, 4)
    assert value(wait, "ebbtide_wait_seconds_count") == 4
    assert value(wait, "ebbtide_wait_seconds_sum") == pytest.approx(5700.3005)


async def test_figures_are_read_when_asked_for_and_registries_are_apart() -> None:
    view = busy_view()
    async with asking(view) as client:
        await families(client)
        view.tallies[None].count(404)
        requests = (await families(client))["ebbtide_requests"]
        assert value(requests, "ebbtide_requests_total", model="", code="404") == 2
    # Two in one process do not meet in a registry that both would share.
    assert registry(view) is not registry(FakeView())


async def test_a_counter_never_falls_though_idle_time_is_given_back() -> None:
    view = busy_view()
    lines = {line.model: line for line in view.account.lines}
    idle = lines["ocr"].idle

    async def shown(now: float) -> float:
        lines["ocr"] = replace(lines["ocr"], idle=now)
        view.account = replace(view.account, lines=tuple(lines.values()))
        seconds = (await families(client))["ebbtide_gpu_seconds"]
        return value(seconds, "ebbtide_gpu_seconds_total", state="idle", model="ocr")

    async with asking(view) as client:
        # A request that is reported late turns a second that was idle into a busy one.
        assert [await shown(idle + change) for change in (0, -1, 0.5, 3)] == [
            idle,
            idle,
            idle + 0.5,
            idle + 3,
        ]

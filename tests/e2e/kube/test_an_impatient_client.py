"""One client leaves after a second, the model is slow: the wake it caused is carried through."""

import asyncio
import time

import pytest

from tests.e2e.kube.stage import Stage
from tests.kube.calls import End, call
from tests.kube.models import Adder
from tests.kube.scales import replica_counts
from tests.kube.watching import Event

LOADING_S, KEEP_ALIVE_S, SLACK_S = 20.0, 12.0, 2.0
pytestmark = pytest.mark.anyio


def _became_ready(events: list[Event]) -> Event | None:
    for event in events:
        for condition in event.object["status"].get("conditions", ()):
            if condition["type"] == "Ready" and condition["status"] == "True":
                return event
    return None


def _slept(events: list[Event]) -> Event | None:
    return events[-1] if replica_counts(events).get("slow") == [0, 1, 0] else None


async def test_a_wake_outlives_the_client_that_caused_it(stage: Stage) -> None:
    stage.install(gpus=1)
    annotations = {"keep-alive": f"{KEEP_ALIVE_S:.0f}s", "start-timeout": "120s"}
    model = Adder(name="slow", adds=5, load_s=LOADING_S, annotations=annotations)
    stage.add(model)
    gateways = stage.gateways()
    with stage.watched() as (deployments, pods):
        first = await call(gateways, model, 1, timeout=1.0)
        assert first.end is End.GAVE_UP
        ready = pods.until(_became_ready, timeout=120.0)
        assert ready.at - first.ended > LOADING_S - 1.0, "it was not there before"
        # Silence for most of its keep-alive: it stays, and the next call finds it warm.
        await asyncio.sleep(max(0.0, ready.at + KEEP_ALIVE_S / 2 - time.monotonic()))
        second = await call(gateways, model, 2)
        assert second.right, second
        assert replica_counts(deployments.events())["slow"] == [0, 1], "woken once, and kept"
        asleep = deployments.until(_slept, timeout=120.0)
    assert asleep.at - second.ended > KEEP_ALIVE_S - SLACK_S

"""One GPU, two models called in turn: each evicts the other, every time, and both always answer."""

import pytest

from tests.e2e.kube.stage import Stage
from tests.kube.calls import call
from tests.kube.models import Adder
from tests.kube.scales import most_at_once, replica_counts, wakes

TURNS = 10
pytestmark = pytest.mark.anyio


async def test_two_models_take_turns_on_one_gpu(stage: Stage) -> None:
    # No residency: an idle model may be evicted as soon as another one wants its GPU.
    stage.install(gpus=1, settings={"min_residency": "0s"})
    models = [Adder(name="left", adds=1), Adder(name="right", adds=2)]
    stage.add(*models)
    gateways = stage.gateways()
    with stage.watched() as (deployments, pods):
        answers = [
            await call(gateways[turn % 2 :] + gateways[: turn % 2], models[turn % 2], turn)
            for turn in range(2 * TURNS)
        ]
    assert [each.right for each in answers] == [True] * (2 * TURNS), answers
    woken = wakes(deployments.events())
    assert woken == ["left", "right"] * TURNS, "each call woke its own model and no other"
    counts = replica_counts(deployments.events())
    assert counts["left"] == [0] + [1, 0] * TURNS, "evicted every time"
    assert counts["right"] == [0] + [1, 0] * (TURNS - 1) + [1]
    assert most_at_once(pods.events()) == 1, "never two pods on the one GPU"

"""300 requests at once to a model that sleeps, over two gateways: all are answered."""

import pytest

from tests.e2e.kube.stage import Stage
from tests.kube.calls import crowd
from tests.kube.models import Adder
from tests.kube.scales import replica_counts

REQUESTS = 300
pytestmark = pytest.mark.anyio


async def test_all_of_a_crowd_are_answered(stage: Stage) -> None:
    stage.install(gpus=1)
    model = Adder(name="crowded", adds=11, annotations={"queue-limit": str(REQUESTS)})
    stage.add(model)
    first, second = stage.gateways()
    asked = [([(first, second)[n % 2]], model, n) for n in range(REQUESTS)]
    with stage.watched() as (deployments, _):
        answers = await crowd(asked)
    wrong = [each for each in answers if not each.right]
    assert not wrong, wrong[:5]
    assert {each.gateway for each in answers} == {first, second}
    assert replica_counts(deployments.events())["crowded"] == [0, 1]

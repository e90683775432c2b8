"""kill -9 of one part after the other under steady load: nobody is answered wrongly or lost."""

from collections import Counter

import pytest

from tests.e2e.kube.stage import Stage
from tests.e2e.kube.storm import KINDS, Storm, excused
from tests.kube.calls import call
from tests.kube.models import Adder
from tests.kube.scales import replica_counts

RATE = 50.0
FULL_S = 180.0
pytestmark = pytest.mark.anyio


@pytest.mark.soak
async def test_kills_lose_only_what_they_hit(stage: Stage, pytestconfig: pytest.Config) -> None:
    models = [
        Adder(name=f"model-{n}", adds=100 * n, annotations={"max-replicas": "1"}) for n in (1, 2, 3)
    ]
    stage.install(gpus=len(models))
    stage.add(*models)
    gateways = stage.gateways()
    scaled = len(stage.scale_writes())
    with stage.watched() as (deployments, _):
        for model in models:
            assert (await call(gateways, model, 0)).right
        storm = Storm(stage, models, rate=RATE, seed=20)
        # Without --soak each kind is killed once.
        await storm.run(FULL_S if pytestconfig.getoption("--soak") else 0.0)
        last = [await call(gateways, model, 1) for model in models]
        counts = replica_counts(deployments.events())
    print(_summary(storm))
    assert {kill.kind for kill in storm.kills} == set(KINDS)
    lost = [each for each in storm.calls if not excused(each, storm.kills)]
    assert not lost, (len(lost), lost[:5], storm.kills)
    assert all(each.right for each in last), "no model is stuck"
    assert counts == {model.name: [0, 1] for model in models}, "no count goes to and fro"
    written = stage.scale_writes()[scaled:]
    assert sorted(written) == sorted((model.name, 1) for model in models), "one write a decision"


def _summary(storm: Storm) -> str:
    ends = Counter(f"{each.end.value} {each.status or ''}".strip() for each in storm.calls)
    return f"{len(storm.calls)} calls: {dict(ends)}; {Counter(k.kind for k in storm.kills)}"

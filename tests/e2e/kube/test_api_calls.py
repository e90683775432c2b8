"""What ebbtide asks of the API server while requests run: nothing that grows with them."""

import pytest

from tests.e2e.kube.stage import Stage
from tests.kube.calls import call, crowd
from tests.kube.models import Adder

REQUESTS = 300
pytestmark = pytest.mark.anyio


def _asked(stage: Stage) -> list[str]:
    """Each request of ebbtide's accounts: what, and by whom."""
    return [
        f"{entry['verb']} {entry['requestURI']} {entry['user']['username']}"
        for entry in stage.own.plane.audited()
        if entry["user"]["username"].startswith("system:serviceaccount:ebbtide:")
    ]


async def test_the_api_server_is_not_asked_per_request(stage: Stage) -> None:
    stage.install(gpus=1)
    model = Adder(name="warm", adds=3, annotations={"queue-limit": str(REQUESTS)})
    stage.add(model)
    gateways = stage.gateways()
    assert (await call(gateways, model, 1)).right
    before = len(_asked(stage))
    assert before > 0, "the audit log knows the accounts"
    answers = await crowd([([gateways[n % 2]], model, n) for n in range(REQUESTS)])
    assert all(each.right for each in answers)
    asked = _asked(stage)[before:]
    # Leases are renewed and watches begun anew as time goes by, whatever is called.
    others = [each for each in asked if "/leases" not in each and "watch=" not in each]
    assert len(others) < REQUESTS / 10, others

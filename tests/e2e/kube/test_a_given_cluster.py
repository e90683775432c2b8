"""A cluster known by its kubeconfig alone: reached by its API server, and left as it was."""

import secrets
from collections.abc import Iterator

import pytest

from tests.e2e.kube.stage import Stage
from tests.kube.calls import call
from tests.kube.cluster import RealCluster
from tests.kube.given import GivenCluster
from tests.kube.models import Adder
from tests.kube.release import Release

pytestmark = pytest.mark.anyio


@pytest.fixture
def given(cluster: RealCluster | GivenCluster, release: Release) -> Iterator[Stage]:
    """The cluster of the other tests, as if somebody had named it."""
    assert cluster.images is not None
    before = _gpus(cluster)
    named = GivenCluster(cluster.kubeconfig, images=cluster.images)
    stage = Stage(named, release, namespace=f"given-{secrets.token_hex(3)}")
    yield stage
    stage.clear()
    named.stop()
    assert _gpus(cluster) == before


def _gpus(cluster: RealCluster | GivenCluster) -> dict[str, str | None]:
    return {
        node["metadata"]["name"]: node["status"]["capacity"].get("nvidia.com/gpu")
        for node in cluster.admin.get("/api/v1/nodes")["items"]
    }


async def test_a_model_answers_through_the_api_server(given: Stage) -> None:
    given.install(gpus=3)
    model = Adder(name="given", adds=9)
    given.add(model)
    gateways = given.gateways()
    assert all(address.startswith("127.0.0.1:") for address in gateways)
    for gateway in gateways:
        answer = await call([gateway], model, 4)
        assert answer.right, answer

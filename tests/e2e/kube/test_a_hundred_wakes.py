"""100 models woken at the same moment, by two gateways and a leader: with room, and without."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kube.hundred import wake_at_once
from tests.kube.plane import ControlPlane
from tests.kube.processes import Site
from tests.kube.redis import RedisServer

MODELS = 100
pytestmark = pytest.mark.anyio


@pytest.fixture
def site(
    control_plane: ControlPlane, namespace: str, redis_server: RedisServer, tmp_path: Path
) -> Site:
    folder = tmp_path / "logs"
    folder.mkdir()
    return Site(control_plane.kubeconfig, redis_server.url, namespace, folder)


async def test_with_room_for_all_each_is_woken_and_answers(
    control_plane: ControlPlane, site: Site, nodes: Callable[..., str]
) -> None:
    nodes(gpus=MODELS)
    woken = await wake_at_once(control_plane, site, models=MODELS, gpus=MODELS, within_s=60.0)
    assert woken.answered == MODELS
    assert len(woken.written_s) == MODELS
    # How soon they are written is measured by `make bench`.


async def test_without_room_few_pods_wait_for_a_node(
    control_plane: ControlPlane, site: Site, nodes: Callable[..., str]
) -> None:
    gpus = 4
    nodes(gpus=gpus)
    woken = await wake_at_once(control_plane, site, models=MODELS, gpus=gpus, within_s=12.0)
    assert woken.unschedulable <= gpus + 1
    assert gpus < woken.answered < MODELS, "GPUs went from one model to the next, in time for some"

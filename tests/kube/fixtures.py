"""Fixtures: a control plane, a namespace of one's own, nodes with GPUs, a Redis.

Rule 1: each pytest worker that needs a control plane starts its own (five seconds, 0.5 GB): nodes
        and webhooks belong to the whole cluster, so that tests that run at once would meet. Few
        do: `tests/sharing_out.py` has all such tests of a folder run on one worker.
Rule 2: a test leaves the control plane as it found it: all parts running, no nodes.
Rule 3: without the programs a test fails and says what makes them; it is never skipped.
"""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scripts.kube.binaries import MissingError
from tests.kube.admin import Admin
from tests.kube.objects import gpu_node
from tests.kube.plane import ControlPlane
from tests.kube.redis import RedisServer
from tests.kube.site import Site

__all__ = ["control_plane", "empty", "namespace", "nodes", "redis_server", "site"]


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd, kube-apiserver, controllers and scheduler, ready."""
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"))
    try:
        plane.start()
    except MissingError as error:
        pytest.fail(str(error))
    else:
        yield plane
    finally:
        plane.stop()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A new namespace in which pods can be made; what it holds is deleted with it."""
    name = f"test-{secrets.token_hex(4)}"
    admin = control_plane.admin
    admin.post("/api/v1/namespaces", {"metadata": {"name": name}})
    admin.until(f"/api/v1/namespaces/{name}/serviceaccounts/default", bool)
    yield name
    empty(admin, name)
    admin.delete(f"/api/v1/namespaces/{name}")


def empty(admin: Admin, name: str) -> None:
    """Delete what a namespace holds. No kubelet ends the pods of our nodes: they get no grace."""
    owners = [f"/apis/apps/v1/namespaces/{name}/{kind}" for kind in ("deployments", "replicasets")]
    pods = f"/api/v1/namespaces/{name}/pods"
    for path in owners:
        admin.delete(path)
        admin.until(path, _none)
    admin.delete(pods, grace_s=0)
    admin.until(pods, _none)


def _none(listed: dict[str, Any]) -> bool:
    return not listed["items"]


@pytest.fixture
def nodes(control_plane: ControlPlane) -> Iterator[Callable[..., str]]:
    """`nodes(gpus=2, resource=..., labels=...)` makes a node, and gives its name."""
    made: list[str] = []

    def make(**wanted: object) -> str:
        name = f"node-{secrets.token_hex(4)}"
        document = gpu_node(name, **wanted)  # type: ignore[arg-type]
        control_plane.admin.post("/api/v1/nodes", document)
        made.append(name)
        return name

    yield make
    for name in made:
        control_plane.admin.delete(f"/api/v1/nodes/{name}")


@pytest.fixture
def site(control_plane: ControlPlane, namespace: str, nodes: Callable[..., str]) -> Site:
    """A namespace of one's own, with four GPUs on a node."""
    nodes(gpus=4)
    return Site(control_plane, namespace)


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis without a password, empty."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        server.start()
    except MissingError as error:
        pytest.fail(str(error))
    else:
        yield server
    finally:
        server.stop()

"""A real cluster with ebbtide installed by Helm, and a namespace for models."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.kube.binaries import MissingError
from tests.e2e.kube.clusters import any_cluster
from tests.e2e.kube.stage import Stage
from tests.kube.cluster import RealCluster
from tests.kube.given import GivenCluster
from tests.kube.release import Release


@pytest.fixture(scope="session")
def cluster(
    models_env: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealCluster | GivenCluster]:
    """The one that was named, one on kind, or one of our own."""
    try:
        with any_cluster(models_env, tmp_path_factory.mktemp("cluster")) as made:
            yield made
    except MissingError as error:
        pytest.fail(str(error))


@pytest.fixture(scope="module")
def release(
    cluster: RealCluster | GivenCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """Not installed yet; removed after the module's tests."""
    scratch = tmp_path_factory.mktemp("helm")
    made = Release(cluster.admin, kubeconfig=cluster.kubeconfig, scratch=scratch)
    yield made
    made.uninstall()


@pytest.fixture
def stage(cluster: RealCluster | GivenCluster, release: Release) -> Iterator[Stage]:
    """A namespace for models, empty again before the next test begins."""
    made = Stage(cluster, release, namespace=f"models-{secrets.token_hex(3)}")
    yield made
    made.clear()

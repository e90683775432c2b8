"""Which cluster the tests run on.

1. The one that `EBBTIDE_E2E_KUBECONFIG` names; never that of `KUBECONFIG`. `EBBTIDE_E2E_IMAGE` is
   ebbtide's image there, `EBBTIDE_E2E_TRITON_IMAGE` Triton's, `EBBTIDE_E2E_REDIS_IMAGE` Redis's.
2. kind, where a container engine answers: ebbtide's image is built from the Dockerfile.
3. This machine as a node.
"""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from scripts.kube.binaries import container_engine, find
from tests.kube.cluster import RealCluster
from tests.kube.contents import EBBTIDE, REDIS, ebbtide_image, redis_image
from tests.kube.given import GivenCluster, Images
from tests.kube.images import host_image
from tests.kube.models import TritonMounts, triton_mounts

__all__ = ["any_cluster"]

_ROOT = Path(__file__).resolve().parents[3]
_TRITON = "nvcr.io/nvidia/tritonserver:25.08-py3"
_MACHINE = "/machine"
"""Where a node of kind has this machine's folders."""


@contextmanager
def any_cluster(models_env: Path, scratch: Path) -> Iterator[RealCluster | GivenCluster]:
    """The first of the three that there is. Raises `MissingError` where there is none."""
    named = os.environ.get("EBBTIDE_E2E_KUBECONFIG")
    engine = container_engine()
    if named:
        with _given(Path(named)) as cluster:
            yield cluster
    elif engine is not None:
        with _on_kind(engine, models_env, scratch) as cluster:
            yield cluster
    else:
        with _our_own(models_env, scratch) as own:
            yield own


@contextmanager
def _our_own(models_env: Path, scratch: Path) -> Iterator[RealCluster]:
    triton = triton_mounts(models_env, scratch)
    images = Images(ebbtide=EBBTIDE, redis=REDIS, triton=triton, pull="Never")
    tars = [ebbtide_image(scratch), redis_image(scratch)]
    cluster = RealCluster(images=images, tars=tars)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def _given(kubeconfig: Path) -> Iterator[GivenCluster]:
    environ = os.environ
    triton = TritonMounts(
        command=("tritonserver",),
        env={},
        folders=(),
        image=environ.get("EBBTIDE_E2E_TRITON_IMAGE", _TRITON),
        pull="IfNotPresent",
    )
    images = Images(
        ebbtide=environ.get("EBBTIDE_E2E_IMAGE", "ebbtide:e2e"),
        redis=environ.get("EBBTIDE_E2E_REDIS_IMAGE"),
        triton=triton,
    )
    with _stopped(GivenCluster(kubeconfig, images=images)) as cluster:
        yield cluster


@contextmanager
def _on_kind(engine: str, models_env: Path, scratch: Path) -> Iterator[GivenCluster]:
    name = f"ebbtide-e2e-{secrets.token_hex(3)}"
    mounts = triton_mounts(models_env, scratch)
    triton = TritonMounts(
        command=mounts.command, env=mounts.env, folders=mounts.folders, prefix=_MACHINE
    )
    kubeconfig, image = scratch / "kubeconfig", "docker.io/ebbtide-test/ebbtide:kind"
    run(engine, "build", "--tag", image, str(_ROOT))
    archive = scratch / "ebbtide-kind.tar"
    run(engine, "save", "--output", str(archive), image)
    config = scratch / "kind.yaml"
    config.write_text(yaml.safe_dump(_kind_configuration(mounts.folders)))
    kind = ["env", f"KIND_EXPERIMENTAL_PROVIDER={engine}", str(find("kind"))]
    try:
        flags = ["--config", str(config), "--kubeconfig", str(kubeconfig), "--wait", "180s"]
        run(*kind, "create", "cluster", "--name", name, *flags)
        for tar in (archive, host_image(scratch), redis_image(scratch)):
            run(*kind, "load", "image-archive", str(tar), "--name", name)
        images = Images(ebbtide=image, redis=REDIS, triton=triton, pull="Never")
        with _stopped(GivenCluster(kubeconfig, images=images)) as cluster:
            yield cluster
    finally:
        run(*kind, "delete", "cluster", "--name", name)


def _kind_configuration(folders: tuple[Path, ...]) -> dict[str, Any]:
    mounts = [
        {"hostPath": str(each.resolve()), "containerPath": f"{_MACHINE}{each}", "readOnly": True}
        for each in folders
    ]
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": "control-plane", "extraMounts": mounts}],
    }


@contextmanager
def _stopped(cluster: GivenCluster) -> Iterator[GivenCluster]:
    try:
        yield cluster
    finally:
        cluster.stop()


def run(*command: str) -> None:
    """Raises `RuntimeError` with what a program said when it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:4])}: {done.stderr[-2000:]}")

"""Every manifest under examples/ is one that ebbtide takes, and a cluster too.

(That a real API server takes them is tried in tests/kube.)
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.cluster.local.manifests import read_manifests
from fleet.deployment import read_deployment
from tests.house.tree import ROOT

EXAMPLES = ROOT / "examples"
MANIFESTS = sorted((EXAMPLES / "quickstart").rglob("*.yaml"))
KUBERNETES = EXAMPLES / "kubernetes"
NO_MANIFESTS = ("kind", "values-")
"""How files begin that are for kind and for Helm."""
ON_CLUSTERS = [
    (path, document)
    for path in sorted(KUBERNETES.glob("*.yaml"))
    if not path.name.startswith(NO_MANIFESTS)
    for document in yaml.safe_load_all(path.read_text())
]
DEPLOYED = [(path, document) for path, document in ON_CLUSTERS if document["kind"] == "Deployment"]


def test_there_are_examples() -> None:
    assert {path.stem for path in MANIFESTS} >= {"filetype", "speech", "ocr", "embed"}


def test_a_folder_of_examples_reads_without_a_problem() -> None:
    for folder in {path.parent for path in MANIFESTS}:
        found = read_manifests([folder])
        assert [str(problem) for problem in found.problems] == []
        assert {each.file for each in found.deployments} == set(folder.glob("*.yaml"))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_agrees_with_itself(path) -> None:
    """What the API server would refuse: a selector that misses the pods, a mount of no volume."""
    for document in yaml.safe_load_all(path.read_text()):
        assert (document["apiVersion"], document["kind"]) == ("apps/v1", "Deployment")
        spec = document["spec"]
        wanted = spec["selector"]["matchLabels"].items()
        assert wanted <= spec["template"]["metadata"]["labels"].items()
        pod = spec["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            ports = {port["name"] for port in container["ports"]}
            assert container["readinessProbe"]["httpGet"]["port"] in ports
            for variable in container["env"]:
                assert isinstance(variable["value"], str)


def named(value: Any) -> str:
    return value.stem if isinstance(value, Path) else value["metadata"]["name"]


def test_there_are_examples_for_clusters() -> None:
    """What docs and README name: a CPU model, a GPU model, priority, affinity and MIG, a volume."""
    assert {path.stem for path, _ in ON_CLUSTERS} >= {
        *("hello", "cpu-model", "gpu-model", "priority", "affinity-and-mig", "models-volume")
    }
    images = {c["image"] for _, d in DEPLOYED for c in d["spec"]["template"]["spec"]["containers"]}
    assert any(image.startswith("nvcr.io/nvidia/tritonserver:") for image in images)
    assert all(re.search(r":v?\d[\w.-]*$", image) for image in images), "an exact version"


@pytest.mark.parametrize(("path", "document"), DEPLOYED, ids=named)
def test_a_cluster_reads_it_without_a_problem(path: Path, document: dict[str, Any]) -> None:
    read = read_deployment(document, source=path.name, created=0.0, version="1", in_cluster=True)
    assert [str(problem) for problem in read.problems] == []
    assert read.revision is not None


@pytest.mark.parametrize(("path", "document"), DEPLOYED, ids=named)
def test_it_does_as_the_pages_advise(path: Path, document: dict[str, Any]) -> None:
    read = read_deployment(document, source=path.name, created=0.0, version="1", in_cluster=True)
    assert read.revision is not None
    spec, policy = document["spec"], read.revision.policy
    assert "replicas" not in spec, "ebbtide writes them"
    pod = spec["template"]["spec"]
    if "ebbtide.dev/request-timeout" in document["metadata"]["annotations"]:
        assert pod["terminationGracePeriodSeconds"] >= policy.request_timeout
    if read.revision.gpus:
        # Without a free GPU a surge would wait for the pod that it is to replace.
        assert spec["strategy"]["rollingUpdate"]["maxSurge"] == 0
    volumes = {volume["name"] for volume in pod.get("volumes", ())}
    for container in pod["containers"]:
        assert {mount["name"] for mount in container.get("volumeMounts", ())} == volumes


def test_claims_and_config_maps_are_there() -> None:
    there = {(d["kind"], d["metadata"]["name"]) for _, d in ON_CLUSTERS}
    for _, document in DEPLOYED:
        for volume in document["spec"]["template"]["spec"].get("volumes", ()):
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in there
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in there

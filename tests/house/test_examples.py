"""Every manifest under examples/ is one that ebbtide takes, and a cluster too."""

import pytest
import yaml

from fleet.cluster.local.manifests import read_manifests
from tests.house.tree import ROOT

EXAMPLES = ROOT / "examples"
MANIFESTS = sorted(EXAMPLES.rglob("*.yaml"))


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

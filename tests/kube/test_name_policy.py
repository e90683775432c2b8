"""The policy that docs/kubernetes.md gives for names does what it says there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.kube.admin import Admin, RefusedError
from tests.kube.objects import deployment
from tests.kube.plane import ControlPlane

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kubernetes.md"
NAME, PLACE = "names-by-namespace", "team-a"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = f"{POLICIES.removesuffix('ies')}ybindings"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{PLACE}/deployments"


def policy() -> dict[str, object]:
    """Of the page: what it is on, and its validation."""
    _, _, warning = PAGE.read_text().partition("**Warning: names are shared")
    text = "\n".join(line.removeprefix("> ") for line in warning.splitlines())
    said, block, *_ = text.split("```")
    rules = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": re.findall(r"`(CREATE|UPDATE)`", said),
        "resources": re.findall(r"`(deployments(?:/[a-z]+)?)`", said),
    }
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rules]},
        "validations": yaml.safe_load(block),
    }


@pytest.fixture(scope="module")
def tied(control_plane: ControlPlane) -> Iterator[Admin]:
    """An administrator of a cluster where it is in force; `old` was there before."""
    admin = control_plane.admin
    admin.post("/api/v1/namespaces", {"metadata": {"name": PLACE}})
    admin.post(DEPLOYMENTS, deployment("old", PLACE, annotations={"model": "ocr"}, replicas=0))
    admin.post(POLICIES, {"metadata": {"name": NAME}, "spec": policy()})
    bound = {"policyName": NAME, "validationActions": ["Deny"]}
    admin.post(BINDINGS, {"metadata": {"name": NAME}, "spec": bound})
    for _ in range(1000):
        if not takes(admin, "ocr"):
            break
    else:
        pytest.fail("the policy never came into force")
    yield admin
    admin.delete(f"{BINDINGS}/{NAME}")
    admin.delete(f"{POLICIES}/{NAME}")
    admin.delete(DEPLOYMENTS)
    admin.delete(f"/api/v1/namespaces/{PLACE}")


def takes(admin: Admin, names: str) -> bool:
    made = deployment("new", PLACE, annotations={"model": names}, replicas=0)
    try:
        admin.post(DEPLOYMENTS, made, dry=True)
    except RefusedError:
        return False
    return True


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        ("team-a/ocr", True),
        ("team-a/ocr=ocr, team-a/ocr/large=large", True),
        ("ocr", False),
        ("team-a/ocr,ocr", False),
        ("team-b/ocr", False),
        ("team-a=team-a/ocr", False),
        (",team-a/ocr", False),
    ],
)
def test_names_begin_with_their_namespace(tied: Admin, names: str, taken: bool) -> None:
    assert takes(tied, names) is taken


@pytest.mark.parametrize("way", ["", "/status"])
def test_nobody_takes_a_name_by_another_way(tied: Admin, way: str) -> None:
    path = f"{DEPLOYMENTS}/old{way}"
    with pytest.raises(RefusedError):
        tied.patch(path, {"metadata": {"annotations": {"ebbtide.dev/model": "theirs"}}})
    tied.patch(path, {"metadata": {"annotations": {"other": way or "none"}}})
    tied.patch(path, {"metadata": {"annotations": {"ebbtide.dev/model": "team-a/mine"}}})
    tied.patch(path, {"metadata": {"annotations": {"other": "again"}}})

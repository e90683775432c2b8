"""The chart, rendered by the real Helm, and put on a control plane."""

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.kube.binaries import VERSION, find
from tests.kube.admin import Admin

__all__ = ["CHART", "HelmError", "apply", "helm", "render", "withdraw"]

CHART = Path(__file__).resolve().parents[2] / "charts" / "ebbtide"
_PLURALS = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "Ingress": "ingresses",
    "NetworkPolicy": "networkpolicies",
    "PersistentVolume": "persistentvolumes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "StatefulSet": "statefulsets",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}
_OF_THE_CLUSTER = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "PersistentVolume",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
)
# Bindings come after what they bind.
_ORDER = ("ServiceAccount", "ClusterRole", "Role", "ValidatingAdmissionPolicy")


class HelmError(Exception):
    """Helm refused; the text is what it said."""


def helm(*arguments: str, program: str = "helm") -> str:
    """What Helm 4 (or 3: `helm3`) prints. Raises `HelmError`."""
    done = subprocess.run(
        [str(find(program)), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HelmError(done.stderr)
    return done.stdout


def render(
    *,
    release: str = "ebbtide",
    namespace: str = "ebbtide",
    values: Mapping[str, Any] | None = None,
    folder: Path,
    program: str = "helm",
) -> list[dict[str, Any]]:
    """The chart's documents with these values; `folder` takes the file with them."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values or {})))
    text = helm(
        *("template", release, str(CHART), "--namespace", namespace, "--values", str(file)),
        *("--kube-version", VERSION),
        program=program,
    )
    return [each for each in yaml.safe_load_all(text) if each]


def apply(
    admin: Admin, documents: Iterable[Mapping[str, Any]], *, namespace: str, dry: bool = False
) -> None:
    """Server-side apply of `documents`, those without a namespace into `namespace`."""
    ordered = sorted(documents, key=lambda each: not each["kind"].startswith(_ORDER))
    for document in ordered:
        admin.apply(_path(document, namespace), document, dry=dry)


def withdraw(admin: Admin, documents: Iterable[Mapping[str, Any]], *, namespace: str) -> None:
    """Delete what `apply` made."""
    for document in documents:
        admin.delete(_path(document, namespace))


def _path(document: Mapping[str, Any], namespace: str) -> str:
    version, kind, metadata = document["apiVersion"], document["kind"], document["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    inside = (
        "" if kind in _OF_THE_CLUSTER else f"/namespaces/{metadata.get('namespace', namespace)}"
    )
    return f"{root}{inside}/{_PLURALS[kind]}/{metadata['name']}"

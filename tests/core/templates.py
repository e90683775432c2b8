"""Pod templates as plain documents, and what this machine makes of them."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fleet.cluster.local.podspec import Launch, launch
from fleet.cluster.local.template import PodReading, read_pod
from fleet.cluster.local.volumes import ConfigMap
from fleet.deployment import read_deployment
from tests.core.deployments import document

FOLDER = Path("/here/manifests")
SCRATCH = Path("/scratch/d-1")
PLAIN = {"runtime": "plain", "allow": "all", "port": "80"}
ADDRESS = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
NOTHING: Mapping[tuple[str, str], ConfigMap] = {}


def config_map(**texts: str) -> ConfigMap:
    files = {key: text.encode() for key, text in texts.items()}
    return ConfigMap(files=MappingProxyType(files), texts=MappingProxyType(texts))


MAPS = {
    ("n", "c"): config_map(KEY="a$(POD_IP)", other="o"),
    ("elsewhere", "e"): config_map(KEY="no"),
}


def reading(
    container: dict[str, Any],
    *,
    annotations: dict[str, str] | None = None,
    pod: dict[str, Any] | None = None,
    config_maps: Mapping[tuple[str, str], ConfigMap] = NOTHING,
) -> PodReading:
    whole = document({"model": "m", **(annotations or {})}, container=container)
    whole["spec"]["template"]["spec"].update(pod or {})
    whole["spec"]["template"]["metadata"] = {"labels": {"app": "a$(X)"}}
    registration = read_deployment(whole, source="f.yaml", created=0, version="")
    assert registration.draft is not None
    return read_pod(whole, revision=registration.draft, folder=FOLDER, config_maps=config_maps)


def launched(container: dict[str, Any], **kwargs: Any) -> Launch:
    found = reading(container, **kwargs)
    assert found.pod is not None, [str(each) for each in found.problems]
    return launch(
        found.pod,
        pod_name="d-1",
        address="127.9.8.7",
        scratch=SCRATCH,
        inherited={"PATH": "/bin", "HOME": "/root", "A": "inherited"},
    )


def refused(container: dict[str, Any], **kwargs: Any) -> str:
    found = reading(container, **kwargs)
    assert found.pod is None
    (problem,) = [each for each in found.problems if not each.warning]
    return str(problem)


def warnings(container: dict[str, Any], **kwargs: Any) -> list[str]:
    found = reading(container, **kwargs)
    assert found.pod is not None
    assert all(each.warning for each in found.problems)
    return [str(each) for each in found.problems]


def words(*command: str, env: list[dict[str, Any]] | None = None, **kwargs: Any) -> list[str]:
    """The words of a plain server's command after launch."""
    container = {"command": list(command), "env": env or []}
    return list(launched(container, annotations={**PLAIN, **kwargs}).argv)


def volumes(*found: dict[str, Any]) -> dict[str, Any]:
    return {"volumes": list(found)}


def mounts(*found: tuple[str, str] | tuple[str, str, str]) -> dict[str, Any]:
    return {
        "volumeMounts": [
            {"name": name, "mountPath": path, **({"subPath": below[0]} if below else {})}
            for name, path, *below in found
        ]
    }

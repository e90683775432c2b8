"""What a pod template means on every cluster: its ports, its GPUs, and its digest. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from fleet.annotations import PREFIX, Annotations
from fleet.document import Node, Report
from fleet.model import Ports, RuntimeName

__all__ = ["GPU", "GpuAsk", "digest", "is_gpu", "read_gpus", "read_ports"]

GPU = "nvidia.com/gpu"
_MIG = "nvidia.com/mig-"
_MAX_GPUS = 1024
_MAX_PORT = 65535
_DEFAULT: Mapping[RuntimeName, Mapping[str, int]] = {
    RuntimeName.TRITON: {"http": 8000, "grpc": 8001, "metrics": 8002},
    RuntimeName.OPENAI: {"http": 8000},
    RuntimeName.PLAIN: {},
}
_KEYS = {"http": "port", "grpc": "grpc-port", "metrics": "metrics-port"}


def read_ports(pod: Node, annotations: Annotations, report: Report) -> Ports:
    """The ports: from the annotation, else the container port of that name, else the runtime's."""
    named, numbers = _container_ports(pod)
    runtime = annotations.runtime
    found: dict[str, int | None] = {}
    for name, key in _KEYS.items():
        text = annotations.ports.get(key)
        if text is None:
            found[name] = named.get(name, _DEFAULT[runtime].get(name))
        else:
            found[name] = _port(text, named)
            if found[name] is None:
                report.refuse(PREFIX + key, text, _allowed(named))
    if found["http"] is None and "port" not in annotations.ports:
        # A server with one port can mean no other.
        found["http"] = next(iter(numbers)) if len(numbers) == 1 else None
        if found["http"] is None:
            report.refuse(
                f"{PREFIX}port",
                None,
                f"runtime {runtime.value} has no port of its own: give the number here, name a "
                "container port http, or declare exactly one",
            )
    ports = Ports(http=found["http"] or 0, grpc=found["grpc"], metrics=found["metrics"])
    if runtime is RuntimeName.TRITON and ports.http and ports.http in (ports.grpc, ports.metrics):
        report.refuse(f"{PREFIX}port", ports.http, "another port than those of grpc and metrics")
    return ports


def _container_ports(pod: Node) -> tuple[dict[str, int], set[int]]:
    named: dict[str, int] = {}
    numbers: set[int] = set()
    for container in pod.at("containers").items():
        for port in container.at("ports").items():
            number = port.at("containerPort").whole(low=1, high=_MAX_PORT, default=0)
            name = port.at("name").text()
            if number and port.at("protocol").text("TCP") == "TCP":
                numbers.add(number)
                named.setdefault(name, number)
    named.pop("", None)
    return named, numbers


def _port(text: str, named: Mapping[str, int]) -> int | None:
    if text in named:
        return named[text]
    if text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_PORT)):
        number = int(text)
        return number if 1 <= number <= _MAX_PORT else None
    return None


def _allowed(named: Mapping[str, int]) -> str:
    names = ", ".join(sorted(named))
    return f"a port number from 1 to {_MAX_PORT}, or the name of a container port" + (
        f": {names}" if names else " (none has a name)"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuAsk:
    """The GPUs of one replica."""

    count: int
    resource: str = GPU
    """By what name the cluster knows them: whole ones, or parts of one kind (MIG)."""

    @property
    def gpu_class(self) -> str:
        """The class of parts; of whole GPUs the nodes tell which they have."""
        return "gpu" if self.resource == GPU else self.resource.rpartition("/")[2]


def is_gpu(resource: str) -> bool:
    """Whether a resource is GPUs: whole ones, or parts of one kind (MIG)."""
    return resource == GPU or resource.startswith(_MIG)


def read_gpus(pod: Node, *, parts: bool = False) -> GpuAsk:
    """The GPUs per replica: those of all containers together; `parts`: MIG counts too."""
    found: dict[str, int] = {}
    for container in pod.at("containers").items():
        resources = container.at("resources")
        for key, node in resources.at("limits").fields().items():
            if key == GPU or (parts and is_gpu(key)):
                continue
            if key.startswith(("nvidia.com/", "amd.com/", "gpu.intel.com/")):
                counted = f"{GPU} and its MIG parts are" if parts else f"{GPU} is"
                node.warn(f"not counted as a GPU: only {counted}")
        for key in _asked(resources, parts=parts):
            found[key] = found.get(key, 0) + _gpus(resources, key)
    several = [key for key, count in found.items() if count]
    if len(several) > 1:
        pod.at("containers").refuse(f"GPUs of one kind per replica, not {', '.join(several)}")
    resource = several[0] if several else GPU
    return GpuAsk(count=found.get(resource, 0), resource=resource)


def _asked(resources: Node, *, parts: bool) -> list[str]:
    keys = (*resources.at("limits").fields(), *resources.at("requests").fields())
    return [key for key in dict.fromkeys(keys) if key == GPU or (parts and is_gpu(key))]


def _gpus(resources: Node, resource: str) -> int:
    limit, request = resources.at("limits", resource), resources.at("requests", resource)
    gpus, wanted = _count(limit), _count(request)
    if request.present and not limit.present:
        request.refuse(f"the same number under limits: {resource} needs a limit")
    elif request.present and gpus != wanted:
        request.refuse(f"the same as the limit ({gpus}), or nothing")
    return gpus


def _count(node: Node) -> int:
    value = node.value
    if value is None:
        return 0
    text = str(value) if isinstance(value, str | int) else ""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= _MAX_GPUS):
        node.refuse(f"a whole number of GPUs from 0 to {_MAX_GPUS}")
        return 0
    return int(text)


def digest(template: Node, annotations: Annotations, ports: Ports) -> str:
    """A short name for all that decides the processes; the same for the same, in any order."""
    decides = {
        "template": template.value,
        "local": dict(annotations.local),
        "runtime": annotations.runtime.value,
        "ports": [ports.http, ports.grpc, ports.metrics],
    }
    canonical = json.dumps(decides, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]

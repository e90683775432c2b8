"""What the containers of a pod are doing, and which of them is the model server. Pure."""

from dataclasses import dataclass

from fleet.cluster.kubernetes.fields import entries, keyed, text, whole
from fleet.cluster.kubernetes.holding import count
from fleet.kubernetes.objects import Object

__all__ = ["Container", "Ending", "first_runs", "server_name", "sidecars", "starters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one run of a container ended."""

    code: int
    reason: str
    """`Error`, `Completed`, `OOMKilled`, `StartError` and the like."""
    message: str
    """What it left in its termination message, or the runtime's words."""
    at: str
    """The timestamp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The state of one container."""

    name: str
    runs: int = 0
    """How often it was started anew."""
    waiting: str = ""
    """Why it does not run: `ContainerCreating`, `ImagePullBackOff` and the like."""
    message: str = ""
    running_since: str = ""
    """The timestamp; empty while it does not run."""
    ended: Ending | None = None
    """How this run ended, while no other has begun."""
    before: Ending | None = None
    """How the last run ended."""

    @property
    def runs_now(self) -> bool:
        return bool(self.running_since)


def server_name(pod: Object, port: int) -> str:
    """The container that the model is in.

    The one that declares `port`; else the first that holds GPUs; else the first.
    """
    containers = entries(pod, "spec", "containers")
    for container in containers:
        if any(whole(each, "containerPort") == port for each in entries(container, "ports")):
            return text(container, "name")
    for container in containers:
        if any(count(number) for number in keyed(container, "resources", "limits").values()):
            return text(container, "name")
    return text(containers[0], "name") if containers else ""


def first_runs(pod: Object, name: str) -> Container:
    """The state of the container of that name; one that nothing is known of is waiting."""
    return _named(pod, "containerStatuses", name)


def starters(pod: Object) -> tuple[Container, ...]:
    """The init containers that have to end well before the others are started, in order."""
    return tuple(
        _named(pod, "initContainerStatuses", text(each, "name"))
        for each in entries(pod, "spec", "initContainers")
        if text(each, "restartPolicy") != "Always"
    )


def sidecars(pod: Object, server: str) -> tuple[Container, ...]:
    """The containers beside the model server, those among the init containers too."""
    beside = [
        _named(pod, "containerStatuses", name)
        for each in entries(pod, "spec", "containers")
        if (name := text(each, "name")) != server
    ]
    return (
        *(
            _named(pod, "initContainerStatuses", text(each, "name"))
            for each in entries(pod, "spec", "initContainers")
            if text(each, "restartPolicy") == "Always"
        ),
        *beside,
    )


def _named(pod: Object, key: str, name: str) -> Container:
    for status in entries(pod, "status", key):
        if text(status, "name") == name:
            return _read(status, name)
    return Container(name=name)


def _read(status: object, name: str) -> Container:
    runs = whole(status, "restartCount") or 0
    return Container(
        name=name,
        runs=max(0, runs),
        waiting=text(status, "state", "waiting", "reason"),
        message=text(status, "state", "waiting", "message"),
        running_since=text(status, "state", "running", "startedAt"),
        ended=_ending(keyed(status, "state", "terminated")),
        before=_ending(keyed(status, "lastState", "terminated")),
    )


def _ending(terminated: object) -> Ending | None:
    if not terminated:
        return None
    return Ending(
        code=whole(terminated, "exitCode") or 0,
        reason=text(terminated, "reason"),
        message=text(terminated, "message"),
        at=text(terminated, "finishedAt"),
    )

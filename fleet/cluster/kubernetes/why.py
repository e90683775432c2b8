"""Why a pod does not serve, in the cluster's own words. Pure.

Rule 1: FAILED is said only where this try is over by the cluster's own verdict: a container that
        has ended, or one that cannot be made from what the Deployment says (`STUBBORN`). What the
        cluster goes on trying, as an image that cannot be pulled or a volume that cannot be
        mounted, is a start that lasts: the start timeout ends it, with these words as the cause.
Rule 2: words are passed on as they are, cut at `LONGEST`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fleet.cluster.kubernetes.containers import Container, Ending, sidecars, starters
from fleet.cluster.kubernetes.fields import entries, text
from fleet.cluster.kubernetes.times import wall_seconds
from fleet.kubernetes.objects import Object, version_of
from fleet.model import RuntimeName
from fleet.podtemplate import is_gpu
from fleet.reasons import Reason

__all__ = [
    "LONGEST",
    "STUBBORN",
    "Cause",
    "Events",
    "Explain",
    "newest",
    "of_ending",
    "of_pending",
    "of_start",
]

LONGEST = 1000
_LINES = 20

Explain = Callable[[RuntimeName, Sequence[str]], str]
"""The cause of a failed start, out of the last lines that were printed."""

Events = Mapping[str, Object]
"""The newest Event of each reason about one pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why it does not serve."""

    reason: Reason | None = None
    message: str = ""
    log: tuple[str, ...] = ()


STUBBORN: Mapping[str, Reason] = {
    "CreateContainerConfigError": Reason.CREATE_CONTAINER_CONFIG_ERROR,
    "InvalidImageName": Reason.INVALID_IMAGE_NAME,
    "ErrImageNeverPull": Reason.ERR_IMAGE_NEVER_PULL,
}
"""What keeps a container from being made until somebody changes something."""

_TRYING: Mapping[str, Reason] = {
    **STUBBORN,
    "ImagePullBackOff": Reason.IMAGE_PULL_BACK_OFF,
    "ErrImagePull": Reason.IMAGE_PULL_BACK_OFF,
    "ImageInspectError": Reason.IMAGE_PULL_BACK_OFF,
    "RegistryUnavailable": Reason.IMAGE_PULL_BACK_OFF,
    "SignatureValidationFailed": Reason.IMAGE_PULL_BACK_OFF,
    "CreateContainerError": Reason.CREATE_CONTAINER_ERROR,
    "RunContainerError": Reason.CREATE_CONTAINER_ERROR,
    "PreCreateHookError": Reason.CREATE_CONTAINER_ERROR,
    "PreStartHookError": Reason.CREATE_CONTAINER_ERROR,
    "PostStartHookError": Reason.CREATE_CONTAINER_ERROR,
    "CrashLoopBackOff": Reason.CRASH_LOOP_BACK_OFF,
}
# What goes on before a container is made: the newest of these Events tells. None: all is well.
_STEPS: Mapping[str, Reason | None] = {
    "FailedMount": Reason.FAILED_MOUNT,
    "FailedAttachVolume": Reason.FAILED_ATTACH_VOLUME,
    "SuccessfulAttachVolume": None,
    "FailedCreatePodSandBox": Reason.FAILED_CREATE_POD_SAND_BOX,
    "Pulling": Reason.PULLING_IMAGE,
    "Pulled": None,
}
_ENDINGS: Mapping[str, Reason] = {
    "OOMKilled": Reason.OOM_KILLED,
    "StartError": Reason.CANNOT_EXECUTE,
    "ContainerCannotRun": Reason.CANNOT_EXECUTE,
}
_COMING = ("TriggeredScaleUp", "Nominated")
_NOT_COMING = "NotTriggerScaleUp"


def newest(events: Sequence[Object]) -> Events:
    """The newest of each reason, whatever their order."""
    found: dict[str, Object] = {}
    for event in sorted(events, key=_age):
        found[text(event, "reason")] = event
    return found


def _age(event: Object) -> tuple[float, int, str, str]:
    stamps = (
        text(event, "series", "lastObservedTime"),
        text(event, "lastTimestamp"),
        text(event, "eventTime"),
        text(event, "metadata", "creationTimestamp"),
    )
    at = max((wall_seconds(stamp) or 0.0 for stamp in stamps), default=0.0)
    version = version_of(event)
    number = int(version) if version.isascii() and version.isdigit() and len(version) < 19 else 0
    return (at, number, text(event, "metadata", "name"), text(event, "message"))


def of_pending(pod: Object, events: Events) -> Cause:
    """Why it has no node yet."""
    for condition in entries(pod, "status", "conditions"):
        if text(condition, "type") == "PodScheduled" and text(condition, "status") == "False":
            return _unscheduled(condition, events)
    return Cause()


def _unscheduled(condition: object, events: Events) -> Cause:
    words = text(condition, "message")
    if text(condition, "reason") == "SchedulingGated":
        return Cause(reason=Reason.SCHEDULING_GATED, message=words[:LONGEST])
    lacks = _lacks_gpus(words)
    reason = Reason.NO_FREE_GPU if lacks else Reason.UNSCHEDULABLE
    asked = [events[name] for name in (*_COMING, _NOT_COMING) if name in events]
    if asked:
        last = max(asked, key=_age)
        words = "; ".join(part for part in (words, text(last, "message")) if part)
        if lacks and text(last, "reason") in _COMING:
            reason = Reason.NODE_COMING
    return Cause(reason=reason, message=words[:LONGEST])


def _lacks_gpus(words: str) -> bool:
    parts = words.split("Insufficient ")[1:]
    return any(is_gpu(part.split(maxsplit=1)[0].rstrip(".,")) for part in parts if part.strip())


def of_start(pod: Object, server: Container, events: Events) -> Cause:
    """Why its model server does not run yet, on its node."""
    if (cause := _waits(server)) is not None:
        return cause
    for container in starters(pod):
        ending = container.ended
        if ending is not None and ending.code == 0:
            continue
        if (cause := _waits(container)) is not None:
            return _beside("init container", container, cause)
        if container.runs_now:
            return Cause(
                reason=Reason.STARTING, message=f"init container {container.name} is running"
            )
        break
    for container in sidecars(pod, server.name):
        if (cause := _waits(container)) is not None:
            return _beside("container", container, cause)
    return _step(events)


def _waits(container: Container) -> Cause | None:
    reason = _TRYING.get(container.waiting)
    if reason is None:
        return None
    words = container.message or container.waiting
    if reason is Reason.CRASH_LOOP_BACK_OFF and container.before is not None:
        return Cause(reason=reason, message=_ending_words(container.before)[:LONGEST])
    if container.waiting not in words:
        words = f"{container.waiting}: {words}"
    return Cause(reason=reason, message=words[:LONGEST])


def _beside(what: str, container: Container, cause: Cause) -> Cause:
    words = f"{what} {container.name}: {cause.message}"
    return Cause(reason=cause.reason, message=words[:LONGEST])


def _step(events: Events) -> Cause:
    steps = [event for name, event in events.items() if name in _STEPS]
    last = max(steps, key=_age, default=None)
    reason = None if last is None else _STEPS[text(last, "reason")]
    if last is None or reason is None:
        return Cause(reason=Reason.STARTING)
    return Cause(reason=reason, message=text(last, "message")[:LONGEST])


def of_ending(
    ending: Ending, *, looping: bool, runtime: RuntimeName, explain: Explain, where: str = ""
) -> Cause:
    """Why a container ended; `looping`: the cluster pauses before the next try."""
    lines = tuple(line for line in ending.message.splitlines() if line.strip())[-_LINES:]
    cause = explain(runtime, lines) if lines else ""
    words = f"{where}{_ended(ending)}{': ' if cause else ''}{cause}"
    reason = _ENDINGS.get(ending.reason)
    if reason is None:
        reason = Reason.CRASH_LOOP_BACK_OFF if looping else Reason.EXITED
    return Cause(
        reason=reason, message=words[:LONGEST], log=tuple(line[:LONGEST] for line in lines)
    )


def _ending_words(ending: Ending) -> str:
    """How it ended, with the last line that it left."""
    lines = [line.strip() for line in ending.message.splitlines() if line.strip()]
    return f"{_ended(ending)}: {lines[-1]}" if lines else _ended(ending)


def _ended(ending: Ending) -> str:
    said = f"exit code {ending.code}"
    return said if ending.reason in ("", "Error", "Completed") else f"{ending.reason}, {said}"

"""The annotations of a Deployment: every key, what it may hold, and what it means. Pure.

Rule 1: everything wrong is reported, not only the first thing; what is wrong has its default in
        the values read, so that reading can go on.
Rule 2: an unknown `ebbtide.dev/` key is wrong too: a mistyped one would be a setting silently lost.
Rule 3: `ebbtide.dev/draining` is ebbtide's own; `ebbtide.dev/local.*` is for the local cluster.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeVar

from fleet.affinity import parse_affinity
from fleet.claims import parse_allow, parse_models
from fleet.document import Node, Report
from fleet.model import (
    AllowRule,
    Mode,
    Policy,
    Retry,
    RuntimeName,
    Served,
    TlsPorts,
    WarmUp,
)
from fleet.quantities import parse_bool, parse_bytes, parse_duration, parse_int, parse_number

__all__ = [
    "DRAINING",
    "KEYS",
    "LOCAL_COMMAND",
    "LOCAL_VOLUME",
    "MODEL",
    "PREFIX",
    "Annotations",
    "read_annotations",
]

PREFIX = "ebbtide.dev/"
MODEL = "model"
DRAINING = "draining"
"""The drain mark: ebbtide's own, not for users to write."""
LOCAL_COMMAND = "local.command"
LOCAL_VOLUME = "local.volume."
_OWN = (DRAINING,)
_PORTS = ("port", "grpc-port", "metrics-port")
_LATER = ("tfserving", "torchserve")
_LONGEST = 366 * 86400.0
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_LONGEST_HOST = 253
_LONGEST_KEY = 63
_MOST_TOLD = 20
"""Unknown keys that are told apart: finding what was meant takes its time."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """What the annotations say."""

    models: tuple[Served, ...]
    runtime: RuntimeName
    allow: tuple[AllowRule, ...]
    policy: Policy
    ports: Mapping[str, str]
    """`port`, `grpc-port` and `metrics-port`, as far as given: numbers or names of ports."""
    local: Mapping[str, str]
    """`local.command` and `local.volume.NAME`, as far as given."""


def _whole(low: int, high: int) -> Callable[[str], int]:
    return lambda text: parse_int(text, low=low, high=high)


def _slots(text: str) -> int | None:
    try:
        return None if text.strip() == "auto" else parse_int(text, low=1, high=100_000)
    except ValueError as error:
        msg = f"auto, or {error}"
        raise ValueError(msg) from None


def _duration(text: str) -> float:
    seconds = parse_duration(text)
    if seconds > _LONGEST:
        msg = "a duration of up to a year"
        raise ValueError(msg)
    return seconds


def _some_time(text: str) -> float:
    seconds = _duration(text)
    if seconds <= 0:
        msg = "a duration over 0: plain seconds or like 90s, 5m, 1h30m"
        raise ValueError(msg)
    return seconds


def _keep_alive(text: str) -> float | None:
    try:
        return None if text.strip() == "auto" else _duration(text)
    except ValueError as error:
        msg = f"auto, or {error}"
        raise ValueError(msg) from None


def _some_bytes(text: str) -> int:
    size = parse_bytes(text)
    if size < 1:
        msg = "a size over 0: plain bytes or like 64Mi, 1Gi, 500k"
        raise ValueError(msg)
    return size


def _heartbeat(text: str) -> float | None:
    if text.strip() == "off":
        return None
    try:
        seconds = _duration(text)
    except ValueError as error:
        msg = f"off, or {error}"
        raise ValueError(msg) from None
    if seconds < 1:
        msg = "off, or a duration of a second or more"
        raise ValueError(msg)
    return seconds


def _share(text: str) -> float:
    return parse_int(text, low=1, high=100) / 100


def _mode(text: str) -> Mode:
    try:
        return Mode(text.strip())
    except ValueError:
        raise ValueError(_one_of(mode.value for mode in Mode)) from None


def _retry(text: str) -> Retry:
    try:
        return Retry(text.strip())
    except ValueError:
        raise ValueError(_one_of(retry.value for retry in Retry)) from None


def _cancels(text: str) -> bool | None:
    try:
        return None if text.strip() == "auto" else parse_bool(text)
    except ValueError as error:
        msg = f"auto, or {error}"
        raise ValueError(msg) from None


def _warm_up(text: str) -> tuple[WarmUp, str | None]:
    word = text.strip()
    if word in (WarmUp.AUTO.value, WarmUp.NONE.value):
        return WarmUp(word), None
    # A lone word is rather a slip than a file: a file is written as a path or with its ending.
    if not {"/", "."} & set(word):
        msg = "auto, none, or a file with a request, like ./first.json"
        raise ValueError(msg)
    return WarmUp.FILE, word


def _warm_up_without_files(text: str) -> tuple[WarmUp, None]:
    word = text.strip()
    if word not in (WarmUp.AUTO.value, WarmUp.NONE.value):
        # A file would be one of the gateway's own pod, sent to whoever wrote the annotation.
        msg = "auto or none; a file with a request is for ebbtide up alone"
        raise ValueError(msg)
    return WarmUp(word), None


def _tls(text: str) -> TlsPorts:
    try:
        return TlsPorts(text.strip())
    except ValueError:
        raise ValueError(_one_of(ports.value for ports in TlsPorts)) from None


def _tls_name(text: str) -> str:
    name = text.strip()
    if _HOST.fullmatch(name) is None or len(name) > _LONGEST_HOST:
        msg = "the DNS name or IP address that the replica's certificate holds"
        raise ValueError(msg)
    return name


def _runtime(text: str) -> RuntimeName:
    word = text.strip()
    known = _one_of(runtime.value for runtime in RuntimeName)
    if word in _LATER:
        msg = f"not yet; for now {known}"
        raise ValueError(msg)
    try:
        return RuntimeName(word)
    except ValueError:
        raise ValueError(known) from None


def _one_of(words: Iterable[str]) -> str:
    return f"one of {', '.join(words)}"


_POLICY: Mapping[str, tuple[str, Callable[[str], object]]] = MappingProxyType(
    {
        "mode": ("mode", _mode),
        "min-replicas": ("min_replicas", _whole(0, 1000)),
        "max-replicas": ("max_replicas", _whole(0, 1000)),
        "slots": ("slots", _slots),
        "target": ("target", _share),
        "keep-alive": ("keep_alive", _keep_alive),
        "queue-limit": ("queue_limit", _whole(1, 1_000_000)),
        "queue-limit-bytes": ("queue_limit_bytes", _some_bytes),
        "wait-timeout": ("wait_timeout", _some_time),
        "request-timeout": ("request_timeout", _some_time),
        "start-timeout": ("start_timeout", _some_time),
        "max-body": ("max_body", _some_bytes),
        "retry": ("retry", _retry),
        "cancels": ("cancels", _cancels),
        "affinity": ("affinity", parse_affinity),
        "slow-start": ("slow_start", _duration),
        "warm-up": ("warm_up", _warm_up),
        "priority": ("priority", _whole(-100, 100)),
        "pinned": ("pinned", parse_bool),
        "gpu-price": ("gpu_price", parse_number),
        "heartbeat": ("heartbeat", _heartbeat),
        "tls": ("tls", _tls),
        "tls-verify": ("tls_verify", parse_bool),
        "tls-name": ("tls_name", _tls_name),
    }
)

_IN_CLUSTER = MappingProxyType({**_POLICY, "warm-up": ("warm_up", _warm_up_without_files)})

KEYS = (MODEL, "runtime", "allow", *_PORTS, *_POLICY)
"""Every key that means the same on every cluster, without its prefix."""


def read_annotations(
    annotations: Node, report: Report, *, start_timeout: float, in_cluster: bool = False
) -> Annotations:
    """What the mapping of annotations says; `start_timeout` is the default of that key.

    In a Kubernetes cluster those who write annotations name no files of the gateway's machine.
    """
    texts = _texts(annotations, report)
    _unknown(texts, report)
    reader = _Reader(texts, report)
    runtime = reader.read("runtime", _runtime, RuntimeName.TRITON)
    return Annotations(
        models=reader.read(MODEL, _models_for(runtime), ()),
        runtime=runtime,
        allow=_allow(reader, runtime),
        policy=_policy(reader, start_timeout, _IN_CLUSTER if in_cluster else _POLICY),
        ports=MappingProxyType({key: texts[key].strip() for key in _PORTS if key in texts}),
        local=MappingProxyType({key: texts[key] for key in texts if key.startswith("local.")}),
    )


def _models_for(runtime: RuntimeName) -> Callable[[str], tuple[Served, ...]]:
    def parse(text: str) -> tuple[Served, ...]:
        models = parse_models(text)
        if runtime is RuntimeName.TRITON and any("/" in model.served for model in models):
            # It would be read as more of the path, up to Triton's trace and logging APIs.
            msg = "a name without / on Triton, whose models are folders; ALIAS=NAME may alias it"
            raise ValueError(msg)
        return models

    return parse


def _texts(annotations: Node, report: Report) -> dict[str, str]:
    texts = {}
    for key, node in annotations.fields().items():
        if key.startswith(PREFIX):
            text = Node(node.value, report, key).text()
            if text or not node.present or node.value == "":
                texts[key.removeprefix(PREFIX)] = text
    return texts


class _Reader:
    def __init__(self, texts: Mapping[str, str], report: Report) -> None:
        self.texts = texts
        self.report = report

    def read(self, key: str, parse: Callable[[str], _T], default: _T) -> _T:
        text = self.texts.get(key)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.report.refuse(PREFIX + key, text, str(error))
            return default


def _unknown(texts: Mapping[str, str], report: Report) -> None:
    shown = (*KEYS, LOCAL_COMMAND, f"{LOCAL_VOLUME}NAME")
    own = (*KEYS, *_OWN, LOCAL_COMMAND)
    unknown = [
        key for key in texts if key not in own and key.removeprefix(LOCAL_VOLUME) in ("", key)
    ]
    for key in unknown[:_MOST_TOLD]:
        near = difflib.get_close_matches(key[:_LONGEST_KEY], shown, n=1, cutoff=0.4)
        hint = f"did you mean {PREFIX}{near[0]}?" if near else f"known are {', '.join(shown)}"
        report.refuse(PREFIX + key, texts[key], f"no such annotation; {hint}")
    if more := unknown[_MOST_TOLD:]:
        allowed = f"no such annotation; nor are {len(more) - 1} more"
        report.refuse(PREFIX + more[0], texts[more[0]], allowed)


def _allow(reader: _Reader, runtime: RuntimeName) -> tuple[AllowRule, ...]:
    text = reader.texts.get("allow")
    if runtime is RuntimeName.PLAIN:
        if text is None:
            reader.report.warn(
                f"{PREFIX}allow",
                None,
                "nothing may pass to a plain server until this says what: all, or methods and "
                "paths like POST /predict",
            )
        return reader.read("allow", parse_allow, ())
    meant = reader.texts.get("runtime", runtime.value).strip()
    if text is not None and meant == runtime.value:
        reader.report.refuse(
            f"{PREFIX}allow", text, f"only for runtime plain; {runtime.value} has its own list"
        )
    return ()


def _policy(
    reader: _Reader, start_timeout: float, keys: Mapping[str, tuple[str, Callable[[str], object]]]
) -> Policy:
    default = Policy(start_timeout=start_timeout)
    values: dict[str, object] = {}
    for key, (field, parse) in keys.items():
        values[field] = reader.read(key, parse, getattr(default, field))
    if isinstance(values["warm_up"], tuple):
        values["warm_up"], values["warm_up_file"] = values["warm_up"]
    if values["tls"] is TlsPorts.OFF:
        for key in ("tls-verify", "tls-name"):
            if key in reader.texts:
                reader.report.refuse(PREFIX + key, reader.texts[key], f"only with {PREFIX}tls")
    policy = replace(default, **values)  # type: ignore[arg-type]  # parsed key by key above
    if policy.minimum > policy.max_replicas:
        key, value = ("min-replicas", policy.min_replicas)
        if policy.min_replicas <= policy.max_replicas:
            key, value = ("max-replicas", policy.max_replicas)
        reader.report.refuse(
            PREFIX + key,
            value,
            f"the minimum ({policy.minimum}{', since pinned' if policy.pinned else ''}) must not "
            f"be over the maximum ({policy.max_replicas})",
        )
    return policy

"""What `ebbtide doctor` has found out, before anything is made of it. Values. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from fleet.kubernetes.objects import Object
from fleet.kubernetes.permissions import Permission
from fleet.model import Fleet

__all__ = [
    "Access",
    "Facts",
    "Finding",
    "Level",
    "Monitor",
    "Monitors",
    "Redis",
    "Section",
    "Subject",
    "Wake",
]


class Level(Enum):
    """How much a finding matters."""

    FINE = "fine"
    NOTE = "note"
    WARNING = "warning"
    """It works, and will not always."""
    ERROR = "error"
    """Something does not work."""


class Section(Enum):
    """What a finding is about, in the order in which they are told."""

    CLUSTER = "cluster"
    PERMISSIONS = "permissions"
    GPUS = "gpus"
    MONITORS = "monitors"
    REDIS = "redis"
    DEPLOYMENTS = "deployments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found, and what to do about it where there is something to do."""

    section: Section
    level: Level
    what: str
    advice: str = ""
    about: str = ""
    """The Deployment, node or resource that it is about, where it is about one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """For whom it was asked what is allowed."""

    name: str
    """A service account as `namespace/name`; empty: whoever asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Whether a permission is had."""

    permission: Permission
    namespace: str
    """Where it was asked for; empty: everywhere."""
    subject: Subject
    allowed: bool | None
    """None: it could not be asked."""
    why: str = ""


class Monitors(Enum):
    """What measures GPUs, and what keeps such figures."""

    DCGM = "DCGM exporter"
    PROMETHEUS = "Prometheus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """One of them, found by its well-known labels."""

    kind: Monitors
    where: str
    """Like `service monitoring/prometheus`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis:
    """How Redis answers."""

    where: str
    """Without the password; empty: none is named."""
    version: str = ""
    trouble: str = ""
    """Why it does not answer; empty: it does."""
    denied: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What was refused, by command, in its own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """How the API server takes it that a sleeping Deployment is to have one replica."""

    replicas: int | None = None
    """How many it would be given."""
    refused: str = ""
    """Why it is not taken; empty: it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All of it."""

    server: str
    version: str
    namespaces: Sequence[str]
    """Those that are looked at; empty: all."""
    own: str
    """Ebbtide's own namespace."""
    fleet: Fleet
    deployments: Mapping[str, Object]
    """The registered and refused ones, whole, by `namespace/name`."""
    spaces: Mapping[str, Object]
    """The namespaces that may be read, whole, by name."""
    access: Sequence[Access]
    monitors: Sequence[Monitor]
    redis: Redis
    wakes: Mapping[str, Wake] = field(default_factory=lambda: MappingProxyType({}))
    """Of sleeping Deployments, by `namespace/name`."""
    gateway_grace: float | None = None
    """Seconds for which the chart's gateways go on with what they hold when they stop; None: it is
    not known."""
    homeless: bool = False
    """Ebbtide's own namespace is not there."""
    unread: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What could not be read, and why."""

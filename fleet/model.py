"""What there is: revisions, their policy, their replicas, the GPUs. Immutable values. Pure.

Rule 1: the cluster adapter is the only writer of a `Fleet`; everyone else reads a snapshot.
Rule 2: a snapshot never says READY. Whether a replica's *model* answers is found out by the
        activator's probe, and reported in its samples; the cluster knows processes and addresses.
Rule 3: times are seconds of the process's monotonic clock (`Clock.now`), never wall time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from fleet.names import ModelName, ReplicaName, RevisionName
from fleet.reasons import Reason

__all__ = [
    "Affinity",
    "AffinityKind",
    "AllowRule",
    "Drain",
    "Fleet",
    "GpuNode",
    "GpuPool",
    "Mode",
    "Phase",
    "Policy",
    "Ports",
    "Problem",
    "Replica",
    "Retry",
    "Revision",
    "RuntimeName",
    "Served",
    "Tls",
    "TlsPorts",
    "WarmUp",
]


class Phase(Enum):
    """Where a replica, or a revision as a whole, stands."""

    ASLEEP = "asleep"
    PENDING = "pending"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


class Mode(Enum):
    """Who scales: ebbtide, ebbtide on paper only, or the operator."""

    AUTO = "auto"
    ADVISE = "advise"
    OFF = "off"


class RuntimeName(Enum):
    """The model servers ebbtide speaks."""

    TRITON = "triton"
    PLAIN = "plain"
    OPENAI = "openai"


class WarmUp(Enum):
    """What the first inference is made from when nobody waits."""

    AUTO = "auto"
    NONE = "none"
    FILE = "file"


class Retry(Enum):
    """Which requests are sent again, on another replica, before a byte of an answer has come."""

    AUTO = "auto"
    """REPLICA where the runtime's profile calls an inference repeatable, else CONNECT."""
    NEVER = "never"
    CONNECT = "connect"
    """Those of which nothing can have run."""
    REPLICA = "replica"
    """Also those that a replica broke on."""


class TlsPorts(Enum):
    """Which ports of a replica speak TLS."""

    OFF = "off"
    ON = "on"
    GRPC = "grpc"
    """The gRPC port alone: Triton's HTTP port cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a port that speaks TLS is spoken to."""

    verify: bool = True
    name: str | None = None
    """The name that its certificate must hold; None: the replica's address."""


class AffinityKind(Enum):
    """What requests that belong together have in common."""

    HEADER = "header"
    COOKIE = "cookie"
    CLIENT = "client"
    PROMPT = "prompt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Affinity:
    """By what requests find the same replica again."""

    kind: AffinityKind
    name: str = ""
    """Of the header or the cookie."""
    size: int = 0
    """How many bytes of the prompt count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A name that clients use, and the name the model has on its server."""

    name: ModelName
    served: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowRule:
    """One method and path that may pass to a `plain` server; ``*`` stands for any."""

    method: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of a replica; None where the runtime has none."""

    http: int
    grpc: int | None = None
    metrics: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the annotations of a Deployment ask for. Durations in seconds, sizes in bytes."""

    mode: Mode = Mode.AUTO
    min_replicas: int = 0
    max_replicas: int = 10
    slots: int | None = None
    """Requests at once per replica; None is `auto`."""
    target: float = 0.7
    """The share of the slots to aim for, in (0, 1]."""
    keep_alive: float | None = None
    """None is `auto`."""
    queue_limit: int = 1000
    queue_limit_bytes: int = 64 * 2**20
    wait_timeout: float = 600.0
    request_timeout: float = 600.0
    start_timeout: float = 600.0
    max_body: int = 2**30
    retry: Retry = Retry.AUTO
    cancels: bool | None = None
    """Whether the server stops when its client leaves; None: as its runtime does."""
    affinity: Affinity | None = None
    slow_start: float = 0.0
    """Until a new replica has its full share of the requests."""
    warm_up: WarmUp = WarmUp.AUTO
    warm_up_file: str | None = None
    """The file's path as written, when `warm_up` is FILE."""
    priority: int = 0
    pinned: bool = False
    gpu_price: float | None = None
    """Money per GPU hour; None takes the setting's."""

    tls: TlsPorts = TlsPorts.OFF
    tls_verify: bool = True
    tls_name: str | None = None

    @property
    def http_tls(self) -> Tls | None:
        """How the HTTP ports are spoken to; None: plainly."""
        on = self.tls is TlsPorts.ON
        return Tls(verify=self.tls_verify, name=self.tls_name) if on else None

    @property
    def grpc_tls(self) -> Tls | None:
        """How the gRPC port is spoken to; None: plainly."""
        on = self.tls is not TlsPorts.OFF
        return Tls(verify=self.tls_verify, name=self.tls_name) if on else None

    heartbeat: float | None = None
    """How often a held reader of an event stream gets a comment; None: never."""

    @property
    def minimum(self) -> int:
        """The replicas that idling never goes below: a pinned model counts as 1 at least."""
        return max(self.min_replicas, 1) if self.pinned else self.min_replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """A numbered wish that some replicas take nothing new; only the leader sets or clears it."""

    number: int
    replicas: frozenset[ReplicaName]
    term: int = 0
    """Of the leader that marked it; 0 where there is only ever one."""
    foreign: bool = False
    """Of another ebbtide: nothing new goes there, and it is theirs to write on and to take back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One registered Deployment."""

    name: RevisionName
    models: tuple[Served, ...]
    """At least one; the first is canonical."""
    runtime: RuntimeName
    ports: Ports
    policy: Policy
    gpus: int
    """GPUs per replica."""
    replicas: int
    """`spec.replicas` as the cluster has it now."""
    version: str
    """The resource version: what a write is decided on."""
    template: str
    """A digest of the pod template: replicas of another one are out of date."""
    allow: tuple[AllowRule, ...] = ()
    gpu_class: str = "gpu"
    created: float = 0.0
    """Wall-clock seconds: the elder of two claimants keeps the name."""
    uid: str = ""
    """The cluster's own, where it gives one: decides between two of the same second."""
    source: str = ""
    """Where it is written, for messages: a file, or the cluster."""
    drain: Drain | None = None
    nodes: frozenset[str] | None = None
    """The nodes with GPUs that its pods may be placed on; None: any."""
    placement: str = ""
    """A digest of what its pod template says of nodes and GPUs, their number apart."""
    second_writer: str = ""
    """Who else scales it, in words for the operator: then ebbtide does not. Empty: nobody."""
    settled: bool = True
    """Its rollout is over, and `Fleet` shows as many replicas as the cluster itself counts."""
    enacted: bool = True
    """The cluster has done what was written last: none that is here now goes for that any more."""

    @property
    def model(self) -> ModelName:
        """The canonical name: metrics, API, journal and bill use it."""
        return self.models[0].name

    @property
    def edition(self) -> tuple[object, ...]:
        """What the operator wrote: equal as long as the manifest means the same."""
        return (self.template, self.policy, self.models, self.ports, self.allow, self.gpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One process or pod. A restarted one is another replica, with another name and address."""

    name: ReplicaName
    phase: Phase
    """PENDING, LOADING, DRAINING (being stopped) or FAILED; READY is not the cluster's to say."""
    since: float
    """When this phase began."""
    template: str
    address: str | None = None
    """An IP to probe. Locally set once the replica's own process tree listens there."""
    gpus: int = 0
    """GPUs it holds now: 0 while PENDING and between tries."""
    gpu_ids: tuple[str, ...] = ()
    node: str | None = None
    """Where it was placed; None while PENDING, and on a machine of its own."""
    started: float | None = None
    """When it got its GPU and its process was started, or the pod scheduled; None while PENDING."""
    reason: Reason | None = None
    message: str = ""
    """The cause in the runtime's own words."""
    log: tuple[str, ...] = ()
    """The last lines it printed; only for a replica that failed."""
    available: bool = True
    """The cluster itself holds it ready: those that it does not go before any that is drained."""

    @property
    def made(self) -> bool:
        """False where the cluster refuses to make it: there is nothing to send to, nor to mark."""
        return self.reason is not Reason.FAILED_CREATE


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPool:
    """The GPUs of one class. `free` ones are held by no replica, not even one being stopped."""

    name: str
    total: int
    """As many as ebbtide may count on: those there are, or fewer where the budget says so."""
    free: int
    elastic: int = 0
    """How many more may be asked for: a cluster autoscaler adds nodes for them."""
    grows: bool = False
    """A cluster autoscaler adds nodes of this class for pods that find no GPU, asked for or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuNode:
    """The GPUs of one node; `free` as in `GpuPool`."""

    name: str
    gpu_class: str
    total: int
    free: int
    usable: bool = True
    """New pods may come; else nothing is free there, whatever ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong in what an operator wrote. `allowed` says what would be right."""

    source: str
    deployment: str
    key: str
    value: str
    allowed: str
    warning: bool = False

    def __str__(self) -> str:
        where = " ".join(part for part in (self.source, self.deployment) if part)
        what = f"{self.key}: {self.value!r}" if self.value else self.key
        return f"{where}: {what}: {self.allowed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All of it at one moment; swapped whole, never changed."""

    number: int = 0
    """Grows with each snapshot of one adapter."""
    revisions: Mapping[RevisionName, Revision] = field(default_factory=lambda: MappingProxyType({}))
    replicas: Mapping[RevisionName, tuple[Replica, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Eldest first. Also holds the last replicas of a revision just removed."""
    gpus: tuple[GpuPool, ...] = ()
    nodes: tuple[GpuNode, ...] = ()
    """By node, where nodes can be told apart; empty: each pool is one place."""
    problems: tuple[Problem, ...] = ()

    def of(self, revision: RevisionName) -> tuple[Replica, ...]:
        """The replicas of a revision, eldest first; empty when there are none."""
        return self.replicas.get(revision, ())

    def pool(self, gpu_class: str) -> GpuPool:
        """The GPUs of a class; an empty pool when there are none."""
        for pool in self.gpus:
            if pool.name == gpu_class:
                return pool
        return GpuPool(name=gpu_class, total=0, free=0)

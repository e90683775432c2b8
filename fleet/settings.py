"""The settings: the only module that reads the environment, and only when asked to.

Every setting is a field of `Settings`, is set by the environment variable ``EBBTIDE_<FIELD>``, and
explains itself in the string under it. A wrong value raises `SettingError` naming variable, value
and what is allowed; an unknown ``EBBTIDE_`` variable is reported with the nearest known one.

Rule: a field made with `_live` is taken over by a running process (`taken_over`); whoever adds one
      sees to it that every reader asks for it anew.
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

from fleet.errors import SettingError
from fleet.setting_values import parse_value

__all__ = [
    "Settings",
    "SettingsChange",
    "environment",
    "live_settings",
    "parse_settings",
    "read_settings",
    "secret_settings",
    "settings_in",
    "taken_over",
]

_PREFIX = "EBBTIDE_"
_T = TypeVar("_T")


def _live(default: _T) -> _T:
    """A setting that SIGHUP changes without a restart."""
    made: _T = field(default=default, metadata={"live": True})
    return made


def _secret(default: _T) -> _T:
    """A setting whose value is shown nowhere."""
    made: _T = field(default=default, metadata={"secret": True}, repr=False)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of them, with their defaults. Durations in seconds, sizes in bytes."""

    log_level: str = _live("info")
    """debug, info, warning or error."""
    state_dir: str = ".ebbtide"
    """Where `ebbtide up` keeps log files of replicas and scratch volumes."""
    tritonserver: str = ""
    """A `tritonserver` binary, or a Python environment that holds the wheel nvidia-pytriton.
    Empty: looked for on PATH, then in ebbtide's own environment."""
    gpu_price: float = 2.5
    """Money per GPU hour where a Deployment has no `ebbtide.dev/gpu-price`."""
    currency: str = "USD"
    """What that money is called."""
    host_suffix: str = _live("")
    """With `models.example.com`, the host `NAME.models.example.com` names a model. Empty: off."""
    list_models: bool = _live(default=True)
    """Whether `GET /v1/models` on the request port lists the models."""
    ready_when_asleep: bool = _live(default=True)
    """What a readiness call for a sleeping model is answered: it will answer, so true."""
    access_log: bool = _live(default=False)
    """Whether a line is logged for each HTTP request and gRPC call: model, status, reason, times,
    bytes. For connections made from then on."""
    trusted_peers: str = _live("")
    """Addresses that may speak for others, such as load balancers: networks like `10.0.0.0/8`, with
    commas between. Empty: nobody."""
    forwarded: str = _live("off")
    """How replicas are told who asked: `x-forwarded` (For, Proto, Host), `forwarded` (RFC 7239),
    or `off`. When on, such fields from anyone but a trusted peer are taken out."""
    via: str = _live("ebbtide")
    """The name that requests passed on carry in `Via`, by which a loop is seen. Empty: none."""
    underscored_fields: bool = _live(default=False)
    """Whether request headers with an underscore in their name are passed on."""
    max_head: int = _live(64 * 2**10)
    """Largest request head (line and fields). For connections made from then on."""
    max_connections: int = _live(16000)
    """Client connections at once; one more is answered 503 and closed. Fewer where the process may
    not open as many files: nine tenths of those at most, less 256."""
    api_keys: str = _live("")
    """A file of API keys (`ebbtide key` makes its lines), read again when it changes. Empty:
    nobody is asked for a key."""
    max_connections_per_address: int = _live(0)
    """Client connections at once from one address (of IPv6: from one /64), but for trusted peers;
    one more is answered 429 and closed. 0: no limit."""
    max_calls_per_connection: int = _live(1000)
    """gRPC calls at once on one client connection: clients are told and wait, and one more is
    refused its stream. For connections made from then on."""
    max_waiting: int = _live(16000)
    """Requests held at once, over all models; one more is answered 503."""
    max_waiting_bytes: int = _live(192 * 2**20)
    """What is buffered of their bodies, over all models; beyond it 503."""
    held_bodies: int = _live(256 * 2**20)
    """What all bodies may take that are held in memory: of those who wait, those read whole to find
    their model's name, and those kept to be sent again. Beyond it 503."""
    naming_body: int = _live(16 * 2**20)
    """The largest body that is read whole to find its model's name, up to `64Mi`: reading 16 MiB of
    JSON keeps everybody else waiting for up to a tenth of a second."""
    caller_wakes: int = _live(0)
    """How many models one caller may wake within an hour; then 429. 0: no limit."""
    header_timeout: float = _live(10.0)
    """From the first byte of a request head to its last."""
    http_keepalive: float = _live(75.0)
    """How long an idle client connection stays open."""
    tls_cert: str = _live("")
    """A PEM file with the request port's certificate and its chain: clients then speak TLS there.
    Read again when it changes. Empty: plain HTTP and gRPC; going over takes a restart."""
    tls_key: str = _live("")
    """A PEM file with the certificate's key, not encrypted. Empty: the key is in the same file."""
    tls_min_version: str = _live("1.2")
    """The oldest TLS version that is spoken with clients: 1.2 or 1.3."""
    tls_client_ca: str = _live("")
    """A PEM file with the authorities that clients' certificates must come from. Empty: clients
    are not asked for any."""
    tls_client_auth: str = _live("required")
    """Whether a client must have one: required or optional."""
    replica_ca: str = _live("")
    """A PEM file with the authorities of replicas whose Deployment says `ebbtide.dev/tls`. Empty:
    the system's."""
    replica_cert: str = _live("")
    """A PEM file with the certificate that ebbtide shows to such replicas. Empty: none."""
    replica_key: str = _live("")
    """A PEM file with its key. Empty: the key is in the same file."""
    body_timeout: float = _live(60.0)
    """How long a client may pause within a request body that is being read."""
    half_close: str = "gone"
    """What it means that a client ends its stream behind a whole request: `gone`, nobody waits for
    the answer, or `serve`, somebody does. Both look the same; over TLS it is always `gone`."""
    body_min_rate: float = _live(240.0)
    """Bytes a second that a request body must come in with on average, after its first 5 seconds;
    the time in which the replica does not take it does not count. 0: no such limit."""
    tunnel_idle: float = _live(3600.0)
    """How long a WebSocket, or another connection that was upgraded, may be silent."""
    shutdown_delay: float = _live(0.0)
    """How long SIGTERM lets new connections in, with readiness off already: for load balancers
    that learn of it late."""
    shutdown_grace: float = _live(30.0)
    """How long SIGTERM waits for requests that run or can still be dispatched."""
    worker_timeout: float = _live(10.0)
    """With `--workers`: how long a worker may say nothing before it is replaced."""
    tick: float = 2.0
    """How often the autoscaler decides."""
    stable_window: float = 60.0
    """The window the replica count follows."""
    panic_window: float = 6.0
    """The short window that sudden load is seen on."""
    min_residency: float = _live(0.0)
    """How long a replica that got ready is safe from eviction."""
    no_free_gpu: str = _live("evict-first")
    """What a model that is called gets when no GPU is free, in a pool of GPUs that may grow:
    `evict-first`, that of an idle model, and a new node only where no eviction helps; `grow-first`,
    a new node for as long as more may be asked for."""
    start_tries: int = 3
    """Failed starts in a row after which everyone waiting is refused."""
    start_retry: float = 60.0
    """How long new callers are then refused at once, before one start is tried again."""
    admin_token_file: str = _live("")
    """A file with tokens that open the admin port, a line each, of 16 characters at least; read
    again when it changes. Empty: it asks nobody, and `ebbtide gateway` and `ebbtide autoscaler`
    then tell other machines only `/healthz`, `/readyz` and `/metrics`."""
    namespaces: str = ""
    """In a cluster: the namespaces whose Deployments are looked at, with commas between. Empty:
    all."""
    namespace: str = ""
    """In a cluster: where ebbtide's own Leases are. Empty: the pod's own, else `ebbtide`."""
    gpu_budget: str = "present"
    """In a cluster: how many GPUs of each class ebbtide may count on. `present`: those there are; a
    number: at most so many of them; `elastic:MAX`: a cluster autoscaler adds nodes for more, up to
    MAX. For single classes `NVIDIA-A100-SXM4-80GB=8, mig-1g.10gb=present, *=elastic:4`; a class is
    a node's `nvidia.com/gpu.product`, or a part's name. Where nodes may not be read a number is
    taken for what there is."""
    redis_url: str = _secret("")
    """The Redis between gateways and autoscaler: `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, or
    `rediss://` for TLS. `ebbtide up` needs none."""
    redis_ca: str = ""
    """With `rediss://`: a PEM file with the authorities that Redis' certificate must come from.
    Empty: the system's."""
    redis_cert: str = ""
    """A PEM file with the certificate that ebbtide shows to Redis. Empty: none."""
    redis_key: str = ""
    """A PEM file with its key. Empty: the key is in the same file."""
    redis_prefix: str = "ebbtide:"
    """What all keys and channels in it begin with."""


def environment() -> Mapping[str, str]:
    """The process's environment, as the argument that `read_settings` and others take."""
    return os.environ


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in `environ`. Raises `SettingError` with a line for each thing wrong in it."""
    return parse_settings(settings_in(environ))


def settings_in(environ: Mapping[str, str]) -> Iterable[tuple[str, str, str]]:
    """What `environ` sets, for `parse_settings`."""
    return [("", name, environ[name]) for name in sorted(environ) if name.startswith(_PREFIX)]


def parse_settings(written: Iterable[tuple[str, str, str]]) -> Settings:
    """The settings of (where it is written, variable, text); of two for one variable the later.

    Raises `SettingError` with a line for each wrong value or unknown name, overruled or not.
    """
    known = {_PREFIX + field.name.upper(): field.name for field in fields(Settings)}
    values: dict[str, object] = {}
    wrong: list[str] = []
    for where, variable, text in written:
        place = f"{where}: " if where else ""
        name = known.get(variable)
        if name is None:
            near = difflib.get_close_matches(variable, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            wrong.append(f"{place}{variable}: no such setting{hint}")
            continue
        try:
            values[name] = parse_value(name, text, default=getattr(Settings(), name))
        except ValueError as error:
            shown = "" if name in secret_settings() else f"={text!r}"
            wrong.append(f"{place}{variable}{shown}: expected {error}")
    if wrong:
        raise SettingError("\n".join(wrong))
    return Settings(**values)  # type: ignore[arg-type]  # checked field by field above


def live_settings() -> frozenset[str]:
    """The names of the fields that a running process takes over."""
    return frozenset(field.name for field in fields(Settings) if field.metadata.get("live"))


def secret_settings() -> frozenset[str]:
    """The names of the fields whose values may hold passwords."""
    return frozenset(field.name for field in fields(Settings) if field.metadata.get("secret"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChange:
    """What other settings mean to a process that runs."""

    settings: Settings
    """What holds from now on: the live ones new, the others as they were."""
    changed: tuple[str, ...] = ()
    """The live ones that are different."""
    restart: tuple[str, ...] = ()
    """Those that are different too, and need a restart."""


def taken_over(running: Settings, wanted: Settings) -> SettingsChange:
    """What of `wanted` a process with the settings `running` takes over."""
    live = live_settings()
    different = [
        field.name
        for field in fields(Settings)
        if getattr(running, field.name) != getattr(wanted, field.name)
    ]
    changed = tuple(name for name in different if name in live)
    new = {name: getattr(wanted, name) for name in changed}
    return SettingsChange(
        settings=replace(running, **new),
        changed=changed,
        restart=tuple(name for name in different if name not in live),
    )

"""The KServe V2 service over gRPC: which method is for what, and what the gateway answers itself.

Pure. The messages are written here byte by byte, as they are few and small; the tests read them
with the clients' own classes.

Rule 1: what is not in `METHODS` does not pass for a model of Triton: repository control, shared
        memory, trace and logging answer anyone who reaches the port.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from fleet.reasons import Reason
from fleet.runtimes import CallKind
from gateway.core.refused import RefusedError
from gateway.grpc.core.walking import Walk
from gateway.grpc.core.writing import framed, number_field, string_field

__all__ = [
    "HEALTH_CHECK",
    "METHODS",
    "SERVER_LIVE",
    "SERVER_METADATA",
    "SERVER_READY",
    "SERVICE",
    "Health",
    "Method",
    "health",
    "read_service",
    "server_metadata",
    "truth",
]

SERVICE = "inference.GRPCInferenceService"
SERVER_LIVE = f"/{SERVICE}/ServerLive"
SERVER_READY = f"/{SERVICE}/ServerReady"
SERVER_METADATA = f"/{SERVICE}/ServerMetadata"
HEALTH_CHECK = "/grpc.health.v1.Health/Check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One method of the service."""

    kind: CallKind
    field: int | None = None
    """The number of the field in its messages that names the model; None: they name none."""
    streaming: bool = False
    """Messages may be many, both ways."""


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        f"/{SERVICE}/ModelInfer": Method(kind=CallKind.INFER, field=1),
        f"/{SERVICE}/ModelStreamInfer": Method(kind=CallKind.INFER, field=1, streaming=True),
        f"/{SERVICE}/ModelReady": Method(kind=CallKind.READY, field=1),
        f"/{SERVICE}/ModelMetadata": Method(kind=CallKind.METADATA, field=1),
        f"/{SERVICE}/ModelConfig": Method(kind=CallKind.CONFIG, field=1),
        f"/{SERVICE}/ModelStatistics": Method(kind=CallKind.STATS, field=1),
        SERVER_LIVE: Method(kind=CallKind.SERVER),
        SERVER_READY: Method(kind=CallKind.SERVER),
        SERVER_METADATA: Method(kind=CallKind.SERVER),
        HEALTH_CHECK: Method(kind=CallKind.SERVER),
    }
)
"""By full method. Watching health is left out: clients go on without it, as its standard says."""


class Health(Enum):
    """What a health check says of a service."""

    SERVING = 1
    NOT_SERVING = 2


def truth(value: object) -> bytes:
    """The message, prefix and all, that answers ServerLive, ServerReady and ModelReady."""
    return framed(number_field(1, 1 if value else 0))


def server_metadata(name: str, version: str, extensions: Iterable[str]) -> bytes:
    """The message, prefix and all, that answers ServerMetadata."""
    fields = [string_field(1, name.encode()), string_field(2, version.encode())]
    fields += [string_field(3, extension.encode()) for extension in extensions]
    return framed(b"".join(fields))


def health(status: Health) -> bytes:
    """The message, prefix and all, that answers a health check."""
    return framed(number_field(1, status.value))


def read_service(data: bytes) -> str:
    """The service that a health check asks for, of all that it sent; empty: the server.

    Raises `RefusedError`.
    """
    if len(data) < 5 or data[0] or int.from_bytes(data[1:5], "big") != len(data) - 5:
        raise RefusedError(Reason.MALFORMED, "a health check is one message, uncompressed")
    walk = Walk(1)
    walk.take(data, 5, len(data))
    if not walk.whole:
        raise RefusedError(Reason.MALFORMED, "a field goes beyond its message")
    return (walk.name or b"").decode("utf-8", "replace")

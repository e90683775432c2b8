"""gRPC's status codes as the HTTP statuses they stand for, so that both are counted alike. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["OK", "UNAVAILABLE", "http_status"]

OK = b"0"
UNAVAILABLE = b"14"

# As google.rpc.Code says: from CANCELLED (1) to UNAUTHENTICATED (16).
_HTTP: Mapping[bytes, int] = MappingProxyType(
    {
        b"%d" % code: status
        for code, status in enumerate(
            (200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401)
        )
    }
)
_UNKNOWN = 500


def http_status(grpc_status: bytes | None) -> int:
    """The HTTP status of a `grpc-status`; an answer without one that we know is UNKNOWN: 500."""
    return _UNKNOWN if grpc_status is None else _HTTP.get(grpc_status, _UNKNOWN)

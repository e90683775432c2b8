"""How much one request may take. Pure; sizes in bytes, durations in seconds."""

from dataclasses import dataclass

__all__ = [
    "COPY_BYTES",
    "DISCARDED_BYTES",
    "KEPT_BYTES",
    "MAX_FIELDS",
    "MAX_TARGET",
    "MOST_LINGERING",
    "NAMING_BODY_BYTES",
    "UNCOUNTED_BYTES",
    "WATER_MARK",
    "Limits",
    "connections_within",
]

MAX_TARGET = 8 * 2**10
"""Longest request target."""
MAX_FIELDS = 128
"""Most header fields of one message."""
KEPT_BYTES = 2**20
"""A body is kept for sending again up to this."""
UNCOUNTED_BYTES = 16 * 2**10
"""A body of a request that runs is kept uncounted up to this: the slots there are bound those."""
NAMING_BODY_BYTES = 64 * 2**20
"""A body that names its model is read whole before anything else: at most this, or less by
setting."""
DISCARDED_BYTES = 64 * 2**10
"""A body that nobody wants is read to its end up to this; beyond it the connection closes."""
COPY_BYTES = 256 * 2**10
"""An answer about metadata is kept up to this."""
MOST_LINGERING = 256
"""Connections over the limit that are told so; more are closed without a word."""
WATER_MARK = 256 * 2**10
"""Unsent bytes of one connection beyond which the other side is not read on."""

_LEAST_SPARED = 128


def connections_within(files: int) -> int:
    """How many client connections a process may have that may open so many files.

    What it needs to refuse more of them, to call replicas and to start some is spared.
    """
    spared = max(_LEAST_SPARED, files // 10) + MOST_LINGERING
    return max(files - spared, files // 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The settings that the request path keeps to."""

    max_head: int
    max_connections: int
    header_timeout: float
    http_keepalive: float
    naming_body: int
    """As `NAMING_BODY_BYTES`."""
    body_timeout: float
    body_min_rate: float = 0.0
    """Bytes a second that a body must come in with on average; 0: as slowly as it likes."""
    body_grace: float = 5.0
    """After how long that is looked at."""
    connect_timeout: float = 5.0
    """For a connection to a replica."""
    linger: float = 2.0
    """How long a refused sender is listened to, so that it gets to read its answer."""

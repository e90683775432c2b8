"""The errors that cross a port. Adapters translate what they meet into these, cause chained.

EbbtideError
├── ConflictError     a write was decided on an old version: read again, decide again
├── GoneError         the revision or replica is no longer there
├── UnavailableError  the cluster, bus or model server cannot be reached now: try again later
├── LoopDiedError     an endless task ended
└── SettingError      a setting, flag or file from outside is wrong; the text says what is right
"""

__all__ = [
    "ConflictError",
    "EbbtideError",
    "GoneError",
    "LoopDiedError",
    "SettingError",
    "UnavailableError",
]


class EbbtideError(Exception):
    """Anything ebbtide raises on purpose."""


class ConflictError(EbbtideError):
    """The revision changed since the version that the write was decided on."""


class GoneError(EbbtideError):
    """The revision or replica does not exist any more."""


class UnavailableError(EbbtideError):
    """The other side of a port cannot be reached now."""


class LoopDiedError(EbbtideError):
    """An endless task ended; the process must not go on without it."""


class SettingError(EbbtideError):
    """What an operator gave is wrong; the message says what, where, and what is allowed."""

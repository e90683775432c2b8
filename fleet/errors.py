"""The errors that cross a port. Adapters translate what they meet into these, cause chained.

EbbtideError
├── ConflictError     a write was decided on an old version: read again, decide again
├── GoneError         the revision or replica is no longer there
├── UnavailableError  the cluster, bus or model server cannot be reached now: try again later
│   ├── ForbiddenError    it answers, but not to us: a permission or the credentials are lacking
│   └── RejectedError     it answers, but will not have this, whoever says it
├── LoopDiedError     an endless task ended
└── SettingError      a setting, flag or file from outside is wrong; the text says what is right
"""

__all__ = [
    "ConflictError",
    "EbbtideError",
    "ForbiddenError",
    "GoneError",
    "LoopDiedError",
    "RejectedError",
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


class ForbiddenError(UnavailableError):
    """The other side does not let us; the message says what, in its words."""


class RejectedError(UnavailableError):
    """The other side refuses what was said; the message says why, in its words."""


class LoopDiedError(EbbtideError):
    """An endless task ended; the process must not go on without it."""


class SettingError(EbbtideError):
    """What an operator gave is wrong; the message says what, where, and what is allowed."""

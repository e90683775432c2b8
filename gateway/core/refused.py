"""A request that the gateway itself turns away, as an exception that a core raises. Pure."""

from fleet.errors import EbbtideError
from fleet.reasons import Reason

__all__ = ["RefusedError"]


class RefusedError(EbbtideError):
    """This request is answered with `reason`; `detail` says what was wrong with it, to its sender.

    `detail` never repeats a list of names, an address or a line of a log.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.value)
        self.reason = reason
        self.detail = detail

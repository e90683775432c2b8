"""What a refused request is told: the reason, and when a later try may help."""

from activator.core.eta import Eta
from activator.core.ledger import Ledger
from activator.wiring import Refusal
from fleet.reasons import Reason
from fleet.starts import Starts

__all__ = ["Refusing"]

_NEVER_HELPS = frozenset(
    {Reason.ASLEEP, Reason.SECOND_WRITER, Reason.MODEL_REMOVED, Reason.SEQUENCE_LOST}
)


class Refusing:
    """Words the refusals of one revision."""

    def __init__(self, ledger: Ledger, starts: Starts, eta: Eta) -> None:
        self._ledger = ledger
        self._starts = starts
        self._eta = eta

    def of(self, reason: Reason, now: float, *, hopeless: bool = False) -> Refusal:
        """`hopeless`: nothing can be started for it now."""
        blocked_until = self._starts.blocked_until
        if reason in _NEVER_HELPS or (hopeless and reason is Reason.NO_FREE_GPU):
            return Refusal(reason=reason)
        if reason is Reason.START_FAILED and blocked_until is not None:
            return Refusal(reason=reason, retry_after=max(1.0, blocked_until - now))
        if self._ledger.seats:
            return Refusal(reason=reason, retry_after=1.0)
        first = self._ledger.eldest
        spent = 0.0 if first is None else now - first.arrived
        return Refusal(reason=reason, retry_after=self._eta.retry_after(spent))

"""Which retry policy a model has, and what a caller is told when nothing is sent again. Pure.

The decision itself is `activator.core.retries.denied`; the budget is the line's.
"""

from collections.abc import Mapping
from types import MappingProxyType

from activator.core.retries import Denied
from fleet.model import Retry
from fleet.runtimes import Profile

__all__ = ["DETAILS", "policy_of"]

DETAILS: Mapping[Denied, str] = MappingProxyType(
    {
        Denied.POLICY: "the request may have been begun, and is not sent twice",
        Denied.SEQUENCE: "a step of a sequence is not sent twice",
        Denied.NOT_KEPT: "the request is too large to be kept and sent again",
        Denied.SENDS: "the request was sent too often already",
        Denied.CRASHES: "it broke off twice at this request",
        Denied.BUDGET: "too many requests were sent again in the last minute",
        Denied.LATE: "the request has waited long enough",
        Denied.HOPELESS: "nothing else serves the model now",
    }
)
"""What follows the wording of `replica_lost`."""


def policy_of(asked: Retry, profile: Profile) -> Retry:
    """`asked`, with AUTO resolved by what the runtime says of its inferences."""
    if asked is not Retry.AUTO:
        return asked
    return Retry.REPLICA if profile.repeatable else Retry.CONNECT

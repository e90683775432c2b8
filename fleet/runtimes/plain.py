"""Any HTTP server: what may pass is what its `allow` annotation says, and all of that wakes. Pure.

Rule 1: a rule's method is compared exactly; ``*`` is any method. gRPC's calls have the method
        ``GRPC``, and their full names as paths.
Rule 2: a rule's path is compared exactly; ``*`` is any path, and one that ends in ``/*`` takes
        whatever lies below it (``/v1/*`` takes ``/v1/predict`` and ``/v1/a/b``, not ``/v1``).
Rule 3: nothing is known of what a call does, so it is sent again only if no byte of it was sent.
"""

from collections.abc import Sequence

from fleet.model import AllowRule, Ports, RuntimeName
from fleet.runtimes import Call, CallKind, ErrorShape, Profile
from fleet.runtimes.explaining import traceback_cause

__all__ = ["PLAIN"]

_INFER = Call(kind=CallKind.INFER)


def _classify(method: str, path: str, allow: Sequence[AllowRule]) -> Call | None:
    passes = any(_method(rule, method) and _path(rule, path) for rule in allow)
    return _INFER if passes else None


def _method(rule: AllowRule, method: str) -> bool:
    return rule.method in ("*", method)


def _path(rule: AllowRule, path: str) -> bool:
    if rule.path.endswith("/*"):
        below = rule.path[:-1]
        return path.startswith(below) and len(path) > len(below)
    return rule.path in ("*", path)


PLAIN = Profile(
    name=RuntimeName.PLAIN,
    ports=Ports(http=8080),
    classify=_classify,
    shape=ErrorShape.PROBLEM,
    repeatable=False,
    cancels=False,
    resets=True,
    explain=traceback_cause,
    upgrades=True,
    trailers=True,
)

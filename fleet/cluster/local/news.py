"""What the log says when manifests were read anew: which models, and what is wrong in them.

Rule: a problem is told once when it comes and once when it is gone.
"""

import logging
from collections.abc import Collection

from fleet.cluster.local.manifests import Deployments
from fleet.model import Problem
from fleet.telemetry import log

__all__ = ["tell_models", "tell_problems"]

_log = log(__name__)


def tell_models(before: Deployments, after: Deployments) -> None:
    """What was registered, changed and removed."""
    for name, found in after.items():
        if before.get(name) != found:
            event = "changed" if name in before else "registered"
            models = ",".join(served.name for served in found.revision.models)
            _log(event, revision=name, models=models, source=found.revision.source)
    for name in before.keys() - after.keys():
        _log("removed", revision=name, source=before[name].revision.source)


def tell_problems(before: Collection[Problem], after: Collection[Problem]) -> None:
    """What is wrong now and was not before, and what no longer is."""
    for problem in after:
        if problem not in before:
            level = logging.WARNING if problem.warning else logging.ERROR
            _log("problem", level=level, message=str(problem))
    for problem in before:
        if problem not in after:
            _log("mended", message=str(problem))

"""What manifests ask for that this machine has not: warnings, since it may come. Pure."""

from collections.abc import Callable

from fleet.cluster.local.manifests import Deployments
from fleet.cluster.local.tritonserver import COMMAND
from fleet.model import Problem, Revision

__all__ = ["shortfalls"]


def shortfalls(
    deployments: Deployments, *, gpus: int, no_gpu: Callable[[Revision], str], no_triton: str
) -> tuple[Problem, ...]:
    """A problem for each Deployment that no number of evictions makes room for, and one for Triton.

    `gpus` is how many there are, `no_gpu` says why a revision has none; `no_triton` says why there
    is no tritonserver, and is empty where there is one.
    """
    found = [
        Problem(
            source=revision.source,
            deployment=revision.name,
            key="nvidia.com/gpu",
            value=str(revision.gpus),
            allowed=no_gpu(revision),
            warning=True,
        )
        for revision in (deployment.revision for deployment in deployments.values())
        if revision.gpus > gpus
    ]
    if no_triton and any(each.pod.command[:1] == (COMMAND,) for each in deployments.values()):
        found.append(
            Problem(
                source="this machine",
                deployment="",
                key="EBBTIDE_TRITONSERVER",
                value="",
                allowed=no_triton,
                warning=True,
            )
        )
    return tuple(found)

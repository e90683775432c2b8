"""Reads manifests from files and folders into what the local cluster runs."""

from dataclasses import dataclass
from pathlib import Path

from fleet.cluster.local.podspec import PodSpec
from fleet.model import Problem, Revision
from fleet.names import RevisionName

__all__ = ["LocalDeployment", "Manifests"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalDeployment:
    """One registered Deployment, and what a replica of it is on this machine.

    `revision.version` is empty and `revision.created` is its place in the reading: the cluster
    gives its own. `revision.policy.warm_up_file` is absolute.
    """

    revision: Revision
    pod: PodSpec
    file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """All that was found, in a stable order: by path, then by place within the file."""

    deployments: tuple[LocalDeployment, ...]
    problems: tuple[Problem, ...]
    """Warnings among them."""
    files: tuple[Path, ...]
    """Every file that may hold manifests, as found: watch these, and the folders given."""
    refused: frozenset[RevisionName] = frozenset()
    """Deployments that are there but wrong. One that runs already may go on as it was."""
    broken: frozenset[Path] = frozenset()
    """Files that could not be read to their end: what was in them before is not known to be gone.
    """

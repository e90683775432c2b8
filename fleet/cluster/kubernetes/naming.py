"""What replicas in a cluster are called, and which pod each is in. Pure.

A replica is one run of a pod's model server. The pod's first run is called ``namespace/pod``;
after its container was started anew the replica there is another one, ``namespace/pod#1``: what was
known of the old one (its model answers, it has proved itself) is not known of the new one, so it is
probed like any other.

Rule 1: marks, deletion costs and Events name pods: only pods can be chosen to go.
Rule 2: pod names hold no ``#``, ``@`` and ``/``, so a name means one pod and one run.
Rule 3: a replica that the cluster refuses to make a pod for is called by its Deployment and by when
        that began: ``namespace/deployment@2026-01-31T12:00:00Z-0``.
"""

from fleet.names import ReplicaName, RevisionName

__all__ = ["namespace_of", "pod_of", "refused_name", "replica_name", "revision_name"]


def revision_name(namespace: str, deployment: str) -> RevisionName:
    """The name of the revision that a Deployment registers."""
    return RevisionName(f"{namespace}/{deployment}")


def namespace_of(name: RevisionName | ReplicaName) -> str:
    """The namespace that a revision or replica is in."""
    return name.partition("/")[0]


def replica_name(namespace: str, pod: str, *, run: int = 0) -> ReplicaName:
    """The name of the replica that a pod holds in its `run`-th run, counted from 0."""
    return ReplicaName(f"{namespace}/{pod}#{run}" if run else f"{namespace}/{pod}")


def refused_name(revision: RevisionName, since: str, *, number: int) -> ReplicaName:
    """The name of a replica that there is no pod for."""
    return ReplicaName(f"{revision}@{since}-{number}")


def pod_of(replica: ReplicaName) -> str:
    """The name of the pod that a replica is in; empty where there is none."""
    name = replica.partition("/")[2].partition("#")[0]
    return "" if "@" in name else name

"""What of ebbtide needs each of its rights, as the code that asks.

`OPERATIONS` says for each verb what of its component needs it: a coroutine that ends when what the
verb is for has happened.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from fleet.clock import LoopClock
from fleet.cluster.kubernetes.cluster import KubernetesCluster
from fleet.cluster.kubernetes.objects import DELETION_COST, Kind
from fleet.leases.identity import Identity
from fleet.leases.leader import LEADER_LEASE, KubernetesLease
from fleet.leases.member import Membership
from fleet.leases.members import KubernetesMembers
from fleet.leases.membership import LABEL, NAMED, lease_name
from fleet.leases.record import lease_path
from fleet.model import Drain
from fleet.names import GatewayName, ReplicaName, RevisionName
from fleet.reasons import Reason
from tests.kube.clusters import TELLER, kubernetes_cluster, running
from tests.kube.objects import deployment
from tests.kube.stand import NUMBERS, Stand, again, soon

__all__ = ["OPERATIONS"]


def _seeing(kind: Kind) -> Callable[[Stand], Awaitable[None]]:
    async def see(stand: Stand) -> None:
        """All there is is listed, and then what comes is seen."""
        async with kubernetes_cluster(stand.api, wait=False) as cluster:
            watching = cluster.watching
            (reflector,) = watching._reflectors[kind]
            await soon(lambda: reflector.cut_since is None)
            name = f"seen{next(NUMBERS)}"
            _bring(stand, kind, name)
            # Pods and ReplicaSets are made by controllers, which add to the name.
            await soon(lambda: any(key[1].startswith(name) for key in watching.of(kind) or ()))
            if kind is Kind.NODE:
                stand.admin.delete(f"/api/v1/nodes/{name}")

    return see


def _bring(stand: Stand, kind: Kind, name: str) -> None:
    """One more object of a kind."""
    if kind in (Kind.DEPLOYMENT, Kind.REPLICA_SET, Kind.POD):
        document = deployment(name, stand.models, annotations={"model": name}, replicas=1)
        stand.admin.post(stand.deployments, document)
    elif kind is Kind.NODE:
        stand.admin.post("/api/v1/nodes", {"metadata": {"name": name}})
    else:
        path, content = _content(kind, stand.models)
        stand.admin.post(path, {**content, "metadata": {"name": name, "namespace": stand.models}})


def _content(kind: Kind, namespace: str) -> tuple[str, Mapping[str, Any]]:
    """Where an object of a kind is made, and what is in it but its name."""
    if kind is Kind.EVENT:
        group = "/api/v1"
        pod = {"kind": "Pod", "name": "p", "namespace": namespace}
        content: dict[str, Any] = {"involvedObject": pod, "reason": "FailedMount", "message": "m"}
    elif kind is Kind.AUTOSCALER:
        group = "/apis/autoscaling/v2"
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}
        content = {"spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 2}}
    else:
        group = "/apis/keda.sh/v1alpha1"
        content = {"spec": {"scaleTargetRef": {"name": "none"}}}
        content |= {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject"}
    return f"{group}/namespaces/{namespace}/{kind.value}", content


async def _wake(stand: Stand) -> None:
    revision = stand.make()
    async with stand.knowing(revision) as cluster:
        await again(
            lambda: cluster.scale(
                revision, 1, expect=_version(cluster, revision), reason=Reason.DEMAND
            )
        )
        assert stand.admin.get(stand.path(revision))["spec"]["replicas"] == 1


async def _mark(stand: Stand) -> None:
    revision = stand.make()
    async with stand.knowing(revision) as cluster:
        drain = Drain(number=1, replicas=frozenset({ReplicaName("none")}), term=1)
        await again(lambda: cluster.mark(revision, drain, expect=_version(cluster, revision)))
        notes = stand.admin.get(stand.path(revision))["metadata"]["annotations"]
        assert "ebbtide.dev/draining" in notes


async def _price(stand: Stand) -> None:
    revision = stand.make(replicas=2)
    async with stand.knowing(revision) as cluster:
        await soon(lambda: len(cluster.fleet().of(revision)) == 2)
        first = cluster.fleet().of(revision)[0].name
        drain = Drain(number=1, replicas=frozenset({first}), term=1)
        await again(lambda: cluster.mark(revision, drain, expect=_version(cluster, revision)))
        pod = f"/api/v1/namespaces/{stand.models}/pods/{first.rpartition('/')[2]}"
        assert DELETION_COST in stand.admin.get(pod)["metadata"]["annotations"]


def _version(cluster: KubernetesCluster, revision: RevisionName) -> str:
    return cluster.fleet().revisions[revision].version


def _tell(component: str, times: int) -> Callable[[Stand], Awaitable[None]]:
    async def tell(stand: Stand) -> None:
        revision = stand.make()
        events = f"/apis/events.k8s.io/v1/namespaces/{stand.models}/events"

        def told() -> int:
            """The count of the Event on this Deployment."""
            name = revision.partition("/")[2]
            mine = [e for e in stand.admin.get(events)["items"] if e["regarding"]["name"] == name]
            ours = [e for e in mine if e["reason"] == "woken"]
            return max((e.get("series", {}).get("count", 1) for e in ours), default=0)

        teller = replace(TELLER, controller=f"ebbtide.dev/{component}")
        async with stand.knowing(revision, teller=teller) as cluster:
            for count in range(1, times + 1):
                await cluster.note(revision, "woken", "tried")
                await soon(lambda count=count: told() == count)

    return tell


def _membership(stand: Stand, name: str, process: str) -> Membership:
    who = Identity(name=GatewayName(name), process=process, namespace=stand.own)
    return Membership(stand.api, who, clock=LoopClock(), luck=Random(1))


async def _join(stand: Stand) -> None:
    """A gateway takes its Lease, which is not there yet."""
    await _be_member(stand, GatewayName(f"host:{next(NUMBERS)}"))


async def _rejoin(stand: Stand) -> None:
    """A gateway takes the Lease that a process of its name has left."""
    name = GatewayName(f"host:{next(NUMBERS)}")
    _leave_lease(stand, name, holder="")
    await _be_member(stand, name)


async def _be_member(stand: Stand, name: GatewayName) -> None:
    who = Identity(name=name, process="now", namespace=stand.own)
    member = Membership(stand.api, who, clock=LoopClock(), luck=Random(1))
    async with running(member.run()):
        await member.taken()


def _forget_leader(stand: Stand) -> None:
    stand.admin.delete(lease_path(stand.own, LEADER_LEASE))


async def _lead(stand: Stand) -> None:
    """The first leader there ever was."""
    _forget_leader(stand)
    await _hold(stand)


async def _hold(stand: Stand) -> None:
    lease = KubernetesLease(
        stand.api,
        stand.own,
        f"p{next(NUMBERS)}",
        clock=LoopClock(),
        now=asyncio.get_running_loop().time,
        luck=Random(1),
    )
    async with running(lease.run()):
        await soon(lease.held)
        await lease.release()


async def _succeed(stand: Stand) -> None:
    """A leader after another: the Lease is there, and free."""
    free = {
        "metadata": {"name": LEADER_LEASE, "namespace": stand.own},
        "spec": {"holderIdentity": "", "leaseTransitions": 1},
    }
    _forget_leader(stand)
    stand.admin.post(lease_path(stand.own), free)
    await _hold(stand)


class Ahead:
    """A clock that can be set forward."""

    def __init__(self) -> None:
        self.by = 0.0
        self._now = asyncio.get_running_loop().time

    def __call__(self) -> float:
        return self._now() + self.by


async def _hear(stand: Stand) -> None:
    """Which gateways there are."""
    name = GatewayName(f"{stand.own}/g{next(NUMBERS)}")
    _leave_lease(stand, name, holder="x")
    assert name in await _members(stand, Ahead()).confirm()
    stand.admin.delete(lease_path(stand.own, lease_name(name, stand.own)))


async def _miss(stand: Stand) -> None:
    """A gateway whose Lease has run out, and whose pod is gone."""
    name = GatewayName(f"{stand.own}/g{next(NUMBERS)}")
    _leave_lease(stand, name, holder="x")
    ahead = Ahead()
    members = _members(stand, ahead)
    assert name in await members.confirm()
    ahead.by = 60.0
    assert name not in await members.confirm()
    stand.admin.delete(lease_path(stand.own, lease_name(name, stand.own)))


def _members(stand: Stand, now: Callable[[], float]) -> KubernetesMembers:
    return KubernetesMembers(stand.api, stand.own, clock=LoopClock(), now=now, luck=Random(1))


def _leave_lease(stand: Stand, name: GatewayName, *, holder: str) -> None:
    """A gateway's Lease, as a process that is gone has left it."""
    metadata = {
        "name": lease_name(name, stand.own),
        "namespace": stand.own,
        "labels": dict(LABEL),
        "annotations": {NAMED: name},
    }
    stamp = "2026-01-01T00:00:00.000000Z"
    spec = {"holderIdentity": holder, "renewTime": stamp, "leaseDurationSeconds": 15}
    stand.admin.post(lease_path(stand.own), {"metadata": metadata, "spec": spec})


_LEASES = "coordination.k8s.io"
OPERATIONS: Mapping[tuple[str, str, str, str], Callable[[Stand], Awaitable[None]]] = {
    **{
        (component, group, kind.value, verb): _seeing(kind)
        for component in ("gateway", "autoscaler")
        for kind, group in {
            Kind.DEPLOYMENT: "apps",
            Kind.REPLICA_SET: "apps",
            Kind.POD: "",
            Kind.NODE: "",
            Kind.EVENT: "",
            Kind.AUTOSCALER: "autoscaling",
            Kind.SCALED_OBJECT: "keda.sh",
        }.items()
        for verb in ("list", "watch")
    },
    **{
        (component, *what): operation
        for component in ("gateway", "autoscaler")
        for what, operation in {
            ("apps", "deployments/scale", "patch"): _wake,
            ("events.k8s.io", "events", "create"): _tell(component, 1),
            ("events.k8s.io", "events", "patch"): _tell(component, 2),
        }.items()
    },
    ("autoscaler", "apps", "deployments", "patch"): _mark,
    ("autoscaler", "", "pods", "patch"): _price,
    ("gateway", _LEASES, "leases", "create"): _join,
    ("gateway", _LEASES, "leases", "get"): _join,
    ("gateway", _LEASES, "leases", "update"): _rejoin,
    ("autoscaler", _LEASES, "leases", "create"): _lead,
    ("autoscaler", _LEASES, "leases", "get"): _lead,
    ("autoscaler", _LEASES, "leases", "update"): _succeed,
    ("autoscaler", _LEASES, "leases", "list"): _hear,
    ("autoscaler", "", "pods", "get"): _miss,
}
"""By component, group, resource and verb."""

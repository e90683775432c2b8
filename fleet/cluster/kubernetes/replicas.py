"""A pod into the replica that it holds now. Pure.

Phases: DRAINING from the deletion timestamp on, whatever the pod does; PENDING without a node;
FAILED as `why` says; else LOADING, with an address as soon as the pod has an IP, unless something
is known to be in its model server's way. READY is never said: gateways ask the model itself.

Rule 1: GPUs are held from placement until the pod has ended or is gone, FAILED or not: a container
        that is started again and again keeps them all the while.
Rule 2: what changes by the clock alone (a deletion that gets stuck) says when: `due`.
"""

from dataclasses import dataclass

from fleet.cluster.kubernetes import why
from fleet.cluster.kubernetes.containers import (
    Container,
    Ending,
    first_runs,
    server_name,
    starters,
)
from fleet.cluster.kubernetes.fields import entries, text, texts, whole
from fleet.cluster.kubernetes.holding import ended, held
from fleet.cluster.kubernetes.naming import replica_name
from fleet.cluster.kubernetes.nodes import Node
from fleet.cluster.kubernetes.times import Moments
from fleet.cluster.kubernetes.why import STUBBORN, Cause, Events, Explain
from fleet.kubernetes.objects import Object, key_of
from fleet.model import Phase, Replica, RuntimeName
from fleet.reasons import Reason

__all__ = ["PATIENCE", "STUCK", "Around", "Reading", "read_replica"]

STUCK = 30.0
"""Seconds after the end of its grace period from which a deletion is stuck."""
PATIENCE = 10.0
"""Seconds for which a container may lack its configuration before that is a verdict: a Secret that
is made at the same time, or a kubelet that has not seen it yet."""
_ALL_WELL = Cause(reason=Reason.STARTING)
_BETWEEN_TRIES = ("CrashLoopBackOff", "RunContainerError")


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What reading a pod needs to know beyond it."""

    template: str
    """The digest that the replica is to carry."""
    port: int
    """That the model server listens on."""
    runtime: RuntimeName
    explain: Explain
    events: Events
    node: Node | None
    """Where it was placed; None where that is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A replica, and when it reads otherwise though nothing was changed."""

    replica: Replica
    due: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    phase: Phase
    since: float
    cause: Cause
    address: str | None = None
    due: float | None = None


def read_replica(pod: Object, around: Around, moments: Moments, *, now: float) -> Reading:
    """The replica that `pod` holds; `moments` are those of this pod."""
    return _Pod(pod, around, moments, now=now).reading()


class _Pod:
    def __init__(self, pod: Object, around: Around, moments: Moments, *, now: float) -> None:
        self._pod, self._around, self._moments, self._now = pod, around, moments, now
        self._server = first_runs(pod, server_name(pod, around.port))
        self._starters = starters(pod)
        self._run = self._server.runs + sum(each.runs for each in self._starters)
        created = moments.of("created", text(pod, "metadata", "creationTimestamp"))
        self._created = now if created is None else created
        self._started = self._start()

    def reading(self) -> Reading:
        namespace, name = key_of(self._pod)
        state = self._state()
        return Reading(
            replica=Replica(
                name=replica_name(namespace, name, run=self._run),
                phase=state.phase,
                since=state.since,
                template=self._around.template,
                address=state.address,
                gpus=sum(held(self._pod).values()),
                node=text(self._pod, "spec", "nodeName") or None,
                started=self._started,
                reason=state.cause.reason,
                message=state.cause.message,
                log=state.cause.log,
                available=self._is("Ready"),
            ),
            due=state.due,
        )

    def _start(self) -> float | None:
        """When this run began: the placement, or the end of the run before."""
        if not text(self._pod, "spec", "nodeName"):
            return None
        placed = self._since("PodScheduled", "True")
        placed = self._created if placed is None else placed
        ends = [
            self._moments.of(f"{each.name} ended", each.before.at)
            for each in (self._server, *self._starters)
            if each.runs and each.before is not None
        ]
        return max([placed, *(end for end in ends if end is not None)])

    def _since(self, kind: str, status: str) -> float | None:
        for each in entries(self._pod, "status", "conditions"):
            if text(each, "type") == kind and text(each, "status") == status:
                return self._moments.of(kind, text(each, "lastTransitionTime"))
        return None

    def _is(self, kind: str) -> bool:
        return any(
            text(each, "type") == kind and text(each, "status") == "True"
            for each in entries(self._pod, "status", "conditions")
        )

    def _state(self) -> _State:
        if text(self._pod, "metadata", "deletionTimestamp"):
            return self._going()
        if ended(self._pod):
            return self._over()
        if self._started is None:
            cause = why.of_pending(self._pod, self._around.events)
            return _State(phase=Phase.PENDING, since=self._created, cause=cause)
        return self._placed(self._started)

    def _going(self) -> _State:
        stamp = text(self._pod, "metadata", "deletionTimestamp")
        # The timestamp is when it has to be over.
        grace = max(0, whole(self._pod, "metadata", "deletionGracePeriodSeconds") or 0)
        asked, end = self._moments.once("deletion", stamp, ahead=grace), self._moments.end(stamp)
        stuck = (self._now if end is None else end) + STUCK
        cause = Cause(reason=Reason.STOPPING, message=self._disruption())
        if self._now >= stuck:
            cause = Cause(reason=Reason.STUCK_TERMINATING, message=self._stuck(stamp))
        return _State(
            phase=Phase.DRAINING,
            since=self._now if asked is None else asked,
            cause=cause,
            address=text(self._pod, "status", "podIP") or None,
            due=stuck if self._now < stuck else None,
        )

    def _disruption(self) -> str:
        """Who wants it away, where it is not the Deployment's own scale."""
        for each in entries(self._pod, "status", "conditions"):
            if text(each, "type") == "DisruptionTarget" and text(each, "status") == "True":
                return f"{text(each, 'reason')}: {text(each, 'message')}"[: why.LONGEST]
        return ""

    def _stuck(self, stamp: str) -> str:
        words = [f"it should have ended at {stamp}"]
        node, finalizers = self._around.node, texts(self._pod, "metadata", "finalizers")
        if node is not None and not node.ready:
            words.append(f"its node {node.name} is not ready")
        if finalizers:
            words.append(f"finalizers: {', '.join(finalizers)}")
        return "; ".join(words)[: why.LONGEST]

    def _over(self) -> _State:
        """All of it has ended: refused or evicted by its node, which tells why."""
        reason, words = (text(self._pod, "status", key) for key in ("reason", "message"))
        ending = self._server.ended
        if ending is not None and not reason:
            cause = self._ended(ending)
        else:
            message = ": ".join(part for part in (reason, words) if part)
            cause = Cause(reason=Reason.POD_FAILED, message=message[: why.LONGEST])
        return _State(phase=Phase.FAILED, since=self._end(), cause=cause)

    def _end(self) -> float:
        """When all of it had ended, by the latest that is known of it."""
        stamps = [
            text(self._pod, "status", "startTime"),
            *(each.ended.at for each in (self._server, *self._starters) if each.ended is not None),
        ]
        conditions = entries(self._pod, "status", "conditions")
        stamps += [text(each, "lastTransitionTime") for each in conditions]
        known = [self._moments.of("over", stamp) for stamp in stamps]
        return max([self._created, *(at for at in known if at is not None)])

    def _placed(self, started: float) -> _State:
        server = self._server
        if server.runs_now:
            return self._running(started)
        if server.ended is not None:
            return self._failed(server.ended, started, looping=False)
        if server.waiting in _BETWEEN_TRIES and server.before is not None:
            return self._failed(server.before, started, looping=True)
        for each in self._starters:
            if (state := self._starter(each, started)) is not None:
                return state
        cause = why.of_start(self._pod, server, self._around.events)
        due = self._verdict(server) if server.waiting in STUBBORN else None
        if due is not None and self._now >= due:
            return _State(phase=Phase.FAILED, since=due, cause=cause)
        # The cluster tells late that a container runs: where nothing is in its way it is asked
        # for as soon as there is an IP.
        address = text(self._pod, "status", "podIP") if cause == _ALL_WELL else ""
        return _State(
            phase=Phase.LOADING, since=started, cause=cause, address=address or None, due=due
        )

    def _running(self, started: float) -> _State:
        began = self._moments.of("running", self._server.running_since)
        cause, node = Cause(reason=Reason.STARTING), self._around.node
        if node is not None and not node.ready:
            cause = Cause(reason=Reason.NODE_NOT_READY, message=f"node {node.name} is not ready")
        return _State(
            phase=Phase.LOADING,
            since=started if began is None else max(started, began),
            cause=cause,
            address=text(self._pod, "status", "podIP") or None,
        )

    def _starter(self, each: Container, started: float) -> _State | None:
        """What an init container's failure means; None where it has not failed."""
        where = f"init container {each.name}: "
        if each.ended is not None and each.ended.code != 0:
            return self._failed(each.ended, started, looping=False, where=where)
        if each.waiting in _BETWEEN_TRIES and each.before is not None:
            return self._failed(each.before, started, looping=True, where=where)
        return None

    def _failed(self, ending: Ending, started: float, *, looping: bool, where: str = "") -> _State:
        at = self._moments.of("ended", ending.at)
        return _State(
            phase=Phase.FAILED,
            since=started if at is None else at,
            cause=self._ended(ending, looping=looping, where=where),
        )

    def _ended(self, ending: Ending, *, looping: bool = False, where: str = "") -> Cause:
        return why.of_ending(
            ending,
            looping=looping,
            runtime=self._around.runtime,
            explain=self._around.explain,
            where=where,
        )

    def _verdict(self, server: Container) -> float:
        """From when on what keeps its container from being made is a verdict."""
        sandbox = self._since("PodReadyToStartContainers", "True")
        begun = max(self._started or 0.0, sandbox or 0.0)
        return begun if server.waiting == "InvalidImageName" else begun + PATIENCE

"""What a line tells: its phase as a whole, and its sample for the autoscaler. Pure functions."""

from collections import Counter
from collections.abc import Iterable

from activator.core.ledger import Ledger
from fleet.messages import ReplicaSample, RevisionSample
from fleet.model import Phase, Replica, Revision
from fleet.names import ReplicaName

__all__ = ["phase_of", "sample_of"]


def phase_of(ledger: Ledger, replicas: Iterable[Replica], *, blocked: bool) -> Phase:
    """The phase of a revision: that of the replica that has come furthest."""
    if any(not seat.draining for seat in ledger.seats.values()):
        return Phase.READY
    phases = {replica.phase for replica in replicas if replica.name not in ledger.seats}
    for phase in (Phase.LOADING, Phase.PENDING):
        if phase in phases:
            return phase
    if blocked or Phase.FAILED in phases:
        return Phase.FAILED
    if ledger.seats or Phase.DRAINING in phases:
        return Phase.DRAINING
    return Phase.ASLEEP


def _idle_for(ledger: Ledger, now: float) -> float | None:
    """Seconds since the later of Ready and the last request's end.

    None while a request is here or a sequence lives, and before either.
    """
    if ledger.waiting or ledger.running or ledger.sequences:
        return None
    since = [seat.ready_at for seat in ledger.seats.values()]
    if ledger.last_end is not None:
        since.append(ledger.last_end)
    return now - max(since) if since else None


def sample_of(revision: Revision, ledger: Ledger, *, now: float) -> RevisionSample:
    """The sample of a revision at `now`."""
    ledger.tick(now)
    # A sequence at rest holds its place on its replica as a request does.
    resting = ledger.sequences.resting() if ledger.sequences else Counter[ReplicaName]()
    first = ledger.eldest
    drain = revision.drain
    acknowledged = drain is not None and ledger.running_on(drain.replicas) == 0
    return RevisionSample(
        revision=revision.name,
        waiting=ledger.waiting,
        running=len(ledger.running) + resting.total(),
        waiting_s=ledger.waiting_s,
        running_s=ledger.running_s,
        arrivals=ledger.arrivals,
        completions=ledger.completions,
        service_s=ledger.service_s,
        oldest_wait=None if first is None else now - first.since,
        idle_for=_idle_for(ledger, now),
        longest_s=ledger.longest_s,
        drained=drain.number if drain is not None and acknowledged else 0,
        replicas=tuple(
            ReplicaSample(
                name=seat.name,
                running=len(seat.running) + resting[seat.name],
                busy_s=seat.busy_s,
                slots=seat.slots,
                ready_for=now - seat.ready_at,
                ready_after=seat.ready_after,
                warming=seat.warming,
            )
            for seat in ledger.seats.values()
        ),
    )

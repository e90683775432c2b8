"""Whether the process that renewed a gateway's Lease last has ended, by what its pod says. Pure.

The Lease says in which container its holder runs, and when it was renewed, by the clock of the
holder's node. The pod says when runs of that container have ended, by the same clock.

Rule 1: whoever renewed before a run of its container ended was that run, or one before it, and is
        no more. That stays true however old the pod's status is: nothing here goes by what is said
        to run, or not to run, now.
Rule 2: the next run takes the Lease before it reads the cluster, with a later time of renewal.
Rule 3: an end is cut to its second. Whoever renewed within that second may be the next run, unless
        the pod waits in a back-off, which no run ends within a second.
Rule 4: what cannot be read proves nothing.
"""

from math import floor
from typing import Final

from fleet.cluster.kubernetes.fields import entries, text
from fleet.cluster.kubernetes.times import wall_seconds
from fleet.kubernetes.objects import Object
from fleet.leases.record import Record

__all__ = ["CONTAINER", "has_ended"]

CONTAINER: Final = "ebbtide.dev/container"
"""The annotation of a gateway's Lease with the name of the container that it runs in."""
_OVER = frozenset({"Succeeded", "Failed"})
_BACK_OFF = "CrashLoopBackOff"
_STATES = ("state", "lastState")


def has_ended(record: Record, pod: Object) -> bool:
    """Whether the holder of this Lease is no more; `pod`: the one it ran in."""
    if text(pod, "status", "phase") in _OVER:
        return True
    renewed = wall_seconds(record.renewed)
    named = text(record.raw or {}, "metadata", "annotations", CONTAINER)
    if renewed is None or not named:
        return False
    return any(
        _in_a_run_before(renewed, status)
        for status in entries(pod, "status", "containerStatuses")
        if text(status, "name") == named
    )


def _in_a_run_before(renewed: float, status: object) -> bool:
    """Whether a run of this container has ended that did not begin after `renewed`."""
    if text(status, "state", "waiting", "reason") == _BACK_OFF:
        renewed = floor(renewed)
    stamps = (text(status, state, "terminated", "finishedAt") for state in _STATES)
    ends = (wall_seconds(stamp) for stamp in stamps)
    return any(end is not None and renewed <= end for end in ends)

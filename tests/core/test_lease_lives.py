"""Whether the holder of a gateway's Lease has ended, by the pod that it ran in."""

import pytest

from fleet.leases.lives import CONTAINER, has_ended
from fleet.leases.record import read_record

RENEWED = "2026-01-01T00:00:10.500000Z"
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff"}}
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:11Z"}}


def record(renewed=RENEWED, container="gateway"):
    annotations = {CONTAINER: container} if container else {}
    return read_record(
        {
            "metadata": {"annotations": annotations},
            "spec": {"holderIdentity": "one", "renewTime": renewed},
        }
    )


def ended(at):
    return {"terminated": {"exitCode": 1, "finishedAt": f"2026-01-01T00:00:{at:02}Z"}}


def pod(state, last=None, *, name="gateway", phase="Running"):
    status = {"name": name, "state": state, "lastState": last or {}}
    return {"status": {"phase": phase, "containerStatuses": [status]}}


@pytest.mark.parametrize(
    "found",
    [
        pod(ended(11)),
        pod(BACK_OFF, ended(11)),
        pod(RUNNING, ended(11)),
        pod(ended(9), ended(30)),
        pod({"waiting": {"reason": "ContainerCreating"}}, ended(11)),
    ],
)
def test_who_renewed_before_a_run_ended_is_no_more_whatever_runs_now(found):
    assert has_ended(record(), found)


@pytest.mark.parametrize(
    "found",
    [
        pod(RUNNING),
        pod(RUNNING, ended(9)),
        pod(ended(9)),
        pod(BACK_OFF, ended(9)),
        pod({"waiting": {"reason": "ContainerCreating"}}),
        pod(ended(11), name="sidecar"),
        pod({"terminated": {"exitCode": 137, "finishedAt": None}}),
        pod({"terminated": "?"}, {"terminated": {"finishedAt": "soon"}}),
        {"status": {"containerStatuses": [None, "x", {}]}},
        {"status": None},
        {},
    ],
)
def test_a_status_that_tells_of_no_later_end_proves_nothing(found):
    """Not running now is no proof either: it may have been started since the status was written."""
    assert not has_ended(record(), found)


def test_within_the_second_of_an_end_it_may_be_the_next_run_already():
    assert not has_ended(record(), pod(ended(10)))
    assert not has_ended(record(), pod(RUNNING, ended(10)))
    assert has_ended(record(), pod(BACK_OFF, ended(10))), "which a back-off keeps from beginning"
    assert has_ended(record("2026-01-01T00:00:10.000000Z"), pod(ended(10)))


@pytest.mark.parametrize("bad", [record(container=""), record(""), record("now")])
def test_a_lease_that_does_not_say_enough_is_somebody(bad):
    assert not has_ended(bad, pod(ended(59)))


@pytest.mark.parametrize(("phase", "gone"), [("Succeeded", True), ("Failed", True), ("X", False)])
def test_a_pod_that_has_ended_for_good_has_no_gateway(phase, gone):
    assert has_ended(record(container=""), pod(RUNNING, phase=phase)) is gone

"""Replicas that the cluster refuses to make, from what it says to what is written: it ends.

What one look writes is put on the Deployment, as the API server would, and read for the next.
"""

from typing import Any

import pytest

from autoscaler.core.footing import Footing
from autoscaler.core.plan import ClearDrain, Mark, Scale, Standing, plan
from autoscaler.observe import hear, see
from fleet.cluster.kubernetes.drainmark import DRAINING, write_mark
from fleet.cluster.kubernetes.naming import pod_of
from fleet.reasons import Reason
from tests.core.test_kube_refused import refusing
from tests.core.test_kube_snapshot import DEMO, NOW, read
from tests.fakes.kubeobjects import pod, replica_set


def standing(demo: dict[str, Any], pods: int, target: int) -> Standing:
    """What the leader of term 1 knows; every gateway acknowledges at once."""
    fleet = read(
        [demo], [pod(replica_set(demo), f"x{number}", ready=True) for number in range(pods)]
    )
    found = fleet.revisions[DEMO]
    seen = see(found, fleet.of(DEMO), hear(DEMO, {}, (), now=NOW), servers={}, now=NOW)
    return Standing(
        revision=DEMO,
        version=found.version,
        replicas=found.replicas,
        target=target,
        reason=Reason.START_FAILED,
        members=seen.members,
        drain=found.drain,
        acknowledged=0 if found.drain is None else found.drain.number,
        footing=Footing(term=1, settled=found.settled),
    )


def enact(demo: dict[str, Any], action: Mark | Scale | ClearDrain) -> str:
    annotations = demo["metadata"]["annotations"]
    match action:
        case Mark(drain=drain):
            pods = filter(None, map(pod_of, drain.replicas))
            annotations[DRAINING] = write_mark(drain.number, list(pods), term=drain.term)
        case Scale(after=after):
            demo["spec"]["replicas"] = after
        case ClearDrain():
            del annotations[DRAINING]
    return type(action).__name__


@pytest.mark.parametrize(
    ("pods", "replicas", "target", "writes"),
    [
        (0, 1, 0, ["Scale"]),
        (0, 3, 0, ["Scale"]),
        (1, 2, 1, ["Scale"]),
        (1, 3, 2, ["Scale"]),
        (1, 2, 0, ["Mark", "Scale"]),
        (1, 3, 0, ["Mark", "Scale"]),
    ],
)
def test_fewer_are_written_once(pods: int, replicas: int, target: int, writes: list[str]) -> None:
    demo = refusing(500, replicas=replicas)
    demo["status"].update(replicas=pods, updatedReplicas=pods)
    done: list[str] = []
    while demo["spec"]["replicas"] != target:
        (step,) = plan([standing(demo, pods, target)])
        done += [enact(demo, action) for action in step]
        assert len(done) <= len(writes), "it goes on without end"
    assert done == writes

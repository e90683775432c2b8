"""From samples to what is seen: who was heard, when, and how much."""

from dataclasses import replace

import pytest

from autoscaler.core.seen import UNASKED, ServerSeen
from autoscaler.core.window import UNKNOWN
from autoscaler.observe import account, hear, holdings, see
from fleet.messages import Received, ReplicaSample, RevisionSample, Sample
from fleet.model import Phase, Policy, Replica
from fleet.names import GatewayName, ReplicaName
from fleet.reasons import Reason
from tests.fakes.cluster import revision

A = revision("a", replicas=1)
G1, G2 = GatewayName("g1"), GatewayName("g2")
R = ReplicaName("r")
REPLICA = Replica(
    name=R, phase=Phase.LOADING, since=5.0, template="t1", address="127.1.0.1", gpus=1, started=4.0
)


def sample(**changes):
    return RevisionSample(
        **{
            "revision": A.name,
            "waiting": 0,
            "running": 0,
            "waiting_s": 0.0,
            "running_s": 0.0,
            "arrivals": 0,
            "completions": 0,
            "service_s": 0.0,
            "oldest_wait": None,
            "idle_for": None,
            **changes,
        }
    )


def on(**changes):
    told = {"running": 0, "busy_s": 0.0, "slots": 4, "ready_for": 2.0, "ready_after": 3.0}
    return ReplicaSample(name=R, **{**told, **changes})


def received(**samples):
    """Name -> (when it came in, sample)."""
    return {
        GatewayName(name): Received(
            sample=Sample(gateway=GatewayName(name), revisions={A.name: one} if one else {}), at=at
        )
        for name, (at, one) in samples.items()
    }


def seen(now=10.0, members=(G1, G2), replicas=(REPLICA,), *, marked_at=0.0, **samples):
    heard = hear(A.name, received(**samples), members, now=now, marked_at=marked_at)
    return see(A, replicas, heard, servers={}, now=now)


def test_what_the_cluster_refuses_to_make_is_no_replica_to_mark():
    refused = replace(
        REPLICA,
        name=ReplicaName("x"),
        phase=Phase.FAILED,
        address=None,
        reason=Reason.FAILED_CREATE,
    )
    other = replace(refused, name=ReplicaName("y"), reason=Reason.EXITED)
    found = seen(replicas=(REPLICA, refused, other))
    assert [member.made for member in found.members] == [True, False, True]


@pytest.mark.parametrize(
    ("members", "samples", "known"),
    [
        ((G1,), {"g1": (10.0, sample())}, True),
        ((G1,), {"g1": (7.0, sample())}, True),
        ((G1,), {"g1": (6.9, sample())}, False),
        ((G1,), {}, False),
        ((G1,), {"g1": (10.0, None)}, False),
        ((), {"g1": (10.0, sample())}, False),
        ((G1, G2), {"g1": (10.0, sample())}, False),
        ((G1, G2), {"g1": (10.0, sample()), "g2": (9.0, sample())}, True),
        ((G1,), {"g1": (10.0, sample()), "g2": (0.0, sample())}, True),
    ],
)
def test_every_member_must_be_heard_lately(members, samples, known):
    assert (seen(members=members, **samples).load is not UNKNOWN) is known


def test_gateways_add_up_and_ages_become_times():
    one = sample(waiting=2, running=1, oldest_wait=3.0, waiting_s=4.0, running_s=5.0, longest_s=9.0)
    other = sample(waiting=1, running=2, oldest_wait=0.5, idle_for=2.0)
    load = seen(g1=(9.0, one), g2=(8.0, other)).load
    assert (load.waiting, load.running, load.oldest_wait, load.ended_at) == (3, 3, 4.0, 6.0)
    assert (load.at, load.longest_s) == (9.0, 9.0)
    assert load.counters[G1].demand_s == 9.0


def test_a_replica_is_ready_at_the_first_probes_answer():
    looking = {"g1": (9.0, sample(replicas=(on(),))), "g2": (9.0, sample())}
    (member,) = seen(**looking).members
    assert (member.phase, member.ready_at, member.ready_after) == (Phase.READY, 7.0, 3.0)
    assert (member.since, member.open) == (4.0, True)
    looking["g1"] = (9.0, sample(replicas=(on(ready_for=None),)))
    (member,) = seen(**looking).members
    assert (member.phase, member.ready_at) == (Phase.LOADING, None)


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.PENDING])
def test_the_cluster_knows_better_than_an_old_sample_who_runs(phase):
    gone = replace(REPLICA, phase=phase)
    (member,) = seen(members=(G1,), replicas=(gone,), g1=(9.0, sample(replicas=(on(),)))).members
    assert (member.phase, member.ready_at) == (phase, None)


def test_what_is_being_stopped_counts_no_more_but_holds_its_gpu():
    stopping = replace(REPLICA, phase=Phase.DRAINING)
    assert seen(members=(G1,), replicas=(stopping,), g1=(9.0, sample())).members == ()
    heard = hear(A.name, {}, (), now=10.0)
    (held,) = holdings(A.name, (stopping,), heard, ())
    assert (held.gpus, held.state.value, held.busy_s) == (1, "draining", None)


def test_slots_count_when_the_configuration_has_been_read():
    assert (
        seen(members=(G1,), g1=(9.0, sample(replicas=(on(ready_for=0.5, slots=1),)))).load.slots
        is None
    )
    assert seen(members=(G1,), g1=(9.0, sample(replicas=(on(),)))).load.slots == 4


def test_nobody_is_believed_that_a_ready_replica_takes_nothing():
    assert seen(members=(G1,), g1=(9.0, sample(replicas=(on(slots=0),)))).load.slots == 1


@pytest.mark.parametrize(
    ("one", "other", "marked_at", "acknowledged"),
    [
        ((9.0, 3), (9.5, 3), 9.0, 3),
        ((9.0, 3), (9.5, 2), 9.0, 0),
        ((9.0, 3), (9.5, 4), 9.0, 0),
        ((8.9, 3), (9.5, 3), 9.0, 0),
    ],
)
def test_every_member_must_acknowledge_this_number_after_the_mark(
    one, other, marked_at, acknowledged
):
    samples = {
        name: (at, sample(drained=number)) for name, (at, number) in (("g1", one), ("g2", other))
    }
    assert seen(marked_at=marked_at, **samples).load.drained == acknowledged


def test_a_servers_answer_belongs_to_its_replica():
    heard = hear(A.name, received(g1=(9.0, sample())), (G1,), now=10.0)
    said = ServerSeen(at=9.5, pending=2)
    other = replace(REPLICA, name=ReplicaName("other"))
    first, second = see(A, (REPLICA, other), heard, servers={R: said}, now=10.0).members
    assert first.server is said
    assert second.server is UNASKED


def test_a_model_that_needs_more_gpus_than_there_are_saves_nothing():
    rev = revision(gpus=2, policy=Policy(min_replicas=3))
    assert account(rev, price=1.0, total=8).always_gpus == 6
    assert account(rev, price=1.0, total=1).always_gpus == 0


@pytest.mark.parametrize(("own", "price"), [(None, 1.5), (4.0, 4.0), (0.0, 0.0)])
def test_a_models_own_price_counts_before_the_usual_one(own, price):
    rev = revision(policy=Policy(gpu_price=own))
    assert account(rev, price=1.5, total=8).price == price


def test_a_gateway_that_knows_a_replica_which_the_snapshot_does_not_show():
    heard = hear(A.name, received(g1=(9.0, sample(replicas=(on(),)))), (G1,), now=10.0)
    assert not heard.stranger([REPLICA])
    assert not heard.stranger([replace(REPLICA, phase=Phase.DRAINING)])
    assert heard.stranger([])
    old = hear(A.name, received(g1=(5.0, sample(replicas=(on(),)))), (G1,), now=10.0)
    assert not old.stranger([]), "that was long ago"

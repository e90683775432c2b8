"""A model that rests is decided as one that is decided at every look."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.minds import Minds
from autoscaler.observe import Sight
from fleet.messages import Received, ReplicaSample, RevisionSample, Sample
from fleet.model import Fleet, GpuPool, Mode, Phase, Policy, Replica
from fleet.names import GatewayName, ReplicaName
from fleet.settings import Settings
from tests.fakes.cluster import revision

GATEWAYS = (GatewayName("g1"), GatewayName("g2"))
R = ReplicaName("r")


class Eager(Minds):
    """Decides everything at every look."""

    def decide(self, sight):
        for mind in self._minds.values():
            mind._rest = None
        return super().decide(sight)


class Scene:
    """One revision, steered by hand; samples come a little before each look."""

    def __init__(self, **policy):
        self.now = 100.0
        self.revision = revision(policy=Policy(**{"slots": 2, "keep_alive": 30.0, **policy}))
        self.replica = None
        self.answers = False
        self.waiting = dict.fromkeys(GATEWAYS, 0)
        self.counted = {name: [0.0, 0, 0, 0.0] for name in GATEWAYS}
        self.silent = set()
        self.members = set(GATEWAYS)

    def pass_by(self, seconds):
        self.now += seconds
        for name in GATEWAYS:
            self.counted[name][0] += seconds * self.waiting[name]

    def arrive(self, gateway, count):
        self.waiting[gateway] += count
        self.counted[gateway][1] += count

    def finish(self, gateway):
        count, self.waiting[gateway] = self.waiting[gateway], 0
        self.counted[gateway][2] += count
        self.counted[gateway][3] += 0.5 * count

    def wake(self):
        self.revision = replace(self.revision, replicas=1)
        self.linger()
        self.answers = True

    def linger(self):
        """A replica is there, wanted or not, and does not answer yet."""
        self.answers = False
        self.replica = Replica(
            name=R,
            phase=Phase.LOADING,
            since=self.now,
            template="t1",
            address="127.1.0.1",
            gpus=1,
            started=self.now,
        )

    def sleep(self):
        self.revision = replace(self.revision, replicas=0)
        self.replica = None

    def sight(self):
        replicas = () if self.replica is None else (self.replica,)
        fleet = Fleet(
            revisions={self.revision.name: self.revision},
            replicas={self.revision.name: replicas} if replicas else {},
            gpus=(GpuPool(name="gpu", total=4, free=4),),
        )
        received = {
            name: Received(
                sample=Sample(gateway=name, revisions={self.revision.name: self._told(name)}),
                at=self.now - 0.25,
            )
            for name in GATEWAYS
            if name not in self.silent
        }
        return Sight(fleet=fleet, received=received, members=self.members, servers={}, now=self.now)

    def _told(self, name):
        waiting_s, arrivals, completions, service_s = self.counted[name]
        seats = (
            ReplicaSample(name=R, running=0, busy_s=0.0, slots=2, ready_for=3.0, ready_after=2.0),
        )
        return RevisionSample(
            revision=self.revision.name,
            waiting=self.waiting[name],
            running=0,
            waiting_s=waiting_s,
            running_s=0.0,
            arrivals=arrivals,
            completions=completions,
            service_s=service_s,
            oldest_wait=1.0 if self.waiting[name] else None,
            idle_for=None if self.waiting[name] or not completions else 1.0,
            replicas=seats if self.replica is not None and self.answers else (),
        )


def report(case):
    decision, load = case.decision, case.decision.memory
    reads = (
        load.flow.rates(60.0),
        load.flow.rates(6.0),
        load.meter,
        load.panic,
        load.trial,
        load.wishes,
        load.servers,
        load.slots,
        load.ready_after,
    )
    return decision.before, decision.after, decision.reason, dict(decision.inputs), reads


def queued(case, now):
    return [case.decision.memory.queue.at(now - ago) for ago in (0.0, 2.0, 6.0, 11.0)]


GATEWAY = st.sampled_from(GATEWAYS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), GATEWAY, st.integers(1, 5)),
        st.tuples(st.just("finish"), GATEWAY),
        st.tuples(st.just("wake")),
        st.tuples(st.just("sleep")),
        st.tuples(st.just("linger")),
        st.tuples(st.just("give_up"), GATEWAY, st.integers(1, 5)),
        st.tuples(st.just("swap"), GATEWAY),
        st.tuples(st.just("silence"), GATEWAY),
        st.tuples(st.just("join"), GATEWAY),
        st.tuples(st.just("leave"), GATEWAY),
        st.tuples(st.just("look"), st.integers(1, 50)),
    ),
    max_size=14,
)


def play(scene, step):
    """Do one step; how many looks follow it."""
    match step:
        case ("arrive", gateway, count):
            scene.arrive(gateway, count)
        case ("finish", gateway):
            scene.finish(gateway)
        case ("silence", gateway):
            scene.silent ^= {gateway}
        case ("join", gateway):
            scene.members = scene.members | {gateway}
        case ("leave", gateway):
            scene.members = scene.members - {gateway} or scene.members
        case ("swap", gateway):
            scene.members = {gateway}
        case ("give_up", gateway, count):
            scene.counted[gateway][1] += count
        case ("linger",):
            scene.linger()
        case ("look", count):
            return count
        case ("wake",):
            scene.wake()
        case ("sleep",):
            scene.sleep()
    return 1


@given(STEPS, st.sampled_from([0.3, 2.0]))
def test_a_rest_changes_no_answer_and_no_reading(steps, tick):
    scene = Scene()
    lazy, eager = Minds(Settings(), 0.0), Eager(Settings(), 0.0)
    for step in [("look", 3), *steps, ("arrive", GATEWAYS[0], 2), ("look", 2)]:
        for _ in range(play(scene, step)):
            scene.pass_by(tick)
            sight = scene.sight()
            found = [case for case in lazy.decide(sight) if case is not None]
            (every,) = (case for case in eager.decide(sight) if case is not None)
            for case in found:
                assert report(case) == report(every)
                assert queued(case, scene.now) == queued(every, scene.now)
            if not found:
                assert (every.decision.before, every.decision.after) == (0, 0)
                assert not every.waiting


def decided(minds, scene, *, looks=1):
    """How often it was decided in the next `looks`."""
    count = 0
    for _ in range(looks):
        scene.pass_by(2.0)
        count += sum(case is not None for case in minds.decide(scene.sight()))
    return count


def test_a_sleeping_model_that_nobody_calls_is_decided_once():
    scene, minds = Scene(), Minds(Settings(), 0.0)
    # The second time the same members were heard as before.
    assert decided(minds, scene, looks=50) <= 2


@pytest.mark.parametrize(
    "change",
    [
        lambda scene: scene.arrive(GATEWAYS[1], 1),
        lambda scene: scene.wake(),
        lambda scene: scene.linger(),
        lambda scene: scene.silent.add(GATEWAYS[0]),
        lambda scene: scene.members.discard(GATEWAYS[0]),
        lambda scene: setattr(
            scene, "revision", replace(scene.revision, policy=Policy(min_replicas=1))
        ),
    ],
)
def test_what_ends_a_rest(change):
    scene, minds = Scene(), Minds(Settings(), 0.0)
    decided(minds, scene, looks=10)
    change(scene)
    assert decided(minds, scene) == 1


@pytest.mark.parametrize(
    "policy", [{"min_replicas": 1}, {"pinned": True}, {"min_replicas": 2, "mode": Mode.ADVISE}]
)
def test_one_that_should_not_sleep_does_not_rest(policy):
    scene, minds = Scene(**policy), Minds(Settings(), 0.0)
    assert decided(minds, scene, looks=5) == 5


def test_a_silent_gateway_lets_nobody_rest():
    scene, minds = Scene(), Minds(Settings(), 0.0)
    scene.silent.add(GATEWAYS[0])
    assert decided(minds, scene, looks=5) == 5


def test_among_many_there_is_time_for_others():
    scene, minds = Scene(), Minds(Settings(), 0.0)
    many = [replace(scene.revision, name=f"default/m{number}") for number in range(1200)]
    sight = scene.sight()
    fleet = replace(sight.fleet, revisions={one.name: one for one in many})
    assert sum(case is None for case in minds.decide(replace(sight, fleet=fleet))) == 2

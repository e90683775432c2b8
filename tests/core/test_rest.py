"""A model that rests is decided as one that is decided at every look."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.core.panic import Panic
from autoscaler.core.rest import rests_until
from autoscaler.core.seen import ServerSeen
from autoscaler.core.servers import ServerTrack
from autoscaler.core.trial import Trial
from autoscaler.core.window import UNKNOWN, Steps, Window
from autoscaler.minds import Minds
from autoscaler.observe import Sight
from fleet.messages import Received, ReplicaSample, RevisionSample, Sample
from fleet.model import Drain, Fleet, GpuPool, Mode, Phase, Policy, Replica
from fleet.names import GatewayName, ReplicaName
from fleet.reasons import Reason
from fleet.settings import Settings
from tests.fakes.cluster import revision

GATEWAYS = (GatewayName("g1"), GatewayName("g2"))
R = ReplicaName("r")
NAMES = (R, ReplicaName("s"), ReplicaName("t"))


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
        self.there = ()
        self.answers = False
        self.ready_at = 0.0
        self.servers, self.asked = {}, True
        self.term = 0
        self.ended = dict.fromkeys(GATEWAYS)
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
        self.ended[gateway] = self.now if count else self.ended[gateway]

    def wake(self, count=1):
        self.revision = replace(self.revision, replicas=count)
        self.linger(count)
        self.answers, self.ready_at = True, self.now

    def linger(self, count=1):
        """Replicas are there, wanted or not, and do not answer yet."""
        self.answers = False
        self.there = tuple(
            Replica(
                name=name,
                phase=Phase.LOADING,
                since=self.now,
                template="t1",
                address="127.1.0.1",
                gpus=1,
                started=self.now,
            )
            for name in NAMES[:count]
        )

    def sleep(self):
        self.revision = replace(self.revision, replicas=0)
        self.there = ()

    def say(self, answer):
        """What the first server says from now on, asked at every look."""
        self.servers = {R: ServerSeen(at=self.now, **answer) if answer else UNKNOWN}
        self.asked = True

    def sight(self):
        said = self.servers.get(R)
        if self.asked and isinstance(said, ServerSeen):
            self.servers = {R: replace(said, at=self.now)}
        fleet = Fleet(
            revisions={self.revision.name: self.revision},
            replicas={self.revision.name: self.there} if self.there else {},
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
        return Sight(
            fleet=fleet,
            received=received,
            members=self.members,
            servers=dict(self.servers),
            now=self.now,
            term=self.term,
        )

    def _told(self, name):
        waiting_s, arrivals, completions, service_s = self.counted[name]
        age, ended = self.now - 0.25 - self.ready_at, self.ended[name]
        here = self.there if self.answers else ()
        seats = tuple(
            ReplicaSample(
                name=one.name, running=0, busy_s=0.0, slots=2, ready_for=age, ready_after=2.0
            )
            for one in here
        )
        since = [*([] if ended is None else [ended]), *([self.ready_at] if here else [])]
        idle_for = self.now - 0.25 - max(since) if since and not self.waiting[name] else None
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
            idle_for=idle_for,
            replicas=seats,
        )


def answer(case):
    decision = case.decision
    return decision.before, decision.after, decision.reason, decision.message


def reads(case, now):
    """All that later answers depend on."""
    memory = case.decision.memory
    wishes, ago = memory.wishes, now - memory.delay()
    return (
        memory.flow.rates(12.0),
        memory.flow.rates(3.0),
        memory.meter,
        memory.panic,
        memory.trial,
        (wishes.at(now), wishes.highest(ago), wishes.covers(ago)),
        {name: (track.completions, track.bypassed) for name, track in memory.servers.items()},
        memory.slots,
        memory.ready_after,
        [memory.queue.at(now - ago) for ago in (0.0, 1.0, 3.0, 5.0)],
    )


GATEWAY = st.sampled_from(GATEWAYS)
ANSWERS = st.sampled_from(
    [
        {"pending": 0, "gpu_use": 0.0},
        {"pending": 3},
        {"gpu_use": 0.9},
        {"pending": 0, "completions": 7, "compute_s": 2.0},
        {"pending": 0, "completions": 9, "compute_s": 4.0},
        None,
    ]
)
STEPS = st.lists(
    st.tuples(
        st.one_of(
            st.tuples(st.just("arrive"), GATEWAY, st.integers(1, 5)),
            st.tuples(st.just("finish"), GATEWAY),
            st.tuples(st.just("wake"), st.integers(1, 3)),
            st.tuples(st.just("sleep")),
            st.tuples(st.just("linger"), st.integers(1, 3)),
            st.tuples(st.just("give_up"), GATEWAY, st.integers(1, 5)),
            st.tuples(st.sampled_from(["swap", "silence", "join", "leave"]), GATEWAY),
            st.tuples(st.just("say"), ANSWERS),
            st.tuples(st.sampled_from(["unasked", "stands", "lead", "settle"])),
        ),
        st.sampled_from([1, 1, 2, 15]),
    ),
    max_size=10,
)
"""Deeds, and how many looks follow each."""
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "min_replicas": st.integers(0, 2),
        "max_replicas": st.integers(1, 3),
        "keep_alive": st.sampled_from([None, 1.0, 5.0, 300.0]),
        "mode": st.sampled_from(Mode),
        "pinned": st.booleans(),
    },
)


def play(scene, step):
    """Do one step."""
    match step:
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
        case ("stands",):
            scene.asked = False
        case ("unasked",):
            scene.servers = {}
        case ("lead",):
            scene.term += 1
        case ("settle",):
            settled = not scene.revision.settled
            scene.revision = replace(scene.revision, settled=settled)
        case (what, *arguments):
            getattr(scene, what)(*arguments)


@given(st.sampled_from([0, 0, 1, 3]), STEPS, POLICIES, st.sampled_from([0.3, 1.0, 2.0]))
@settings(max_examples=150)
def test_a_rest_changes_no_answer_and_no_reading(count, steps, policy, tick):
    scene, short = Scene(**policy), Settings(stable_window=12.0, panic_window=3.0)
    lazy, eager = Minds(short, 0.0), Eager(short, 0.0)
    begin = ("wake", count) if count else ("sleep",)
    for step, looks in [(begin, 3), *steps, (("arrive", GATEWAYS[0], 2), 2)]:
        play(scene, step)
        for _ in range(looks):
            scene.pass_by(tick)
            sight = scene.sight()
            found = [case for case in lazy.decide(sight) if case is not None]
            (every,) = (case for case in eager.decide(sight) if case is not None)
            resting = list(lazy.resting(sight))
            for case in (*found, *resting):
                assert answer(case) == answer(every)
                assert case.footing == every.footing
            for case in resting:
                shown = case.decision.inputs["idle_s"]
                assert shown == pytest.approx(every.decision.inputs["idle_s"])
                assert not case.demands
                assert case.seen.idle_since == pytest.approx(every.seen.idle_since)
            for case in found:
                assert reads(case, scene.now) == reads(every, scene.now)
            if not (found or resting):
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


def calm():
    """A case that rests until its keep-alive is over, and when."""
    policy = {"keep_alive": 300.0, "min_replicas": 2, "max_replicas": 3}
    scene, minds = Scene(**policy), Minds(Settings(stable_window=12.0), 0.0)
    scene.wake(2)
    for _ in range(20):
        scene.pass_by(2.0)
        list(minds.decide(scene.sight()))
    (case,) = minds.resting(scene.sight())
    return case, scene.now


def remembers(case, **changes):
    memory = replace(case.decision.memory, **changes)
    return replace(case, decision=replace(case.decision, memory=memory))


def sees(case, **changes):
    return replace(case, seen=replace(case.seen, **changes))


def server_says(case, answer):
    members = tuple(replace(member, server=answer) for member in case.seen.members)
    return sees(case, members=members)


def bypassed(case):
    track = ServerTrack(
        at=1.0, completions=3, since=1.0, looks=2, compute=Window(span=12.0), bypassed=True
    )
    return remembers(case, servers={R: track})


@pytest.mark.parametrize(
    "change",
    [
        lambda case: remembers(case, panic=Panic(over_at=100.0, highest=2)),
        lambda case: remembers(case, trial=Trial(base=1)),
        lambda case: remembers(case, flow=Window(span=12.0)),
        lambda case: remembers(case, flow=case.decision.memory.flow.add(1e6, (1.0, 1, 1, 1.0))),
        lambda case: remembers(case, use=Steps(span=6.0, points=((139.0, 0.9), (140.0, 0.0)))),
        bypassed,
        lambda case: server_says(case, ServerSeen(at=140.0, pending=1)),
        lambda case: replace(case, footing=replace(case.footing, settled=False)),
        lambda case: replace(case, footing=replace(case.footing, sure=False)),
        lambda case: replace(case, footing=replace(case.footing, behind=True)),
        lambda case: replace(case, promised=True),
        lambda case: replace(
            case, revision=replace(case.revision, drain=Drain(number=1, replicas=frozenset({R})))
        ),
        lambda case: replace(case, decision=replace(case.decision, after=1)),
        lambda case: replace(case, decision=replace(case.decision, reason=Reason.GPU_BUSY)),
        lambda case: sees(case, load=UNKNOWN),
        lambda case: sees(case, load=replace(case.seen.load, waiting=1)),
        lambda case: sees(case, load=replace(case.seen.load, opening=True)),
        lambda case: sees(case, blocked="it fails"),
        lambda case: sees(case, members=case.seen.members[:1]),
    ],
)
def test_what_lets_no_awake_model_rest(change):
    case, now = calm()
    assert rests_until(case, now) == pytest.approx(case.seen.idle_since + 300.0)
    assert rests_until(change(case), now) == now

"""Slots among gateways that come, go and start anew, under leaders that change, over a bus that
delays and loses: a replica never gets more than it has room for, but for newcomers' one each.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ebbtide.sharing.overbus import Turn
from fleet.messages import Allot, Held, Received, ReplicaSample, RevisionSample, Sample
from fleet.names import GatewayName, ReplicaName, RevisionName
from tests.fakes.adminview import sample
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.redis_processes import Process

A = RevisionName("default/a")
REPLICAS = (ReplicaName("r"), ReplicaName("s"))
NAMES = tuple(GatewayName(f"g{number}") for number in range(4))
ANY = st.integers(0, 7)


@dataclass
class Runner:
    """A gateway: goes by what it is told, and runs what it may."""

    process: Process
    slots: dict[ReplicaName, int] = field(default_factory=dict)
    running: dict[ReplicaName, int] = field(default_factory=lambda: dict.fromkeys(REPLICAS, 0))
    waiting: int = 0

    def share(self, replica: ReplicaName) -> int:
        return self.slots.get(replica, 1)

    def uses(self, replica: ReplicaName) -> int:
        return max(self.share(replica), self.running[replica])

    def work(self) -> None:
        for replica in REPLICAS:
            while self.waiting and self.running[replica] < self.share(replica):
                self.waiting -= 1
                self.running[replica] += 1

    def talk(self, redis: RedisMemory) -> None:
        self.process.outbox.publish(
            Sample(gateway=self.name, revisions={A: self.said()}), redis.now
        )
        self.process.round()
        for allot in self.process.allots:
            self.slots.update(allot.slots)
            self.hold(allot)
        self.process.allots.clear()
        self.work()

    def hold(self, allot: Allot) -> None:
        used = {name: self.uses(name) for name in REPLICAS}
        more = MappingProxyType({name: slots for name, slots in used.items() if slots > 1})
        self.process.outbox.hold(Held(number=allot.number, slots=more, leader=allot.leader))

    @property
    def name(self) -> GatewayName:
        return GatewayName(self.process.name or "")

    def said(self) -> RevisionSample:
        running = sum(self.running.values())
        return RevisionSample(
            **{
                **{n: getattr(sample(A), n) for n in RevisionSample.__slots__},
                "waiting": self.waiting,
                "running": running,
                "replicas": tuple(
                    ReplicaSample(
                        name=name, running=count, busy_s=0.0, slots=SLOTS[name], ready_for=9.0
                    )
                    for name, count in self.running.items()
                ),
            }
        )


SLOTS = {REPLICAS[0]: 7, REPLICAS[1]: 2}


class Leader:
    """An autoscaler's half of the bus, and the turn that it has."""

    def __init__(self, redis: RedisMemory, term: int, members: Collection[GatewayName]) -> None:
        self.process = Process(redis, life=f"leader{term}")
        self.process.reconnect()
        # It has listened for a while before it leads.
        self.process.round()
        self.process.round()
        self.turn: Turn | None = Turn(self, term, members, redis.now)

    def lead(self, term: int) -> str:
        return self.process.saying.lead(term).life

    def allot(self, gateway: GatewayName, allot: Allot) -> bool:
        assert self.process.saying.leading is not None
        self.process.saying.leading.told.allot(gateway, allot)
        return True

    def drop(
        self, replicas: Collection[ReplicaName] = (), gateways: Collection[GatewayName] = ()
    ) -> None:
        assert self.process.saying.leading is not None
        self.process.saying.leading.told.drop(replicas, gateways)

    def samples(self) -> Mapping[GatewayName, Received]:
        return self.process.hearing.received()

    def talk(self) -> None:
        self.process.round()
        for told in self.process.reported:
            if self.turn is not None:
                self.turn.take(told)
        self.process.reported.clear()


class Slots(RuleBasedStateMachine):
    @initialize(gateways=st.integers(1, 3))
    def begin(self, gateways: int) -> None:
        self.redis = RedisMemory()
        self.lives = 0
        self.gateways: dict[GatewayName, Runner] = {}
        for name in NAMES[:gateways]:
            self.gateways[name] = self.runner(name)
        self.leader = Leader(self.redis, 1, set(self.gateways))
        self.late: list[Leader] = []
        self.term = 1
        self.newcomers = 0

    def runner(self, name: GatewayName) -> Runner:
        self.lives += 1
        return Runner(Process(self.redis, name=name, life=f"life{self.lives}"))

    def one(self, number: int) -> Runner:
        return list(self.gateways.values())[number % len(self.gateways)]

    @rule(which=ANY, waiting=st.integers(0, 12))
    def arrive(self, which: int, waiting: int) -> None:
        one = self.one(which)
        one.waiting = waiting
        one.work()

    @rule(which=ANY, replica=st.sampled_from(REPLICAS), count=st.integers(1, 7))
    def finish(self, which: int, replica: ReplicaName, count: int) -> None:
        one = self.one(which)
        one.running[replica] = max(0, one.running[replica] - count)
        one.work()

    @rule(which=ANY)
    def gateway_talks(self, which: int) -> None:
        self.one(which).talk(self.redis)

    @rule()
    def leader_talks(self) -> None:
        self.leader.talk()

    @rule()
    def all_talk(self) -> None:
        for one in self.gateways.values():
            one.talk(self.redis)
        self.leader.talk()
        self.redis.now += 1.0

    @rule()
    def another_leads(self) -> None:
        self.leader.turn = None
        self.late.append(self.leader)
        self.term += 1
        self.leader = Leader(self.redis, self.term, set(self.gateways))

    @rule()
    def what_a_former_leader_said_comes_late(self) -> None:
        while self.late:
            self.late.pop().process.round()

    @rule()
    def a_leader_sees_who_is_there(self) -> None:
        assert self.leader.turn is not None
        self.leader.turn.meet(set(self.gateways))

    @rule()
    def join(self) -> None:
        new = [name for name in NAMES if name not in self.gateways]
        if new:
            self.newcomers += 1
            self.gateways[new[0]] = self.runner(new[0])

    @rule(which=ANY)
    def die(self, which: int) -> None:
        if len(self.gateways) > 1:
            gone = self.one(which).name
            del self.gateways[gone]
            # Its pod is gone, and what it is called never comes again: see who is a member.
            self.a_leader_sees_who_is_there()

    @rule(which=ANY)
    def start_anew(self, which: int) -> None:
        name = self.one(which).name
        self.gateways[name] = self.runner(name)

    @rule()
    def forget(self) -> None:
        self.redis.forget()
        self.late.clear()

    @rule(which=ANY)
    def reconnect(self, which: int) -> None:
        self.one(which).process.reconnect()

    @rule()
    def leader_reconnects(self) -> None:
        self.leader.process.reconnect()

    @invariant()
    def no_replica_gets_more_than_it_has_room_for(self) -> None:
        if not hasattr(self, "gateways"):
            return
        over = 0
        for replica, total in SLOTS.items():
            used = sum(one.uses(replica) for one in self.gateways.values())
            over = max(over, used - max(total, len(self.gateways)))
        assert over <= self.newcomers
        if over <= 0 and self.room_is_made():
            self.newcomers = 0

    def room_is_made(self) -> bool:
        """Whether the leader knows all newcomers, and nobody may use what they need."""
        assert self.leader.turn is not None
        sharing = self.leader.turn.sharing
        members = sharing.members()
        return members == set(self.gateways) and all(
            sum(sharing.held_by(name, replica) for name in members) <= max(total, len(members))
            for replica, total in SLOTS.items()
        )

    @rule()
    def in_the_end_everything_is_used(self) -> None:
        self.a_leader_sees_who_is_there()
        for one in self.gateways.values():
            one.waiting = 0
            one.running = dict.fromkeys(REPLICAS, 0)
        for _ in range(8):
            self.all_talk()
        for replica, total in SLOTS.items():
            shares = [one.share(replica) for one in self.gateways.values()]
            assert sum(shares) == max(total, len(shares)), shares
            assert min(shares) >= 1


TestSlots = Slots.TestCase
TestSlots.settings = settings(max_examples=40, stateful_step_count=40)

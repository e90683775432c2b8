"""What one process says, another has in the end: whatever Redis loses, refuses or forgets."""

from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fleet.messages import Allot, CostReport, DecisionReport, Entry, Held, Look, Looked
from fleet.names import GatewayName, ModelName, ReplicaName, RevisionName
from fleet.reasons import Reason
from tests.core.test_sample_news import DEEDS, GATEWAY, Gateway, ageless, ages
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.redis_processes import Process

SLOTS = st.dictionaries(st.sampled_from("rst").map(ReplicaName), st.integers(2, 9), max_size=3)
AHEAD = 1e9
"""Of the leader's Unix time, before its clock."""
KEYS = st.sampled_from([b"ebbtide:gateway:g", b"ebbtide:leader:1", b"ebbtide:logs"])


class Reporter:
    """An autoscaler, as it is asked for what to show."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.reports: dict[RevisionName, DecisionReport] = {}
        self.bill = CostReport(currency="USD", seconds=0.0, lines=())
        self.at = self.decided = process.now
        """Of the last look, and of the last one that decided something."""

    def decisions(self) -> list[DecisionReport]:
        return list(self.reports.values())

    def held_at(self) -> float:
        return self.at

    def decided_at(self) -> float:
        return self.at + AHEAD

    def cost(self) -> CostReport:
        return self.bill

    def decide(self, name: str, after: int) -> None:
        self.look()
        self.decided = self.at
        revision = RevisionName(name)
        self.reports[revision] = DecisionReport(
            revision=revision,
            at=self.decided_at(),
            before=0,
            after=after,
            reason=Reason.DEMAND,
            inputs={"idle_s": 5.0 if after else None},
        )

    def look(self) -> None:
        self.at = self.process.now


class Conversation(RuleBasedStateMachine):
    """A gateway and a leader, whose clocks have nothing to do with each other's."""

    @initialize(ahead=st.floats(-1e6, 1e6))
    def begin(self, ahead: float) -> None:
        self.redis = RedisMemory()
        self.gateway = Process(self.redis, name=GATEWAY, life="one", ahead=ahead)
        self.leader = Process(self.redis, life="two", ahead=-ahead / 3)
        self.leading = self.leader.saying.lead(1)
        self.reporter = self.leader.saying.reporter = Reporter(self.leader)
        self.models = Gateway()
        self.held = Held(number=0, slots=MappingProxyType({}))
        self.shares: dict[ReplicaName, int] = {}
        self.number = 0
        self.looked: Looked | None = None
        self.lines = 0
        self.published_at: float | None = None

    @rule(deed=DEEDS)
    def do(self, deed: tuple[str, str]) -> None:
        self.models.now = self.redis.now
        self.models.does(*deed)

    @rule()
    def publish(self) -> None:
        # Talking takes its time, too.
        self.published_at = self.models.now = self.redis.now
        self.gateway.outbox.publish(self.models.sample(), self.gateway.now)

    @rule(slots=SLOTS)
    def hold(self, slots: dict[ReplicaName, int]) -> None:
        held = Held(number=self.number, slots=MappingProxyType(slots))
        self.held = held
        self.gateway.outbox.hold(held)

    @rule()
    def append(self) -> None:
        self.lines += 1
        entry = Entry(
            at=float(self.lines), revision=RevisionName("a"), model=ModelName("m"), event="woken"
        )
        self.gateway.outbox.append(entry)

    @rule(name=st.sampled_from("abc"), after=st.integers(0, 3))
    def decide(self, name: str, after: int) -> None:
        self.reporter.decide(name, after)

    @rule(name=st.sampled_from("abc"))
    def undecide(self, name: str) -> None:
        self.reporter.reports.pop(RevisionName(name), None)

    @rule()
    def all_stands(self) -> None:
        self.reporter.look()

    @rule()
    def look(self) -> None:
        self.number += 1
        self.looked = Looked(look=Look(term=1, number=self.number), at=self.leader.now)
        self.leading.told.looked(self.looked)

    @rule(slots=SLOTS)
    def allot(self, slots: dict[ReplicaName, int]) -> None:
        self.number += 1
        self.shares.update(slots)
        told = Allot(number=self.number, slots=MappingProxyType(slots))
        self.leading.told.allot(GATEWAY, told)
        self.leading.told.allot(GatewayName("other"), told)

    @rule(replica=st.sampled_from("rst"))
    def drop(self, replica: str) -> None:
        self.shares.pop(ReplicaName(replica), None)
        self.leading.told.drop([ReplicaName(replica)])

    # What may go wrong.

    @rule(seconds=st.floats(0.0, 4.0))
    def wait(self, seconds: float) -> None:
        self.redis.now += seconds

    @rule(beat=st.booleans())
    def gateway_talks(self, beat: bool) -> None:
        self.gateway.round(beat=beat)

    @rule(beat=st.booleans())
    def leader_talks(self, beat: bool) -> None:
        self.leader.round(beat=beat)

    @rule()
    def forget(self) -> None:
        self.redis.forget()

    @rule(key=KEYS)
    def lose(self, key: bytes) -> None:
        self.redis.lose(key)

    @rule(full=st.booleans())
    def fill(self, full: bool) -> None:
        self.redis.full = full

    @rule()
    def gateway_reconnects(self) -> None:
        self.gateway.reconnect()

    @rule()
    def leader_reconnects(self) -> None:
        self.leader.reconnect()

    @invariant()
    def nothing_is_made_up(self) -> None:
        if not hasattr(self, "gateway"):
            return
        assert not self.gateway.dropped + self.leader.dropped
        numbers = [entry.at for entry in self.leader.hearing.journal.tail(1000)]
        assert numbers == sorted(set(numbers))
        received = self.leader.hearing.received().get(GATEWAY)
        if received is not None:
            assert received.at + self.leader.ahead <= self.redis.now + 1e-3

    @rule()
    def all_is_had_in_the_end(self) -> None:
        self.redis.full = False
        if self.published_at is not None:
            # What is new in its number alone goes with the next sample.
            self.publish()
        for _ in range(3):
            self.redis.now += 1.0
            self.gateway.round()
            self.leader.round()
        self.gateway.round()
        self._check_gateway()
        self._check_leader()

    def _check_gateway(self) -> None:
        said, received = self.gateway.outbox.sample, self.leader.hearing.received().get(GATEWAY)
        assert (said is None) == (received is None)
        if said is None or received is None:
            return
        assert self.published_at == pytest.approx(received.at + self.leader.ahead, abs=1e-3)
        assert received.sample.revisions.keys() == said.revisions.keys()
        for name, one in said.revisions.items():
            had = received.sample.revisions[name]
            assert ageless(had) == ageless(one)
            assert ages(had) == pytest.approx(ages(one), abs=1e-3)
        if self.gateway.outbox.held is not None:
            helds = [one.held for one in self.leader.reported if one.held is not None]
            assert helds[-1] == self.held

    def _check_leader(self) -> None:
        leader = self.gateway.hearing.leader()
        assert leader is not None
        if self.looked is not None:
            assert leader.looked is not None
            assert leader.looked.look == self.looked.look
            at = leader.looked.at + self.gateway.ahead
            assert at == pytest.approx(self.looked.at + self.leader.ahead, abs=1e-3)
        assert {*leader.revisions()} == {*self.reporter.reports}
        for name, report in self.reporter.reports.items():
            found = leader.decision(name)
            assert found is not None
            at = found.at + self.gateway.ahead - self.leader.ahead
            stood = report.later(at + AHEAD - report.at, at=0.0)
            shown, idle = found.inputs["idle_s"], stood.inputs["idle_s"]
            assert shown == (None if idle is None else pytest.approx(idle, abs=1e-3))
            assert replace(found, at=0.0, inputs={}) == replace(stood, inputs={})
            assert self.reporter.decided - 1e-3 <= at <= self.reporter.at + 1e-3
        had: dict[ReplicaName, int] = {}
        for allot in self.gateway.allots:
            had.update(allot.slots)
        assert {name: slots for name, slots in had.items() if slots > 1} == self.shares


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=25, stateful_step_count=30)

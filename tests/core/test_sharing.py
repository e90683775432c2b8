"""Who is told which share, and when."""

from dataclasses import replace
from types import MappingProxyType

from ebbtide.sharing.sharing import Sharing
from fleet.messages import Allot, Held, ReplicaSample, RevisionSample
from fleet.names import GatewayName, ReplicaName, RevisionName
from tests.fakes.adminview import sample

ONE, TWO = GatewayName("up-1"), GatewayName("up-2")
A, R = RevisionName("default/a"), ReplicaName("r")


class Rig:
    """Two members that take over at once what they are told, unless they are deaf."""

    def __init__(self) -> None:
        self.sharing = Sharing([ONE, TWO], self)
        self.shares = {ONE: 1, TWO: 1}
        self.told: list[tuple[GatewayName, int]] = []
        self.dropped: list[ReplicaName] = []
        self.deaf: set[GatewayName] = set()
        self.away: set[GatewayName] = set()
        self.running = {ONE: 0, TWO: 0}
        self.waiting = {ONE: 0, TWO: 0}
        self._later: list[tuple[GatewayName, Allot]] = []

    def drop(self, replicas) -> None:
        self.dropped += replicas

    def tell(self, member: GatewayName, allot: Allot) -> bool:
        if member in self.away:
            return False
        (share,) = allot.slots.values()
        self.told.append((member, share))
        self._later.append((member, allot))
        return True

    def sample(self, member: GatewayName) -> RevisionSample:
        replica = ReplicaSample(
            name=R, running=self.running[member], busy_s=0.0, slots=8, ready_for=5.0
        )
        made = sample(A, waiting=self.waiting[member], running=self.running[member])
        return replace(made, replicas=(replica,))

    def report(self) -> None:
        for member in (ONE, TWO):
            self.sharing.report_all(member, {A: self.sample(member)})
        self.settle()

    def settle(self) -> None:
        while self._later:
            member, allot = self._later.pop(0)
            if member in self.deaf:
                continue
            self.shares[member] = allot.slots[R]
            held = max(self.shares[member], self.running[member])
            told = Held(number=allot.number, slots=MappingProxyType({R: held}))
            self.sharing.held(member, told)


def test_slots_are_halved_follow_the_demand_and_then_stay():
    rig = Rig()
    rig.report()
    assert rig.shares == {ONE: 4, TWO: 4}
    rig.waiting[ONE] = 20
    rig.report()
    assert rig.shares == {ONE: 7, TWO: 1}
    rig.waiting[ONE] = 0
    count = len(rig.told)
    rig.report()
    rig.report()
    assert len(rig.told) == count, "nobody asks for more"


def test_one_that_lacks_slots_is_given_them_without_waiting_for_the_next_report():
    rig = Rig()
    rig.report()
    rig.waiting[TWO] = 9
    rig.sharing.report(TWO, {A: rig.sample(TWO)})
    rig.settle()
    assert rig.shares == {ONE: 1, TWO: 7}


def test_what_one_still_runs_is_not_given_away():
    rig = Rig()
    rig.waiting[ONE] = 20
    rig.report()
    rig.running[ONE], rig.waiting = 7, {ONE: 0, TWO: 20}
    rig.report()
    assert rig.shares == {ONE: 4, TWO: 1}
    rig.running[ONE] = 5
    rig.sharing.held(ONE, Held(number=99, slots={R: 5}))
    rig.settle()
    assert rig.shares == {ONE: 4, TWO: 3}


def test_one_that_does_not_answer_keeps_what_it_has():
    rig = Rig()
    rig.report()
    rig.deaf.add(ONE)
    rig.waiting[TWO] = 20
    rig.report()
    assert rig.shares == {ONE: 4, TWO: 4}


def test_a_member_that_is_gone_gives_its_slots_back_but_one():
    rig = Rig()
    rig.report()
    rig.sharing.forget(ONE)
    rig.waiting[TWO] = 20
    rig.sharing.report(TWO, {A: rig.sample(TWO)})
    rig.settle()
    assert rig.shares[TWO] == 7


def test_one_that_comes_back_is_told_its_share_though_it_changed_while_nobody_was_there():
    rig = Rig()
    rig.report()
    rig.sharing.forget(ONE)
    rig.away.add(ONE)
    rig.shares[ONE] = 1
    rig.sharing.report_all(TWO, {A: rig.sample(TWO)})
    rig.settle()
    rig.away.clear()
    rig.waiting[ONE] = 20
    rig.report()
    assert rig.shares == {ONE: 7, TWO: 1}


def test_a_revision_that_is_gone_is_forgotten_once_nobody_uses_it():
    rig = Rig()
    rig.report()
    for member in (ONE, TWO):
        rig.sharing.report_all(member, {})
    assert not rig.sharing._samples
    assert rig.sharing._holders, "what was told may still be used"
    for member in (ONE, TWO):
        rig.sharing.held(member, Held(number=99, slots={}))
    assert rig.dropped == [R]
    assert not rig.sharing._holders
    assert not rig.sharing._gone


def test_a_replica_that_is_known_again_is_not_shared_out_as_if_nobody_used_it():
    rig = Rig()
    rig.waiting[ONE] = 20
    rig.report()
    assert rig.shares == {ONE: 7, TWO: 1}
    for member in (ONE, TWO):
        rig.sharing.report_all(member, {})
    rig.deaf.add(ONE)
    rig.waiting = {ONE: 0, TWO: 20}
    rig.report()
    assert rig.shares == {ONE: 7, TWO: 1}

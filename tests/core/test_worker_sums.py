"""What workers tell, added up: counters never fall, gauges are those of the living."""

from dataclasses import replace

from ebbtide.workers.messages import LineReport, Report
from ebbtide.workers.retiring import Retired, Seen
from ebbtide.workers.sums import Totals, added_samples
from fleet.messages import ReplicaSample
from fleet.model import Drain, Fleet, Phase, Replica
from fleet.names import ReplicaName, RevisionName
from fleet.reasons import Reason
from fleet.starts import Failure
from gateway.core.sums import figures
from gateway.core.tally import Tally
from tests.fakes.adminview import sample
from tests.fakes.cluster import revision

A = RevisionName("default/a")
R = ReplicaName("r")


def report(requests: int = 0, *, others: int = 0, **line) -> Report:
    tally, other = Tally(), Tally()
    for _ in range(requests):
        tally.count(200)
    for _ in range(others):
        other.count(404)
    made = {
        "phase": Phase.READY,
        "cold_starts": 0,
        "last_cold_start_s": None,
        "cold_start_phases": {},
        "last_failure": None,
        **line,
    }
    return Report(tallies={A: figures(tally)}, other=figures(other), lines={A: LineReport(**made)})


def line(totals: Totals, *samples, fleet: Fleet | None = None):
    return totals.line(A, fleet or Fleet(), samples or [sample(A)])


def test_a_newer_report_replaces_the_workers_older_one_and_workers_are_added_up():
    totals = Totals()
    one, two = totals.begin(), totals.begin()
    totals.take(one, report(3, others=1))
    totals.take(two, report(4))
    totals.take(one, report(5, others=2))
    assert totals.tally(A).codes == {200: 9}
    assert totals.tally(None).codes == {404: 2}


def test_what_an_ended_worker_counted_stays_and_its_successor_begins_at_nothing():
    totals = Totals()
    one, two = totals.begin(), totals.begin()
    totals.take(one, report(3, others=1, cold_starts=2, last_cold_start_s=1.5))
    totals.take(two, report(4, cold_starts=1))
    totals.end(one)
    assert totals.tally(A).codes == {200: 7}
    assert line(totals).cold_starts == 3
    three = totals.begin()
    totals.take(three, report(1))
    totals.end(three)
    assert totals.tally(A).codes == {200: 8}
    assert totals.tally(None).codes == {404: 1}
    assert line(totals).cold_starts == 3


def test_the_past_of_a_revision_that_is_gone_is_forgotten():
    totals = Totals()
    one = totals.begin()
    totals.take(one, report(3, cold_starts=1))
    totals.end(one)
    totals.keep([RevisionName("default/b")])
    assert totals.tally(A).codes == {}
    assert line(totals).cold_starts == 0


def test_the_newest_cold_start_is_shown_and_the_newest_failure():
    totals = Totals()
    one, two = totals.begin(), totals.begin()
    older, newer = (
        Failure(replica=R, reason=Reason.EXITED, message=text, log=(), at=at)
        for text, at in (("older", 1.0), ("newer", 2.0))
    )
    totals.take(
        one,
        report(last_cold_start_s=1.0, cold_start_phases={"load": 1.0}, last_failure=newer),
    )
    totals.take(
        two,
        report(last_cold_start_s=2.0, cold_start_phases={"load": 2.0}, last_failure=older),
    )
    # Says something else again, but nothing of its cold start.
    totals.take(
        one,
        report(9, last_cold_start_s=1.0, cold_start_phases={"load": 1.0}, last_failure=newer),
    )
    summed = line(totals)
    assert (summed.last_cold_start_s, summed.cold_start_phases) == (2.0, {"load": 2.0})
    assert summed.last_failure == newer


def ready(name: str, **changes) -> ReplicaSample:
    made = ReplicaSample(name=ReplicaName(name), running=1, busy_s=1.0, slots=4, ready_for=3.0)
    return replace(made, **changes)


def test_samples_are_added_up():
    one = sample(A, waiting=2, running=1, arrivals=5, oldest_wait=3.0, drained=2)
    two = sample(A, running=1, arrivals=1, oldest_wait=4.0, drained=1, longest_s=9.0)
    total = added_samples(
        A,
        [
            replace(one, replicas=(ready("r", ready_for=None), ready("s"))),
            replace(two, replicas=(ready("r", slots=8, running=2),)),
        ],
    )
    assert (total.waiting, total.running, total.arrivals) == (2, 2, 6)
    assert (total.oldest_wait, total.drained, total.longest_s) == (4.0, 1, 9.0)
    first, second = total.replicas
    assert (first.name, first.running, first.slots, first.ready_for) == ("r", 3, 8, 3.0)
    assert second == ready("s")


def test_it_is_idle_since_the_last_of_them_and_not_at_all_while_one_is_busy():
    assert added_samples(A, [sample(A, idle_for=5.0), sample(A, idle_for=3.0)]).idle_for == 3.0
    assert added_samples(A, [sample(A, idle_for=5.0), sample(A)]).idle_for == 5.0
    assert added_samples(A, [sample(A, idle_for=5.0), sample(A, running=1)]).idle_for is None
    assert added_samples(A, []).idle_for is None


def fleet_of(*phases: Phase, drain: Drain | None = None) -> Fleet:
    replicas = tuple(
        Replica(name=ReplicaName(f"r{n}"), phase=phase, since=0.0, template="t")
        for n, phase in enumerate(phases)
    )
    named = revision("a", drain=drain)
    return Fleet(number=4, revisions={A: named}, replicas={A: replicas})


def test_the_phase_is_that_of_the_replica_that_has_come_furthest():
    totals = Totals()
    totals.take(totals.begin(), report(phase=Phase.ASLEEP))
    answering = sample(A, replicas=(ready("r0"),))

    def phase(fleet: Fleet, one=answering) -> Phase:
        return line(totals, one, fleet=fleet).phase()

    assert phase(fleet_of(Phase.LOADING, Phase.PENDING)) is Phase.READY
    assert phase(fleet_of(Phase.LOADING), sample(A)) is Phase.LOADING
    assert phase(fleet_of(Phase.PENDING), sample(A)) is Phase.PENDING
    assert phase(fleet_of(Phase.DRAINING), sample(A)) is Phase.DRAINING
    assert phase(fleet_of(Phase.FAILED), sample(A)) is Phase.FAILED
    assert phase(fleet_of(), sample(A)) is Phase.ASLEEP
    marked = Drain(number=1, replicas=frozenset({ReplicaName("r0")}))
    assert phase(fleet_of(Phase.LOADING, drain=marked)) is Phase.DRAINING
    totals.take(totals.begin(), report(phase=Phase.FAILED))
    assert phase(fleet_of(), sample(A)) is Phase.FAILED


def test_a_worker_that_has_not_seen_that_a_replica_retires_may_still_use_it():
    retired, fleet = Retired(), fleet_of(Phase.DRAINING)
    name = ReplicaName("r0")
    early, told = Seen(3), Seen(4)
    assert retired.running(name, [told]) == 1, "nobody knows yet that it retires"
    retired.observe(fleet)
    assert retired.running(name, [early, told]) == 1
    told.running = {name: 5}
    assert retired.running(name, [told]) == 5
    told.running = {}
    early.number = 5
    retired.observe(replace(fleet, number=9))
    assert retired.running(name, [early, told]) == 0
    retired.observe(Fleet(number=10))
    retired.observe(replace(fleet, number=11))
    assert retired.running(name, [told]) == 1, "it retires anew"

"""When to wake, and what those who wait in vain are told."""

from types import MappingProxyType

import pytest

from activator.core import asks
from activator.core.asks import Ask, ask
from activator.core.eta import Eta
from activator.core.vacancy import Vacancy
from fleet.model import Fleet, GpuPool, Mode, Phase, Policy, Replica
from fleet.names import ReplicaName
from fleet.places import Places
from fleet.reasons import Reason
from tests.fakes.cluster import revision


def replica(phase: Phase) -> Replica:
    return Replica(name=ReplicaName(f"r-{phase.value}"), phase=phase, since=0.0, template="t1")


def fleet(rev, *phases: Phase, free: int = 1, others=()) -> Fleet:
    revisions = {rev.name: rev}
    replicas = {rev.name: tuple(replica(phase) for phase in phases)}
    for other, phase in others:
        revisions[other.name] = other
        replicas[other.name] = (replica(phase),)
    return Fleet(
        revisions=MappingProxyType(revisions),
        replicas=MappingProxyType(replicas),
        gpus=(GpuPool(name="gpu", total=2, free=free),),
    )


def hopeless(rev, world, *, blocked=False):
    return asks.hopeless(rev, world, blocked=blocked, possible=Places(world).possible(rev))


def in_vain(rev, world, *, ready):
    return asks.in_vain(rev, world, ready=ready, free=Places(world).most_free(rev))


PENDING_OTHER = (revision("other", replicas=1), Phase.PENDING)
PENDING_CPU = (revision("cpu", replicas=1, gpus=0), Phase.PENDING)


@pytest.mark.parametrize(
    ("changes", "phases", "free", "others", "expected"),
    [
        ({}, (), 1, (), Ask.WRITE),
        ({}, (), 0, (), Ask.POKE),
        ({"gpus": 0}, (), 0, (), Ask.WRITE),
        ({"gpus": 2}, (), 1, (), Ask.POKE),
        ({}, (), 1, (PENDING_OTHER,), Ask.POKE),
        ({}, (), 1, (PENDING_CPU,), Ask.WRITE),
        ({}, (Phase.DRAINING,), 1, (), Ask.WRITE),
        ({"replicas": 1}, (Phase.LOADING,), 1, (), Ask.NOTHING),
        ({"replicas": 1}, (Phase.PENDING,), 0, (), Ask.POKE),
        ({"policy": Policy(mode=Mode.OFF)}, (), 1, (), Ask.NOTHING),
        ({"policy": Policy(mode=Mode.ADVISE)}, (), 1, (), Ask.NOTHING),
        ({"policy": Policy(max_replicas=0)}, (), 1, (), Ask.NOTHING),
        ({"second_writer": "keda"}, (), 1, (), Ask.NOTHING),
        ({"second_writer": "keda", "replicas": 1}, (Phase.PENDING,), 0, (), Ask.NOTHING),
    ],
)
def test_ask(changes, phases, free, others, expected):
    rev = revision(**changes)
    world = fleet(rev, *phases, free=free, others=others)
    vacant = Vacancy().has(rev, world, gateways=1, now=0.0)
    assert ask(rev, world, waiting=1, blocked=False, vacant=vacant) is expected
    assert ask(rev, world, waiting=0, blocked=False, vacant=vacant) is Ask.NOTHING
    assert ask(rev, world, waiting=1, blocked=True, vacant=vacant) is Ask.NOTHING


def test_more_gpus_than_there_are_is_hopeless_at_once():
    rev = revision(gpus=3)
    assert hopeless(rev, fleet(rev, free=2), blocked=False) is Reason.NO_FREE_GPU
    assert hopeless(revision(gpus=2), fleet(rev, free=0), blocked=False) is None


@pytest.mark.parametrize(
    ("mode", "replicas", "phases", "expected"),
    [
        (Mode.AUTO, 0, (), None),
        (Mode.OFF, 0, (), Reason.ASLEEP),
        (Mode.ADVISE, 0, (Phase.DRAINING,), Reason.ASLEEP),
        (Mode.OFF, 1, (Phase.LOADING,), None),
        (Mode.OFF, 1, (), None),
    ],
)
def test_hopeless(mode, replicas, phases, expected):
    rev = revision(policy=Policy(mode=mode), replicas=replicas)
    assert hopeless(rev, fleet(rev, *phases), blocked=False) is expected
    assert hopeless(rev, fleet(rev, *phases), blocked=True) is Reason.START_FAILED


@pytest.mark.parametrize(
    ("replicas", "phases", "expected"),
    [(0, (), Reason.SECOND_WRITER), (0, (Phase.LOADING,), None), (1, (), None)],
)
def test_what_something_else_scales_cannot_be_woken(replicas, phases, expected):
    rev = revision(second_writer="HorizontalPodAutoscaler demo", replicas=replicas)
    assert hopeless(rev, fleet(rev, *phases), blocked=False) is expected


@pytest.mark.parametrize(
    ("ready", "phases", "free", "expected"),
    [
        (1, (), 0, Reason.WAIT_TIMEOUT),
        (0, (Phase.LOADING,), 0, Reason.WAIT_TIMEOUT),
        (0, (Phase.PENDING,), 0, Reason.NO_FREE_GPU),
        (0, (), 0, Reason.NO_FREE_GPU),
        (0, (), 1, Reason.WAIT_TIMEOUT),
    ],
)
def test_in_vain(ready, phases, free, expected):
    rev = revision()
    assert in_vain(rev, fleet(rev, *phases, free=free), ready=ready) is expected


def test_eta_is_what_nine_in_ten_starts_stay_within():
    eta = Eta()
    assert eta.retry_after(0.0) == 10.0
    for seconds in (5.0, 1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0, 30.0):
        eta.learn(seconds)
    assert eta.late == 9.0
    assert eta.retry_after(4.0) == 5.0
    assert eta.retry_after(100.0) == 1.0

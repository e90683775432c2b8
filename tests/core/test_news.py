"""What is told of Deployments beyond decisions: once each, and nothing of before this process."""

from types import MappingProxyType

from autoscaler.core.news import Known, ready_after, tell
from fleet.messages import Received, ReplicaSample, Sample
from fleet.model import Fleet, Phase, Problem, Replica
from fleet.names import GatewayName, ReplicaName
from tests.fakes.adminview import sample
from tests.fakes.cluster import revision

A, B = revision("a"), revision("b")


def fleet(*revisions, replicas=(), problems=()):
    return Fleet(
        revisions=MappingProxyType({one.name: one for one in revisions}),
        replicas=MappingProxyType({A.name: tuple(map(replica, replicas))} if replicas else {}),
        problems=tuple(problems),
    )


def replica(name):
    return Replica(name=ReplicaName(name), phase=Phase.LOADING, since=0.0, template="t")


def wrong(name="b", allowed="1 to 9", *, warning=False):
    return Problem(
        source="",
        deployment=f"default/{name}",
        key="k",
        value="v",
        allowed=allowed,
        warning=warning,
    )


def told(before, now, ready=MappingProxyType({})):
    known, news = tell(before, now, ready)
    return known, [(one.revision, one.event, one.message) for one in news]


def test_what_was_so_at_the_beginning_is_no_news():
    known, news = told(None, fleet(A, replicas=["a-1"]), {ReplicaName("a-1"): 3.0})
    assert news == []
    assert told(known, fleet(A, replicas=["a-1"]), {ReplicaName("a-1"): 3.0})[1] == []


def test_what_is_wrong_at_the_beginning_is_told_and_once():
    known, news = told(None, fleet(A, problems=[wrong(), wrong(warning=True, allowed="x")]))
    assert news == [("default/b", "refused", "k: 'v': 1 to 9")]
    known, news = told(known, fleet(A, problems=[wrong()]))
    assert news == []
    known, news = told(known, fleet(A, problems=[wrong(), wrong(allowed="other")]))
    assert news == [("default/b", "refused", "k: 'v': 1 to 9; k: 'v': other")]
    known, news = told(known, fleet(A))
    assert news == []
    assert told(known, fleet(A, problems=[wrong()]))[1] == [
        ("default/b", "refused", "k: 'v': 1 to 9")
    ]


def test_what_is_wrong_is_told_in_a_few_words_however_much_it_is():
    _, ((*_, said),) = told(Known(), fleet(problems=[wrong(allowed="x" * 100_000)]))
    assert 1000 < len(said) < 5000


def test_registered_is_told_whenever_it_becomes_so():
    known, _ = told(None, fleet(A))
    known, news = told(known, fleet(A, B))
    assert news == [("default/b", "registered", "as b")]
    known, _ = told(known, fleet(A))
    assert told(known, fleet(A, B))[1] == news


def test_a_replica_gets_ready_once_however_many_say_so_and_fall_silent():
    ready = {ReplicaName("a-1"): 12.34}
    known, _ = told(None, fleet(A, replicas=["a-1"]))
    known, news = told(known, fleet(A, replicas=["a-1"]), ready)
    assert news == [("default/a", "ready", "a-1 after 12.3 s")]
    known, news = told(known, fleet(A, replicas=["a-1"]))
    assert news == []
    known, news = told(known, fleet(A, replicas=["a-1"]), ready)
    assert news == []
    known, news = told(known, fleet(A), ready)
    assert (news, known.ready) == ([], frozenset())


def test_a_second_writer_is_told_with_who_it_is():
    known, _ = told(None, fleet(A))
    scaled = revision("a", second_writer="HorizontalPodAutoscaler x")
    known, news = told(known, fleet(scaled))
    assert news == [("default/a", "second_writer", "HorizontalPodAutoscaler x")]
    assert told(known, fleet(scaled))[1] == []


def test_the_time_to_ready_is_the_shortest_that_is_told():
    def heard(for_s, after_s):
        known = ReplicaSample(
            name=ReplicaName("a-1"),
            running=0,
            busy_s=0.0,
            slots=1,
            ready_for=for_s,
            ready_after=after_s,
        )
        told = sample(A.name, replicas=(known,))
        made = Sample(gateway=GatewayName("any"), revisions={A.name: told})
        return Received(sample=made, at=0.0)

    one, two = GatewayName("1"), GatewayName("2")
    assert ready_after({one: heard(None, None)}) == {}
    assert ready_after({one: heard(2.0, 5.0), two: heard(1.0, 4.0)}) == {"a-1": 4.0}
    assert ready_after({one: heard(2.0, None)}) == {}, "found ready: nobody knows since when"


def test_nothing_is_known_before_the_first_look():
    assert Known() == tell(None, Fleet(), {})[0]

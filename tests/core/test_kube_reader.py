"""A cluster read step by step: any order, any JSON, and as read anew."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from fleet.cluster.kubernetes.drainmark import write_mark
from fleet.cluster.kubernetes.objects import Kind, Objects, trim
from fleet.cluster.kubernetes.snapshot import Reader, read_fleet
from fleet.kubernetes.objects import Key, Object, key_of
from fleet.model import Fleet, Phase
from fleet.names import RevisionName
from fleet.reasons import Reason
from tests.core.anyjson import mangled
from tests.core.test_kube_snapshot import DEMO, NOW, OFFSET, only
from tests.fakes.kubeobjects import deployment, event, metadata, node, pod, replica_set, stamp


class Cluster:
    """Objects that change, read step by step."""

    def __init__(self) -> None:
        self.ahead = OFFSET
        self.reader = Reader(offset=lambda: self.ahead)
        self.objects: dict[Kind, dict[Key, Object]] = {kind: {} for kind in Kind}

    def put(self, kind: Kind, raw: Object) -> None:
        kept = trim(kind, raw)
        self.objects[kind].pop(key_of(raw), None)
        if kept is not None:
            self.objects[kind][key_of(raw)] = kept

    def drop(self, kind: Kind, raw: Object) -> None:
        self.objects[kind].pop(key_of(raw), None)

    def read(self, *, now: float = NOW, kinds: Iterable[Kind] = Kind) -> Fleet:
        for kind in kinds:
            self.reader.take(kind, self.objects[kind], now=now)
        return self.reader.read(now=now)

    def anew(self, *, now: float = NOW) -> Fleet:
        """The same objects, read by somebody who knows nothing yet."""
        return read_fleet(
            Objects(
                deployments=list(self.objects[Kind.DEPLOYMENT].values()),
                replica_sets=list(self.objects[Kind.REPLICA_SET].values()),
                pods=list(self.objects[Kind.POD].values()),
                nodes=list(self.objects[Kind.NODE].values()),
                events=list(self.objects[Kind.EVENT].values()),
                autoscalers=list(self.objects[Kind.AUTOSCALER].values()),
                scaled_objects=list(self.objects[Kind.SCALED_OBJECT].values()),
            ),
            now=now,
            offset=OFFSET,
        )


def test_while_nothing_changes_the_fleet_is_the_very_same() -> None:
    cluster = Cluster()
    demo = deployment()
    cluster.put(Kind.DEPLOYMENT, demo)
    cluster.put(Kind.POD, pod(replica_set(demo)))
    fleet = cluster.read()
    assert cluster.read() is fleet
    # An update that says nothing new to us is no change either.
    again = pod(replica_set(demo))
    again["status"]["hostIP"] = "192.0.2.1"
    cluster.put(Kind.POD, again)
    assert cluster.read(now=NOW + 60) is fleet
    again["metadata"]["labels"] = {}
    cluster.put(Kind.POD, pod(replica_set(demo), ip="10.0.0.9"))
    changed = cluster.read()
    assert changed.number == fleet.number + 1
    assert changed.revisions[DEMO] is fleet.revisions[DEMO]


def loaded(*more: tuple[Kind, Object]) -> tuple[Cluster, Object]:
    """A cluster with one pod that is starting, and the pod."""
    cluster, demo = Cluster(), deployment()
    made = pod(replica_set(demo), state={"waiting": {"reason": "ContainerCreating"}})
    for kind, raw in ((Kind.DEPLOYMENT, demo), (Kind.POD, made), (Kind.NODE, node()), *more):
        cluster.put(kind, raw)
    cluster.read()
    return cluster, made


def test_a_wall_clock_that_is_set_moves_what_is_read_from_then_on() -> None:
    cluster, demo = Cluster(), deployment()
    cluster.put(Kind.DEPLOYMENT, demo)
    cluster.read()
    # By another hour; pods made from now on have timestamps by that.
    cluster.ahead -= 3600
    cluster.put(Kind.POD, pod(replica_set(demo)))
    begun = only(cluster.read(now=NOW + 3600 + 100)).started
    assert begun is not None
    assert begun > NOW + 3000


def test_a_node_that_is_lost_is_told_of_what_runs_there() -> None:
    cluster, made = loaded()
    made["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": stamp(12)}}
    cluster.put(Kind.POD, made)
    assert only(cluster.read()).reason is Reason.STARTING
    cluster.put(Kind.NODE, node(ready=False))
    assert only(cluster.read()).reason is Reason.NODE_NOT_READY
    cluster.put(Kind.NODE, node())
    assert only(cluster.read()).reason is Reason.STARTING


def claimant(name: str, model: str, *, at: float) -> Object:
    return deployment(name, annotations={"model": model}, at=at)


def test_names_go_over_while_annotations_change() -> None:
    cluster = Cluster()
    claims = [claimant(name, "m", at=at) for at, name in enumerate("abc")]
    for each in claims:
        cluster.put(Kind.DEPLOYMENT, each)
    cluster.put(Kind.POD, pod(replica_set(claims[1])))
    fleet = cluster.read()
    assert list(fleet.revisions) == ["default/a"]
    assert [problem.deployment for problem in fleet.problems] == ["default/b", "default/c"]
    # One that is refused has no replicas: what its pods hold is not ours to count on.
    assert fleet.replicas == {}
    cluster.drop(Kind.DEPLOYMENT, claims[2])
    assert [problem.deployment for problem in cluster.read().problems] == ["default/b"]
    cluster.put(Kind.DEPLOYMENT, claimant("a", "another", at=0))
    fleet = cluster.read()
    assert list(fleet.revisions) == ["default/a", "default/b"]
    assert (len(fleet.replicas), fleet.problems) == (1, ())


def test_each_event_is_told_when_it_comes() -> None:
    cluster, made = loaded()
    for words in ("first", "second"):
        told = event(made, "FailedMount", words, name=words, at=20 + len(words))
        cluster.put(Kind.EVENT, told)
        assert only(cluster.read()).message == words
    cluster.drop(Kind.EVENT, told)
    assert only(cluster.read()).message == "first"


def test_a_set_that_comes_in_late_says_whose_its_pods_are() -> None:
    before = deployment("before")
    cluster, _ = loaded((Kind.DEPLOYMENT, before))
    assert cluster.read().of(RevisionName("default/before")) == ()
    own = replica_set(deployment())
    own["metadata"]["ownerReferences"] = replica_set(before)["metadata"]["ownerReferences"]
    cluster.put(Kind.REPLICA_SET, own)
    fleet = cluster.read()
    assert fleet.of(DEMO) == ()
    assert only(fleet, RevisionName("default/before")).name == "default/demo-7c9d-x1"


def test_the_replicas_of_one_that_is_gone_stay_until_their_pods_do() -> None:
    cluster = Cluster()
    demo = deployment()
    own = replica_set(demo)
    made = pod(own, deletionTimestamp=stamp(630))
    for kind, raw in ((Kind.DEPLOYMENT, demo), (Kind.REPLICA_SET, own), (Kind.POD, pod(own))):
        cluster.put(kind, raw)
    cluster.read()
    cluster.drop(Kind.DEPLOYMENT, demo)
    fleet = cluster.read()
    assert DEMO not in fleet.revisions
    assert only(fleet).phase is Phase.LOADING
    cluster.drop(Kind.REPLICA_SET, own)
    cluster.put(Kind.POD, made)
    assert only(cluster.read()).phase is Phase.DRAINING
    cluster.drop(Kind.POD, made)
    assert cluster.read().replicas == {}


def test_what_comes_in_out_of_order_finds_together() -> None:
    demo = deployment(replicas=2)
    own = replica_set(demo)
    here = pod(own, state={"waiting": {"reason": "ContainerCreating"}})
    about = event(here, "FailedMount", "no volume")
    everything = [
        (Kind.DEPLOYMENT, demo),
        (Kind.REPLICA_SET, own),
        (Kind.POD, here),
        (Kind.NODE, node()),
        (Kind.EVENT, about),
    ]
    fleets = []
    for order in permutations(everything):
        cluster = Cluster()
        for kind, raw in order:
            cluster.put(kind, raw)
            fleet = cluster.read()
        fleets.append(replace(fleet, number=0))
    assert fleets[0] == replace(cluster.anew(), number=0)
    assert only(fleets[0]).reason is Reason.FAILED_MOUNT
    assert all(fleet == fleets[0] for fleet in fleets)


NAMES = ("demo", "demo-7c9d", "other")
STATES: tuple[Object, ...] = (
    {"running": {"startedAt": stamp(12)}},
    {"waiting": {"reason": "ContainerCreating"}},
    {"waiting": {"reason": "CrashLoopBackOff"}},
    {"waiting": {"reason": "CreateContainerConfigError"}},
    {"terminated": {"exitCode": 1, "finishedAt": stamp(20)}},
)
LAST: Object = {"terminated": {"exitCode": 1, "finishedAt": stamp(15)}}


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, Kind, Object]:
    """One object put as it is now, or dropped."""
    name = draw(st.sampled_from(NAMES))
    model = draw(st.sampled_from([name, "same", "bad name"]))
    demo = deployment(
        name,
        annotations={"model": model},
        replicas=draw(st.integers(0, 2)),
        at=draw(st.integers(0, 2)),
        **draw(st.sampled_from([{}, {}, {"deletionTimestamp": stamp(50)}])),
    )
    if draw(st.booleans()):
        product = draw(st.sampled_from(["A100", "T4"]))
        selector = {"nodeSelector": {"nvidia.com/gpu.product": product}}
        demo["spec"]["template"]["spec"] |= selector
    own = replica_set(demo, draw(st.sampled_from(["7c9d", "8d0e"])))
    here = draw(st.sampled_from([None, "n1", "n2"]))
    made = pod(
        own,
        draw(st.sampled_from(["x1", "x2"])),
        node=here,
        state=draw(st.sampled_from(STATES)) if here else {},
        restarts=draw(st.integers(0, 1)),
        last=LAST,
        phase=draw(st.sampled_from([None, None, None, "Failed"])),
        **draw(st.sampled_from([{}, {}, {"deletionTimestamp": stamp(50)}])),
    )
    there = node(
        draw(st.sampled_from(["n1", "n2"])),
        draw(st.sampled_from(["0", "1", "4"])),
        product=draw(st.sampled_from(["A100", "T4"])),
        ready=draw(st.booleans()),
    )
    scaler = {"metadata": metadata("s"), "spec": {"scaleTargetRef": {"name": name}}}
    about = event(made, draw(st.sampled_from(["FailedMount", "Pulling"])), "words")
    kind, raw = draw(
        st.sampled_from(
            [
                (Kind.DEPLOYMENT, demo),
                (Kind.DEPLOYMENT, demo),
                (Kind.REPLICA_SET, own),
                (Kind.POD, made),
                (Kind.POD, made),
                (Kind.NODE, there),
                (Kind.EVENT, about),
                (Kind.SCALED_OBJECT, scaler),
            ]
        )
    )
    return draw(st.sampled_from(["put", "put", "put", "drop"])), kind, raw


def same(one: Fleet, other: Fleet) -> bool:
    """But for the replicas of those that are gone: only who has known them knows them."""
    gone = {*one.replicas, *other.replicas} - one.revisions.keys()
    kept = [{n: r for n, r in each.replicas.items() if n not in gone} for each in (one, other)]
    return kept[0] == kept[1] and replace(one, number=0, replicas={}) == replace(
        other, number=0, replicas={}
    )


@examples(max_examples=60, deadline=None)
@given(st.lists(changes(), min_size=1, max_size=14), st.data())
def test_read_step_by_step_it_is_as_read_anew(steps, data: st.DataObject) -> None:
    """Whatever happens in whatever order, and whether each change is looked at or not."""
    cluster = Cluster()
    for what, kind, raw in steps:
        getattr(cluster, what)(kind, raw)
        if data.draw(st.booleans()):
            cluster.read(kinds=[kind])
    assert same(cluster.read(), cluster.anew())
    # By the clock alone it becomes what it is later.
    later = NOW + 1000
    while cluster.reader.due is not None and cluster.reader.due <= later:
        cluster.read(now=cluster.reader.due)
    assert same(cluster.read(now=later), cluster.anew(now=later))


@examples(max_examples=60, deadline=None)
@given(st.lists(changes(), min_size=1, max_size=14), st.randoms())
def test_the_order_of_objects_does_not_matter(steps, random) -> None:
    cluster = Cluster()
    for what, kind, raw in steps:
        getattr(cluster, what)(kind, raw)
    before = cluster.anew()
    for kind, objects in cluster.objects.items():
        shuffled = list(objects.items())
        random.shuffle(shuffled)
        cluster.objects[kind] = dict(shuffled)
    assert cluster.anew() == before


def whole_cluster() -> dict[Kind, Object]:
    demo = deployment()
    demo["metadata"]["annotations"]["ebbtide.dev/draining"] = write_mark(1, ["x"], term=1)
    made = pod(replica_set(demo), last=LAST, restarts=1)
    scaler = {"metadata": metadata("s"), "spec": {"scaleTargetRef": {"name": "demo"}}}
    return {
        Kind.DEPLOYMENT: demo,
        Kind.REPLICA_SET: replica_set(demo),
        Kind.POD: made,
        Kind.NODE: node(spec={"taints": [{"key": "a", "effect": "NoSchedule"}]}),
        Kind.EVENT: event(made, "FailedMount", "no volume"),
        Kind.AUTOSCALER: scaler,
        Kind.SCALED_OBJECT: scaler,
    }


@examples(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_an_object_holds_nothing_raises(data: st.DataObject) -> None:
    cluster, sound = Cluster(), whole_cluster()
    kind = data.draw(st.sampled_from(list(Kind)))
    for each, raw in sound.items():
        cluster.put(each, data.draw(mangled(raw)) if each is kind else raw)
    assert same(cluster.read(), cluster.anew())
    for each, raw in sound.items():
        cluster.put(each, raw)
    fleet = cluster.read()
    cluster.reader.read(now=NOW + 10_000)
    assert fleet.number >= 1


def test_a_template_that_changes_for_ever_leaves_nothing_behind() -> None:
    cluster = Cluster()
    cluster.put(Kind.NODE, node())
    for number in range(20):
        made = deployment(pod={"nodeSelector": {"zone": str(number)}})
        cluster.put(Kind.DEPLOYMENT, made)
        assert cluster.read().revisions[DEMO].nodes == frozenset()
    assert len(cluster.reader._places.classes._found) == 1
    cluster.drop(Kind.DEPLOYMENT, made)
    cluster.read()
    assert not cluster.reader._places.classes._found


def test_of_very_many_events_about_one_pod_the_newest_are_kept() -> None:
    cluster = Cluster()
    made = deployment()
    set_ = replica_set(made)
    cluster.put(Kind.DEPLOYMENT, made)
    cluster.put(Kind.REPLICA_SET, set_)
    waiting = {"waiting": {"reason": "ContainerCreating"}}
    here = pod(set_, state=waiting)
    cluster.put(Kind.POD, here)
    mount = event(here, "FailedMount", "no such volume", at=60.0, name="mount")
    cluster.put(Kind.EVENT, mount)
    for number in range(1000):
        flood = event(here, "Pulling", f"{number}", at=20.0 + number / 100, name=f"e{number}")
        cluster.put(Kind.EVENT, flood)
        if number % 100 == 0:
            cluster.read(kinds=[Kind.EVENT])
    assert only(cluster.read()).message == "no such volume"
    (kept,) = cluster.reader._crews._events.values()
    assert len(kept) <= 64
    cluster.drop(Kind.EVENT, mount)
    assert only(cluster.read()).reason is Reason.PULLING_IMAGE
    cluster.objects[Kind.EVENT].clear()
    assert only(cluster.read()).reason is Reason.STARTING
    assert not cluster.reader._crews._events

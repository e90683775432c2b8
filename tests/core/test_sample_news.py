"""News of samples: each sample is had again at the other end, and models at rest are not told."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.aged import Aged, as_made
from fleet.channel.samples import SamplesHeard, SamplesTold, parts
from fleet.messages import ReplicaSample, RevisionSample, Sample
from fleet.names import GatewayName, ReplicaName, RevisionName
from tests.fakes.adminview import sample

GATEWAY = GatewayName("g")
SEAT = ReplicaSample(name=ReplicaName("r"), running=0, busy_s=0.0, slots=4, ready_for=1.0)


class Gateway:
    """A few models that are called, sleep, come and go; says what a hall would."""

    OWN = frozenset({"ended", "opened", "warming"})

    def __init__(self) -> None:
        self.now = 0.0
        self.models: dict[RevisionName, dict] = {}

    def does(self, what: str, name: str) -> None:
        model = self.models.setdefault(RevisionName(name), {"arrivals": 0, "completions": 0})
        match what:
            case "arrive":
                model["arrivals"] += 1
                model["waiting"] = model.get("waiting", 0) + 1
                model["waiting_s"] = model.get("waiting_s", 0.0) + 0.5
            case "leave" if model.get("waiting"):
                model["waiting"] = 0
                model["ended"] = self.now
            case "call":
                # Came and went between two samples.
                model["arrivals"] += 1
                model["completions"] += 1
                model["ended"] = self.now
            case "open":
                model["opened"] = self.now
            case "warm":
                model["warming"] = not model.get("warming", False)
            case "sleep":
                model.pop("opened", None)
            case "drain":
                model["drained"] = model.get("drained", 0) + 1
            case "go":
                del self.models[RevisionName(name)]

    def seats(self, model: dict) -> tuple[ReplicaSample, ...]:
        if "opened" not in model:
            return ()
        age, warming = self.now - model["opened"], model.get("warming", False)
        return (replace(SEAT, ready_for=age, ready_after=model["opened"], warming=warming),)

    def sample(self) -> Sample:
        made = {}
        for name, model in self.models.items():
            fields = {key: value for key, value in model.items() if key not in self.OWN}
            ended = None if model.get("waiting") else model.get("ended")
            idle = None if ended is None else self.now - ended
            made[name] = sample(name, idle_for=idle, replicas=self.seats(model), **fields)
        return Sample(gateway=GATEWAY, revisions=made)


DEEDS = st.tuples(
    st.sampled_from(["arrive", "leave", "call", "open", "warm", "sleep", "drain", "go", "no"]),
    st.sampled_from("abc"),
)


def ages(sample: RevisionSample) -> list[float | None]:
    return [sample.idle_for, *(one.ready_for for one in sample.replicas)]


def ageless(sample: RevisionSample) -> RevisionSample:
    replicas = tuple(replace(one, ready_for=None) for one in sample.replicas)
    return replace(sample, idle_for=None, replicas=replicas)


@given(st.lists(st.lists(DEEDS, max_size=3), max_size=12), st.integers(1, 3))
def test_every_sample_is_had_again_also_in_parts(seconds, most):
    gateway, told, heard, again = Gateway(), SamplesTold(), SamplesHeard(), None
    for deeds in seconds:
        for deed in deeds:
            gateway.does(*deed)
        whole = gateway.sample()
        known, news = {}, set()
        if again is not None:
            known = {name: as_made(again.revisions, name) for name in again.revisions}
        for part in parts(told.news(whole, gateway.now), most):
            assert len(part.revisions) <= most
            again = heard.take(part)
            news |= {*part.revisions, *part.gone}
        for name in known.keys() - news:
            assert as_made(again.revisions, name) is known[name], "what is not told is the same"
        assert as_made(again.revisions, RevisionName("nobody")) is None
        assert again.gateway == GATEWAY
        assert again.revisions.keys() == whole.revisions.keys()
        for name, one in whole.revisions.items():
            had = again.revisions[name]
            assert ages(had) == pytest.approx(ages(one))
            assert ageless(had) == ageless(one)
        gateway.now += 1.0


def test_models_that_nothing_happens_to_are_told_once_be_they_ready_or_not():
    gateway, told = Gateway(), SamplesTold()
    for name in "abcd":
        gateway.does("arrive", name)
        gateway.does("leave", name)
    gateway.does("open", "b")
    gateway.does("arrive", "d")
    assert set(told.news(gateway.sample(), 0.0).revisions) == set("abcd")
    gateway.now = 1.0
    assert set(told.news(gateway.sample(), 1.0).revisions) == {"d"}, "its wait gets longer"
    gateway.does("warm", "b")
    gateway.now = 2.0
    assert set(told.news(gateway.sample(), 2.0).revisions) == {"b", "d"}


def test_what_was_made_earlier_is_as_old_as_it_is_by_now():
    gateway = Gateway()
    gateway.does("open", "a")
    made = gateway.sample().revisions[RevisionName("a")]
    aged = Aged({RevisionName("a"): (made, 2.0)}, 5.5)
    assert ages(aged[RevisionName("a")]) == pytest.approx([None, *(3.5 for _ in made.replicas)])
    assert ageless(aged[RevisionName("a")]) == ageless(made)
    assert as_made(aged, RevisionName("a")) is made
    assert aged == {RevisionName("a"): aged[RevisionName("a")]}
    assert Aged({RevisionName("a"): (made, 5.5)}, 5.5)[RevisionName("a")] is made

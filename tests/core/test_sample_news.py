"""News of samples: each sample is had again at the other end, and models at rest are not told."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.channel.samples import SamplesHeard, SamplesTold
from fleet.messages import ReplicaSample, Sample
from fleet.names import GatewayName, ReplicaName, RevisionName
from tests.fakes.adminview import sample

GATEWAY = GatewayName("g")
SEAT = ReplicaSample(name=ReplicaName("r"), running=0, busy_s=0.0, slots=4, ready_for=1.0)


class Gateway:
    """A few models that are called, sleep, come and go; says what a hall would."""

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
                model["replicas"] = (SEAT,)
            case "sleep":
                model["replicas"] = ()
            case "drain":
                model["drained"] = model.get("drained", 0) + 1
            case "go":
                del self.models[RevisionName(name)]

    def sample(self) -> Sample:
        made = {}
        for name, model in self.models.items():
            fields = {key: value for key, value in model.items() if key != "ended"}
            ended = None if model.get("waiting") else model.get("ended")
            idle = None if ended is None else self.now - ended
            made[name] = sample(name, idle_for=idle, **fields)
        return Sample(gateway=GATEWAY, revisions=made)


DEEDS = st.tuples(
    st.sampled_from(["arrive", "leave", "call", "open", "sleep", "drain", "go", "nothing"]),
    st.sampled_from("abc"),
)


@given(st.lists(st.lists(DEEDS, max_size=3), max_size=12))
def test_every_sample_is_had_again(seconds):
    gateway, told, heard = Gateway(), SamplesTold(), SamplesHeard()
    for deeds in seconds:
        for deed in deeds:
            gateway.does(*deed)
        whole = gateway.sample()
        again = heard.take(told.news(whole, gateway.now))
        assert again.gateway == GATEWAY
        assert again.revisions.keys() == whole.revisions.keys()
        for name, one in whole.revisions.items():
            had = again.revisions[name]
            assert had.idle_for == pytest.approx(one.idle_for)
            assert replace(had, idle_for=None) == replace(one, idle_for=None)
        gateway.now += 1.0


def test_models_at_rest_are_told_once():
    gateway, told = Gateway(), SamplesTold()
    for name in "abc":
        gateway.does("arrive", name)
        gateway.does("leave", name)
    gateway.does("open", "b")
    assert set(told.news(gateway.sample(), 0.0).revisions) == set("abc")
    gateway.now = 1.0
    assert set(told.news(gateway.sample(), 1.0).revisions) == {"b"}

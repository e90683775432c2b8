"""Whatever somebody writes in the name of a gateway, nobody who reads it ends over it."""

import random

import pytest

from autoscaler.account import Accounts
from autoscaler.minds import Minds
from autoscaler.observe import Sight
from fleet.bus.redis.parcels import GatewayNews, OddParcelError, Parcel, read, written
from fleet.channel.samples import SampleNews, SamplesHeard
from fleet.messages import CostReport, Received, ReplicaSample, RevisionSample, Sample
from fleet.model import Fleet, GpuPool, Phase, Policy, Replica
from fleet.names import GatewayName, ReplicaName
from fleet.settings import Settings
from tests.fakes.cluster import revision

G = GatewayName("g")
NUMBERS = (0.0, 1.0, -1.0, 5e-324, 2.0**53, 1e30, -1e30, 1e308, -1e308)
COUNTS = (0, 1, 2, 100, 2**53)


class Liar:
    """Says anything that can be said of a revision with two replicas."""

    def __init__(self, seed):
        self.luck = random.Random(seed)
        self.worst = NUMBERS if seed % 3 else NUMBERS[:-2]
        slots = self.luck.choice([None, 4])
        self.revision = revision(policy=Policy(slots=slots), replicas=self.luck.randrange(3))
        self.replicas = tuple(
            Replica(
                name=ReplicaName(f"{self.revision.name}-{number}"),
                phase=Phase.LOADING,
                since=1.0,
                template="t1",
                address="127.1.0.1",
                gpus=1,
                started=1.0,
            )
            for number in range(2)
        )

    def number(self):
        return self.luck.choice(self.worst)

    def count(self):
        return self.luck.choice(COUNTS)

    def maybe(self):
        return self.luck.choice([None, self.number()])

    def news(self):
        told = RevisionSample(
            revision=self.revision.name,
            waiting=self.count(),
            running=self.count(),
            waiting_s=self.number(),
            running_s=self.number(),
            arrivals=self.count(),
            completions=self.count(),
            service_s=self.number(),
            oldest_wait=self.maybe(),
            idle_for=self.maybe(),
            longest_s=self.number(),
            drained=self.count(),
            replicas=tuple(
                ReplicaSample(
                    name=replica.name,
                    running=self.count(),
                    busy_s=self.number(),
                    slots=self.count(),
                    ready_for=self.maybe(),
                    ready_after=self.maybe(),
                    warming=self.luck.random() < 0.1,
                )
                for replica in self.replicas
            ),
        )
        revisions = {self.revision.name: told}
        return SampleNews(gateway=G, passed=self.number(), revisions=revisions)

    def fleet(self):
        name = self.revision.name
        return Fleet(
            revisions={name: self.revision},
            replicas={name: self.replicas},
            gpus=(GpuPool(name=self.revision.gpu_class, total=4, free=1),),
        )


def sent(news):
    """As it comes out of Redis; None: it does not."""
    parcel = Parcel(writer=G, life="x", number=1, at=0.0, gateway=GatewayNews(sample=news))
    try:
        return read(Parcel, written(parcel)).gateway.sample
    except OddParcelError:
        return None


@pytest.mark.parametrize("seed", range(60))
def test_the_autoscaler_decides_whatever_it_is_told(seed):
    liar, heard, now = Liar(seed), SamplesHeard(), 100.0
    minds, accounts = Minds(Settings(), 0.0), Accounts(Settings(), 0.0)
    for _ in range(12):
        now += liar.luck.choice([0.05, 1.0, 2.0])
        news = sent(liar.news())
        if news is not None:
            heard.hear(news)
        got = {G: Received(sample=Sample(gateway=G, revisions=heard.revisions()), at=now)}
        accounts.take(liar.fleet(), got, {G}, now=now)
        sight = Sight(fleet=liar.fleet(), received=got, members={G}, servers={}, now=now, term=1)
        assert [case for case in minds.decide(sight) if case is not None] or news is None
        bill = accounts.report()
        assert read(CostReport, written(bill)) == bill

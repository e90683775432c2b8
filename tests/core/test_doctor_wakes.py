"""What stands between ebbtide and a wake, found by a dry run."""

from dataclasses import replace

import pytest

from ebbtide.doctoring.facts import Level, Section, Wake
from ebbtide.doctoring.wakes import try_wakes
from fleet.errors import ForbiddenError, RejectedError
from fleet.model import Fleet
from tests.core.doctored import PATIENT, registered, said
from tests.fakes.cluster import revision


@pytest.mark.parametrize(
    ("wake", "told"),
    [
        (Wake(replicas=1), ""),
        (Wake(replicas=3), "would come out as 3: something between changes what is written"),
        (Wake(replicas=None), "would come out as None"),
        (Wake(refused='403: admission webhook "freeze" denied the request'), '"freeze" denied'),
    ],
)
def test_a_wake_that_would_not_do_what_it_says_is_an_error(wake, told):
    found = registered(policy=PATIENT, replicas=0)
    found = replace(found, wakes=dict.fromkeys(found.fleet.revisions, wake))
    lines = said(found, Section.DEPLOYMENTS, Level.ERROR)
    assert [told in line for line in lines] == ([True] if told else [])


class Trials:
    """An API server that takes wakes as a test says, and writes down what was asked."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    async def patch(self, path, *, body, query=None):
        self.asked.append((path, body, query))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "wake"),
    [
        ({"spec": {"replicas": 1}}, Wake(replicas=1)),
        ({"spec": {"replicas": 3}}, Wake(replicas=3)),
        ({}, Wake()),
        (RejectedError("422: no"), Wake(refused="422: no")),
        (ForbiddenError('User "u" cannot patch resource "deployments/scale" in API'), None),
        (RejectedError('400: admission webhook "a" does not support dry run'), None),
    ],
)
async def test_only_sleeping_ones_are_tried_and_nothing_is_written(answer, wake):
    asleep, awake = revision("asleep", replicas=0), revision("awake", replicas=1)
    api = Trials(answer)
    found = await try_wakes(api, Fleet(revisions={one.name: one for one in (asleep, awake)}))
    assert found == ({} if wake is None else {asleep.name: wake})
    path = "/apis/apps/v1/namespaces/default/deployments/asleep/scale"
    query = {"dryRun": "All", "fieldManager": "ebbtide"}
    assert api.asked == [(path, {"spec": {"replicas": 1}}, query)]

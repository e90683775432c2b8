"""Events: nothing waits for them, and what cannot be written is lost alone."""

import asyncio
import contextlib
import logging

import pytest

from fleet.clock import LoopClock
from fleet.cluster.kubernetes.notes import Notes, Teller
from fleet.errors import ConflictError, GoneError, RejectedError, UnavailableError
from fleet.names import RevisionName
from tests.sim.loop import VIRTUAL

pytestmark = pytest.mark.anyio
A = RevisionName("default/a")


@pytest.fixture
def anyio_backend():
    return VIRTUAL


class Writes:
    """The two verbs that Events need."""

    def __init__(self):
        self.made, self.patched = [], []
        self.error = None
        self.takes = 0.0

    async def _ask(self, kept, *said):
        await asyncio.sleep(self.takes)
        if self.error is not None:
            raise self.error
        kept.append(said)

    async def post(self, path, *, body):
        await self._ask(self.made, path, body)

    async def patch(self, path, *, body):
        await self._ask(self.patched, path, body)


@contextlib.asynccontextmanager
async def told(run="r"):
    api = Writes()
    deployment = {"metadata": {"namespace": "default", "name": "a", "uid": "u"}}
    notes = Notes(
        api,
        LoopClock(),
        teller=Teller(controller="ebbtide.dev/x", instance="me", run=run),
        find=lambda key: deployment if key == ("default", "a") else None,
    )
    task = asyncio.create_task(notes.run())
    yield api, notes
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_an_event_says_of_whom_by_whom_and_what():
    async with told() as (api, notes):
        notes.add(A, "refused", "why")
        notes.add(RevisionName("default/b"), "woken", "")
        await asyncio.sleep(1)
        ((path, event),) = api.made
        assert path == "/apis/events.k8s.io/v1/namespaces/default/events"
        assert event["metadata"] == {"namespace": "default", "name": "a.r1"}
        assert event["regarding"]["uid"] == "u"
        assert (event["reason"], event["note"], event["type"]) == ("refused", "why", "Warning")
        assert (event["reportingController"], event["reportingInstance"]) == ("ebbtide.dev/x", "me")
        assert "series" not in event
        notes.add(A, "refused", "why")
        await asyncio.sleep(1)
        ((path, body),) = api.patched
        assert path.endswith("/events/a.r1")
        assert body["series"]["count"] == 2


async def test_one_that_has_had_its_time_is_made_again():
    async with told() as (api, notes):
        notes.add(A, "woken", "")
        await asyncio.sleep(1)

        async def gone(path, *, body):
            raise GoneError(path)

        api.patch = gone
        notes.add(A, "woken", "")
        await asyncio.sleep(1)
        assert len(api.made) == 2
        assert "series" not in api.made[1][1]


async def test_that_a_replica_is_ready_is_one_event_whoever_tells_it(caplog):
    caplog.set_level(logging.DEBUG, logger="ebbtide")
    names = []
    for run in ("r", "s"):
        async with told(run) as (api, notes):
            notes.add(A, "ready", "default/a-1 after 4.0 s")
            notes.add(A, "ready", "default/a-1#1 after 4.0 s")
            notes.add(A, "woken", "")
            await asyncio.sleep(1)
            names.append([event["metadata"]["name"] for _, event in api.made])
    (one, again, woken), (same, as_well, other) = names
    assert one == same != again == as_well
    assert woken != other
    async with told() as (api, notes):
        api.error = ConflictError("409")
        notes.add(A, "ready", "default/a-1 after 4.0 s")
        await asyncio.sleep(1)
        assert "event_lost" not in caplog.text
        notes.add(A, "woken", "")
        await asyncio.sleep(1)
        assert "event_lost" in caplog.text


@pytest.mark.parametrize("error", [UnavailableError("down"), RejectedError("a webhook")])
async def test_what_cannot_be_written_is_lost_alone(error):
    async with told() as (api, notes):
        api.error = error
        notes.add(A, "woken", "")
        await asyncio.sleep(1)
        api.error = None
        notes.add(A, "woken", "")
        await asyncio.sleep(1)
        assert [event["metadata"]["name"] for _, event in api.made] == ["a.r2"]


async def test_telling_is_over_at_once_and_what_waits_is_bounded():
    async with told() as (api, notes):
        api.takes = 15.0
        for number in range(5000):
            # Long enough apart that each may be told.
            asyncio.get_running_loop()._virtual.time += 15.0
            notes.add(A, "woken", f"{number}")
        assert len(notes._waiting) == 256
        await asyncio.sleep(5000 * 15)
        assert [event["note"] for _, event in api.made] == [f"{n}" for n in range(4744, 5000)]

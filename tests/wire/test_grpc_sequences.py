"""Calls of sequences and of models with affinity: where they would run is found in the call."""

import pytest

from activator.core.seats import key_of
from fleet.model import Affinity, AffinityKind, Policy, WarmUp
from tests.core.test_grpc_steps import request
from tests.fakes.http2 import echo, message
from tests.wire.grpcstage import INFER, calls
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


def step(**parameters) -> bytes:
    return message(request(**parameters).replace(b"\n\x01m", b"\n\x04demo", 1))


async def test_a_call_is_a_step_of_its_sequence_however_it_is_cut() -> None:
    async with calls() as on:
        on.line.ledger.serve_sequences(60.0)
        on.line.sequential = True
        client = await on.client()
        first = step(sequence_id=7, sequence_start=True)
        number = client.call(INFER)
        for at in range(0, len(first), 100):
            client.data(number, first[at : at + 100], end=at + 100 >= len(first))
        assert bytes((await client.over(number)).data) == first
        assert len(on.line.ledger.sequences) == 1
        number = client.call(INFER)
        client.data(number, step(sequence_id=7, sequence_end=True), end=True)
        assert (await client.over(number)).status == "0"
        assert len(on.line.ledger.sequences) == 0
        await on.idle()


async def test_a_step_whose_replica_is_gone_is_refused() -> None:
    async with calls() as on:
        on.line.ledger.serve_sequences(60.0)
        on.line.sequential = True
        client = await on.client()
        number = client.call(INFER)
        client.data(number, step(sequence_id=7, sequence_start=True), end=True)
        assert (await client.over(number)).status == "0"
        (seat,) = on.line.ledger.seats.values()
        on.stage.cluster.fail(seat.name)
        number = client.call(INFER)
        client.data(number, step(sequence_id=7), end=True)
        told = await client.over(number)
        assert (told.status, told.head["ebbtide-reason"]) == ("10", "sequence_lost")
        assert len(on.replica.calls) == 1


async def test_metadata_gives_a_call_its_key() -> None:
    affinity = Affinity(kind=AffinityKind.HEADER, name="x-user")
    async with calls(policy=Policy(slots=4, warm_up=WarmUp.NONE, affinity=affinity)) as on:
        keys = []

        async def noting(peer, told):
            keys.extend(ticket.key for ticket in on.line.ledger.running)
            await echo(peer, told)

        on.replica.script = noting
        client = await on.client()
        for user in ("ann", "bob", "ann"):
            number = client.call(INFER, extra=[("x-user", user)])
            client.data(number, step(), end=True)
            assert (await client.over(number)).status == "0"
        ann, bob, again = keys
        assert ann == again == key_of(b"ann")
        assert bob == key_of(b"bob")

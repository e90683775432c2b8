"""Health over gRPC: of the server and of models, and of a server that is about to stop."""

import pytest

from tests.fakes.http2 import message
from tests.wire.grpcstage import INFER, calls, named
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


async def test_health_of_the_server_and_of_models() -> None:
    async with calls(awake=False) as on:
        client = await on.client()
        for service, status, data in (
            ("", "0", b"\x08\x01"),
            ("demo", "0", b"\x08\x01"),
            ("nobody", "5", None),
        ):
            number = client.call("/grpc.health.v1.Health/Check")
            asked = named(service) if service else message(b"")
            client.data(number, asked, end=True)
            told = await client.over(number)
            assert told.status == status
            assert data is None or bytes(told.data) == message(data)
        for method in ("ServerLive", "ServerReady", "ServerMetadata"):
            number = client.call(f"/inference.GRPCInferenceService/{method}")
            client.data(number, message(b""), end=True)
            assert (await client.over(number)).status == "0"


async def test_health_turns_away_before_the_front_stops() -> None:
    async with calls() as on:
        client = await on.client()
        on.stage.front.turn_away()
        for path, asked, data in (
            ("/grpc.health.v1.Health/Check", message(b""), b"\x08\x02"),
            ("/grpc.health.v1.Health/Check", named("demo"), b"\x08\x01"),
            ("/inference.GRPCInferenceService/ServerReady", message(b""), b""),
        ):
            number = client.call(path)
            client.data(number, asked, end=True)
            told = await client.over(number)
            assert (told.status, bytes(told.data)) == ("0", message(data))
        number = client.call(INFER)
        client.data(number, named("demo"), end=True)
        assert (await client.over(number)).status == "0"

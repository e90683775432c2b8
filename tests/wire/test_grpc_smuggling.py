"""Heads over HTTP/2 that mean two things to two readers: none of them reaches a replica.

What is malformed ends its stream, what is well-formed and still no call of ours is answered; the
connection and its other calls go on.
"""

import hpack
import pytest

from tests.fakes.http2 import DATA, END, HEADERS, WHOLE, Peer, Told, frame
from tests.wire.grpcstage import INFER, calls, named
from tests.wire.stage import BOTH_LOOPS

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]

RESET = "reset"
METHOD, SCHEME, PATH = (":method", "POST"), (":scheme", "http"), (":path", INFER)
AUTHORITY, GRPC = (":authority", "gw"), ("content-type", "application/grpc")
WELL = [METHOD, SCHEME, PATH, AUTHORITY, GRPC]


def at(path: str) -> list[tuple[str, str]]:
    return [METHOD, SCHEME, (":path", path), AUTHORITY, GRPC]


SERVICE = "inference.GRPCInferenceService"
HEADS = {
    # Fields that a reader of HTTP/1.1 behind us would take for two, or for none.
    "value with CR LF": ([*WELL, ("x", "a\r\nebbtide-key: b")], RESET),
    "value with CR": ([*WELL, ("x", "a\rb")], RESET),
    "value with LF": ([*WELL, ("x", "a\nb")], RESET),
    "value with NUL": ([*WELL, ("x", "a\0b")], RESET),
    "value with DEL": ([*WELL, ("x", "a\x7fb")], RESET),
    "value with a space before it": ([*WELL, ("x", " a")], RESET),
    "value with a tab behind it": ([*WELL, ("x", "a\t")], RESET),
    "name with CR LF": ([*WELL, ("x\r\ny", "a")], RESET),
    "name with a space": ([*WELL, ("x y", "a")], RESET),
    "name with a colon": ([*WELL, ("x:y", "a")], RESET),
    "name with NUL": ([*WELL, ("x\0", "a")], RESET),
    "name of no bytes": ([*WELL, ("", "a")], RESET),
    "name in upper case": ([*WELL, ("X-Name", "a")], RESET),
    "name in upper case, of ours": ([*WELL, ("Ebbtide-Model", "demo")], RESET),
    "name beyond ASCII": ([*WELL, ("x\u00e9", "a")], RESET),
    "path with CR LF": (at(f"{INFER} HTTP/1.1\r\nx: y"), RESET),
    "authority with CR LF": ([METHOD, SCHEME, PATH, (":authority", "gw\r\nx: y"), GRPC], RESET),
    "method with a space": ([(":method", "POST /"), SCHEME, PATH, AUTHORITY, GRPC], RESET),
    # Pseudo-fields.
    "pseudo behind others": ([METHOD, SCHEME, PATH, GRPC, AUTHORITY], RESET),
    "method twice": ([METHOD, *WELL], RESET),
    "path again behind others": ([*WELL, PATH], RESET),
    "path twice": ([PATH, *WELL], RESET),
    "authority twice": ([AUTHORITY, *WELL], RESET),
    "scheme twice": ([SCHEME, *WELL], RESET),
    "status in a request": ([(":status", "200"), *WELL], RESET),
    "protocol": ([(":protocol", "websocket"), *WELL], RESET),
    "unknown pseudo": ([(":x", "y"), *WELL], RESET),
    "no method": (WELL[1:], RESET),
    "no scheme": ([METHOD, *WELL[2:]], RESET),
    "no path": ([METHOD, SCHEME, AUTHORITY, GRPC], RESET),
    "empty path": (at(""), RESET),
    "scheme of a file": ([METHOD, (":scheme", "file"), PATH, AUTHORITY, GRPC], RESET),
    "tunnel": ([(":method", "CONNECT"), AUTHORITY, GRPC], "12"),
    # Whose it is.
    "no authority": ([METHOD, SCHEME, PATH, GRPC], RESET),
    "empty authority": ([METHOD, SCHEME, PATH, (":authority", ""), GRPC], RESET),
    "host that differs": ([*WELL, ("host", "other")], RESET),
    "host twice, differing": ([*WELL, ("host", "gw"), ("host", "other")], RESET),
    "authority with a user": ([METHOD, SCHEME, PATH, (":authority", "a@gw"), GRPC], RESET),
    "authority with a path": ([METHOD, SCHEME, PATH, (":authority", "gw/x"), GRPC], RESET),
    "two models": ([*WELL, ("ebbtide-model", "demo"), ("ebbtide-model", "other")], "3"),
    # How long it is, and by what coding.
    "content-length that is less": ([*WELL, ("content-length", "3")], RESET),
    "content-length that is more": ([*WELL, ("content-length", "999")], RESET),
    "content-length twice": ([*WELL, *[("content-length", "11")] * 2], RESET),
    "content-length with a sign": ([*WELL, ("content-length", "+11")], RESET),
    "content-length of a list": ([*WELL, ("content-length", "11, 11")], RESET),
    "transfer-encoding": ([*WELL, ("transfer-encoding", "chunked")], RESET),
    "connection": ([*WELL, ("connection", "close")], RESET),
    "connection that names a field": ([*WELL, ("connection", "te"), ("te", "trailers")], RESET),
    "keep-alive": ([*WELL, ("keep-alive", "timeout=5")], RESET),
    "proxy-connection": ([*WELL, ("proxy-connection", "close")], RESET),
    "upgrade": ([*WELL, ("upgrade", "h2c")], RESET),
    "te: chunked": ([*WELL, ("te", "chunked")], RESET),
    "te: trailers, chunked": ([*WELL, ("te", "trailers, chunked")], RESET),
    "content-type twice": ([*WELL, GRPC], RESET),
    # Paths that one reader takes for another.
    "two slashes": (at(f"/{INFER}"), "12"),
    "two slashes within": (at(f"/{SERVICE}//ModelInfer"), "12"),
    "slash behind": (at(f"{INFER}/"), "12"),
    "one dot": (at(f"/./{SERVICE}/ModelInfer"), "12"),
    "two dots": (at(f"/x/../{SERVICE}/ModelInfer"), "12"),
    "two dots for a service": (at("/../ModelInfer"), "5"),
    "percent-encoded": (at(f"/{SERVICE}/Model%49nfer"), "12"),
    "percent-encoded slash": (at(f"/{SERVICE}%2FModelInfer"), "12"),
    "query": (at(f"{INFER}?x"), "12"),
    "absolute": (at(f"http://gw{INFER}"), RESET),
    "no service": (at("//ModelInfer"), "12"),
    "no method of it": (at(f"/{SERVICE}/"), "12"),
    "no slash": (at(INFER[1:]), RESET),
    "other case": (at(INFER.lower()), "12"),
    "fragment": (at(f"{INFER}#x"), RESET),
    "backslash": (at(f"/{SERVICE}\\ModelInfer"), "12"),
    "GET of a call": ([(":method", "GET"), *WELL[1:]], "12"),
    "repository control": (at(f"/{SERVICE}/RepositoryModelUnload"), "12"),
    "shared memory": (at(f"/{SERVICE}/SystemSharedMemoryRegister"), "12"),
}


async def said(client: Peer, fields: list[tuple[str, str]]) -> Told:
    number = client.begin(fields)
    client.send(DATA, END, number, named("demo"))
    return await client.over(number)


@pytest.mark.parametrize(("fields", "outcome"), HEADS.values(), ids=HEADS)
async def test_a_head_with_two_meanings_reaches_no_replica(fields, outcome) -> None:
    async with calls() as on:
        client = await on.client()
        told = await said(client, fields)
        assert (told.status or RESET) == outcome, told
        assert (told.reset == 1) == (outcome == RESET)
        assert not on.replica.calls
        # Its connection is none the worse for it.
        assert (await said(client, WELL)).status == "0"
        await on.idle()


async def test_what_is_for_the_gateway_or_one_hop_reaches_no_replica() -> None:
    extra = [
        *(("host", "gw"), ("content-length", "11"), ("te", "trailers"), ("x-own", "1")),
        *(("ebbtide-model", "demo"), ("ebbtide-key", "k"), ("ebbtide-precedence", "9")),
        *(("ebbtide-anything", "x"), ("proxy-authorization", "Basic eA==")),
    ]
    async with calls() as on:
        client = await on.client()
        assert (await said(client, [*WELL, *extra])).status == "0"
        (seen,) = on.replica.calls
        assert not [name for name in seen.head if name.startswith(("ebbtide-", "proxy-"))]
        assert {"host", "content-length"}.isdisjoint(seen.head)
        assert (seen.head["te"], seen.head["x-own"], seen.head[":authority"]) == (
            *("trailers", "1"),
            "gw",
        )


TRAILERS = {
    "as they should be": ([("x-last", "1")], END, "0"),
    "that do not end it": ([("x-last", "1")], 0, RESET),
    "with a pseudo-field": ([(":path", "/other")], END, RESET),
    "of one hop": ([("connection", "close")], END, RESET),
    "with LF": ([("x", "a\nb")], END, RESET),
    "with a status": ([("grpc-status", "0"), ("ebbtide-model", "other")], END, "0"),
}


@pytest.mark.parametrize(("fields", "end", "outcome"), TRAILERS.values(), ids=TRAILERS)
async def test_trailers_of_a_client_end_its_request_and_go_no_further(fields, end, outcome) -> None:
    async with calls() as on:
        client = await on.client()
        number = client.begin(WELL)
        client.send(DATA, 0, number, named("demo"))
        block = client.encoder.encode([hpack.HeaderTuple(*one) for one in fields])
        client.writer.write(frame(HEADERS, WHOLE | end, number, block))
        told = await client.over(number)
        assert (told.status or RESET) == outcome
        for seen in on.replica.calls:
            assert seen.trailers is None
            assert seen.ended == (outcome == "0")
        assert (await said(client, WELL)).status == "0"
        await on.idle()

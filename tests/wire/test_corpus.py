"""The corpus through the gateway to a recorder that reads strictly: both ends always agree."""

import asyncio
import re

import pytest

from fleet.settings import Settings
from tests.wire.corpus import CANARY, SMUGGLED, Case, Verdict, cases
from tests.wire.stage import UVLOOP, stage

# Cases that leave the gateway waiting for more are ended by these.
_SETTINGS = Settings(header_timeout=0.1, body_timeout=0.1, http_keepalive=0.1)


def test_the_corpus_is_several_hundred_cases_each_of_them_once():
    names = [case.name for case in cases()]
    assert len(names) == len(set(names)) > 800


def statuses(raw: bytes) -> list[int]:
    """The final answers in `raw`, read strictly; whatever is no answer is a fault."""
    found = []
    while raw:
        head, empty, raw = raw.partition(b"\r\n\r\n")
        line = re.match(rb"HTTP/1\.1 (\d{3}) [^\r\n]*(?:\r\n|$)", head)
        assert line, head
        assert empty, head
        if line[1].startswith(b"1"):
            continue
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        assert length, head
        assert len(raw) >= int(length[1]), head
        raw = raw[int(length[1]) :]
        found.append(int(line[1]))
    return found


def judge(case: Case, answered: list[int], seen: list) -> None:
    """Front and back have read the same, and what had to become of the case has."""
    targets = [request.target.encode() for request in seen]
    assert not [target for target in targets if SMUGGLED in target], "smuggled"
    assert answered, "no answer"
    assert answered.count(200) == len(seen), (answered, targets)
    assert all(status == 200 or 400 <= status < 500 for status in answered), answered
    if case.verdict is Verdict.PASSED:
        assert answered == [200, 200] or (answered == [200] and b"close" in case.data), answered
    elif case.verdict is Verdict.REFUSED:
        assert answered[0] >= 400, answered
    if answered[0] == 200:
        assert seen[0].field("x-canary") is None
        if case.body is not None:
            assert seen[0].body == case.body
    elif len(answered) > 1:
        # It was refused, and cost its sender no connection: then the canary is whole.
        assert answered[1:] == [200], answered
    for request in seen[1:] if answered[0] == 200 else seen:
        assert (request.field("x-canary"), request.body) == ("sings", b"canary")


@pytest.mark.anyio
async def test_what_breaks_the_protocol_is_logged_with_its_reason(caplog):
    caplog.set_level("INFO", logger="ebbtide")
    async with stage() as s:
        malformed = b"GET /v2 HTTP/1.1\r\n\r\n"
        for data, reason in (
            (malformed, "malformed"),
            (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: gw\r\n\r\n", "target_too_long"),
            (b"GET /v2 HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", "head_too_large"),
        ):
            assert await sent(s, data)
            assert f"refused reason={reason} detail=" in caplog.messages[-1]
            assert "peer=127.0.0.1" in caplog.messages[-1]
        for _ in range(200):
            assert await sent(s, malformed)
        lines = [message for message in caplog.messages if message.startswith("refused ")]
        told = len(lines) + sum(int(line.rpartition("=")[2]) for line in lines)
        assert len(lines) < 100
        assert told <= 203 == s.front.other.codes[400] + 1 + 1


async def sent(s, data: bytes) -> bytes:
    """All that comes back until the gateway closes."""
    client = await s.client()
    client.send(data)
    async with asyncio.timeout(5):
        try:
            raw = await client.reader.read()
        except ConnectionResetError:
            raw = bytes(client.reader._buffer)
    client.abort()
    return raw


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [UVLOOP], ids=["uvloop"])
async def test_front_and_back_agree_on_every_case():
    wrong = []
    async with stage(settings=_SETTINGS) as s:
        for case in cases():
            before = len(s.recorder.requests)
            raw = await sent(s, case.data + CANARY)
            await s.until(s.idle)
            seen = s.recorder.requests[before:]
            try:
                judge(case, statuses(raw), seen)
                assert not s.recorder.faults
            except AssertionError as error:
                wrong.append(f"{case.name}: {error}")
                s.recorder.faults.clear()
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:60])

"""Requests that belong together meet on one replica, and never wait for it."""

import asyncio
import json

import pytest

from fleet.model import Affinity, AffinityKind, Policy, RuntimeName, WarmUp
from fleet.settings import Settings
from tests.wire.pair import replicas
from tests.wire.scripts import Gate
from tests.wire.stage import BOTH_LOOPS, infer, model

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


def sticky(kind: AffinityKind, *, slots: int = 4, **changes):
    policy = Policy(slots=slots, warm_up=WarmUp.NONE, affinity=Affinity(kind=kind, **changes))
    return lambda port: model(port=port, policy=policy)


async def places(both, requests: list[bytes]) -> list[int]:
    """Which replica each of these went to, sent one after the other."""
    found = []
    for request in requests:
        before = both.counts
        assert (await both.stage.call(request)).status == 200
        more = [new - old for old, new in zip(before, both.counts, strict=True)]
        assert sorted(more) == [*[0] * (len(more) - 1), 1]
        place = more.index(1)
        found.append(place)
    return found


async def test_requests_with_one_header_meet_and_others_spread():
    async with replicas(3, sticky(AffinityKind.HEADER, name="X-User")) as three:
        users = [b"X-User: u%d\r\n" % number for number in range(12)]
        first = await places(three, [infer(extra=user) for user in users])
        assert set(first) == {0, 1, 2}
        assert await places(three, [infer(extra=user) for user in users]) == first
        # Without the header the roomiest is taken: the eldest of equals.
        assert await places(three, [infer(), infer()]) == [0, 0]


async def test_requests_with_one_cookie_meet():
    async with replicas(3, sticky(AffinityKind.COOKIE, name="sid")) as three:
        mine = [infer(extra=b"Cookie: a=%d; sid=%d\r\n" % (n, n // 4)) for n in range(24)]
        found = await places(three, mine)
        assert len(set(found)) > 1
        assert all(len(set(found[n : n + 4])) == 1 for n in range(0, 24, 4))


async def test_a_trusted_peer_says_for_whom_it_asks():
    settings = Settings(trusted_peers="127.0.0.1/32")
    async with replicas(3, sticky(AffinityKind.CLIENT), settings=settings) as three:
        asked = [infer(extra=b"X-Forwarded-For: 1.1.1.1, 10.0.0.%d\r\n" % n) for n in range(12)]
        found = await places(three, asked)
        assert len(set(found)) > 1
        assert await places(three, asked) == found
    async with replicas(3, sticky(AffinityKind.CLIENT)) as three:
        assert len(set(await places(three, asked))) == 1, "anybody's word was taken"


async def test_of_several_hops_the_last_that_is_no_trusted_peer_asks():
    settings = Settings(trusted_peers="127.0.0.1/32,10.0.0.0/8")
    async with replicas(3, sticky(AffinityKind.CLIENT), settings=settings) as three:
        plain = [infer(extra=b"X-Forwarded-For: 1.1.1.%d\r\n" % n) for n in range(12)]
        found = await places(three, plain)
        assert len(set(found)) > 1
        for hops in (
            b"X-Forwarded-For: 7.7.7.7, 1.1.1.%d, 10.1.2.3\r\n",
            b"X-Forwarded-For: 7.7.7.7\r\nX-Forwarded-For: 1.1.1.%d\r\n",
            b'Forwarded: for=7.7.7.7, for="1.1.1.%d:4711"\r\n',
        ):
            assert await places(three, [infer(extra=hops % n) for n in range(12)]) == found


async def test_prompts_that_begin_alike_meet():
    def chat(system: str, text: str) -> bytes:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        body = json.dumps({"model": "demo", "messages": messages}).encode()
        return infer(body, path=b"/v1/chat/completions")

    affinity = Affinity(kind=AffinityKind.PROMPT, size=60)
    policy = Policy(slots=4, warm_up=WarmUp.NONE, affinity=affinity)
    runtime = RuntimeName.OPENAI
    async with replicas(3, lambda port: model(port=port, policy=policy, runtime=runtime)) as three:
        asked = [chat(f"you are bot {n // 4}" + "." * 60, f"question {n}") for n in range(24)]
        found = await places(three, asked)
        assert len(set(found)) > 1
        assert all(len(set(found[n : n + 4])) == 1 for n in range(0, 24, 4))


async def test_a_prompt_in_a_body_of_unknown_length_or_none_at_all():
    async with replicas(2, sticky(AffinityKind.PROMPT, size=60)) as both:
        path = b"/v2/models/demo/generate"
        body = b'{"text_input": "once upon a time"}'
        head = b"POST %b HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n" % path
        chunked = head + b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (body[:5], len(body) - 5, body[5:])
        found = await places(both, [infer(body, path=path), chunked, infer(b"\x00\xff")])
        assert found[0] == found[1]
        assert both.recorders[found[0]].requests[1].body == body


async def test_affinity_makes_nobody_wait_while_another_replica_has_room():
    async with replicas(2, sticky(AffinityKind.HEADER, slots=2, name="X-User")) as both:
        gates = [Gate(), Gate()]
        for recorder, gate in zip(both.recorders, gates, strict=True):
            recorder.script = gate
        clients = [await both.stage.client() for _ in range(5)]
        for client in clients:
            client.send(infer(extra=b"X-User: ann\r\n"))
        await both.stage.until(lambda: both.counts == [2, 2])
        await both.stage.until(lambda: both.stage.line.waiting == 1)
        for gate in gates:
            gate.open.set()
        answers = await asyncio.gather(*(client.answer() for client in clients))
        assert [one.status for one in answers] == [200] * 5

"""The corpus through `ebbtide up` to real Triton: whatever comes, the next caller gets its answer.

A request that Triton sees where the gateway saw none leaves an answer behind on a pooled
connection, and whoever uses that next gets it for their own. So after each case someone asks for a
number of their own, over connections that the case has used.
"""

import asyncio
import re

import pytest

from tests.local.triton_models import answer_of, infer_body, write_model
from tests.local.upped import up
from tests.wire.corpus import SMUGGLED, cases

pytestmark = [pytest.mark.anyio, pytest.mark.triton]

# Cases that leave the gateway waiting for more are ended by these.
_IMPATIENT = {"header_timeout": "40ms", "body_timeout": "40ms", "http_keepalive": "40ms"}
_ASK = b"POST /v2/models/demo/infer HTTP/1.1\r\nHost: gw\r\n%bContent-Length: %d\r\n\r\n%b"


async def test_the_next_caller_gets_its_own_answer_after_every_case(tmp_path, models_env):
    write_model(tmp_path, "demo", slots=1)
    async with up(tmp_path, gpus=1, tritonserver=models_env, **_IMPATIENT) as ebbtide:
        assert (await ebbtide.infer("demo", infer_body(1))).status_code == 200
        asked, wrong = 1, []
        for number, case in enumerate(cases(), 1000):
            behind = _asking(number, b"Connection: close\r\n")
            raw = await _said(ebbtide.port, case.data + behind)
            if SMUGGLED in raw:
                wrong.append(f"{case.name}: Triton answered the hidden request")
            # The case itself is nothing that Triton computes; what came behind it is, if it passed.
            asked += _count(raw) is not None
            raw = await _said(ebbtide.port, _asking(-number, b"Connection: close\r\n"))
            asked += 1
            if (_doubled(raw), _count(raw)) != (-2 * number, asked):
                wrong.append(f"{case.name}: the next caller got {raw[-200:]!r}, asked {asked}")
                break
        assert not wrong, "\n".join(wrong)
        assert asked > 1000


def _asking(number: int, fields: bytes) -> bytes:
    body = infer_body(number)
    return _ASK % (fields, len(body), body)


async def _said(port: int, data: bytes) -> bytes:
    """All that comes back until the gateway closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    raw = b""
    try:
        async with asyncio.timeout(10):
            while piece := await reader.read(65536):
                raw += piece
    except ConnectionResetError:
        pass
    finally:
        writer.transport.abort()
    return raw


def _answer(raw: bytes) -> tuple[int, int] | None:
    found = re.search(rb'\{"model_name":"demo".*\}\s*$', raw)
    return None if found is None else answer_of(found[0])


def _doubled(raw: bytes) -> int | None:
    answer = _answer(raw)
    return None if answer is None else answer[0]


def _count(raw: bytes) -> int | None:
    answer = _answer(raw)
    return None if answer is None else answer[1]

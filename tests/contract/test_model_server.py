"""The ModelServer port: one contract, for real Triton, for HTTP servers that stand in for the
OpenAI and plain runtimes, and for the scripted fake; then what is each one's own.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from fleet.errors import UnavailableError
from fleet.model import Ports, RuntimeName
from fleet.runtimes import Endpoint, ModelServer, Reading
from fleet.runtimes.asking import Asker
from fleet.runtimes.profiles import profile
from fleet.runtimes.servers import servers
from tests.contract.python_models import (
    ADD_SUB,
    ADD_SUB_CONFIG,
    ECHO,
    ECHO_CONFIG,
    SUMS,
    SUMS_CONFIG,
)
from tests.contract.real_triton import failed_start, triton, write_model
from tests.fakes.local import free_port
from tests.fakes.modelserver import ScriptedServer

BAD_CONFIG = b'{"instance_group": 7, "sequence_batching": 7}'
NOBODY = "127.201.9.9"
_TRITON = pytest.param("triton", marks=pytest.mark.triton)


@pytest.fixture(scope="module")
def real(models_env: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    repository = tmp_path_factory.mktemp("repository")
    write_model(repository, "add_sub", config=ADD_SUB_CONFIG, code=ADD_SUB)
    write_model(repository, "echo", config=ECHO_CONFIG, code=ECHO)
    idle = "max_sequence_idle_microseconds: 7500000"
    write_model(repository, "sums", config=SUMS_CONFIG % idle, code=SUMS)
    write_model(repository, "hasty", config=SUMS_CONFIG % "", code=SUMS)
    scratch = tmp_path_factory.mktemp("scratch")
    with triton(models_env, scratch, repository=repository, address="127.201.0.1") as endpoint:
        yield endpoint


@dataclass
class Case:
    """One adapter under the contract."""

    server: ModelServer
    endpoint: Endpoint
    models: tuple[str, ...]
    asks: bool = True
    """Whether `slots` and `read` ask the server at all."""
    knows_names: bool = True
    silent: Callable[[Endpoint], None] = lambda _: None
    """Makes an endpoint accept and never answer, where that takes more than its listening."""


Handler = Callable[[str, str, bytes], tuple[int, bytes]]


@asynccontextmanager
async def listening(handle: Handler | None) -> AsyncIterator[int]:
    """An HTTP server on 127.0.0.1, one request per connection; silent without `handle`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split(" ", 2)
            length = [x for x in head.lower().splitlines() if x.startswith("content-length:")]
            body = await reader.readexactly(int(length[0].split(":")[1]) if length else 0)
            if handle is None:
                await reader.read()
                return
            status, content = handle(method, path, body)
            start = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n"
            writer.write(start.encode() + b"Connection: close\r\n\r\n" + content)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def local(port: int) -> Endpoint:
    return Endpoint(address="127.0.0.1", ports=Ports(http=port, metrics=port))


@pytest.fixture(params=[_TRITON, "openai", "plain", "scripted"])
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    if request.param == "triton":
        made = servers(Asker())(RuntimeName.TRITON)
        yield Case(made, request.getfixturevalue("real"), ("add_sub", "echo"))
    elif request.param == "scripted":
        scripted = ScriptedServer(known=["add_sub", "echo"])
        scripted.crash(NOBODY)
        endpoint = Endpoint(address="127.0.0.1", ports=Ports(http=1))
        yield Case(
            scripted,
            endpoint,
            ("add_sub", "echo"),
            silent=lambda where: scripted.hush(where.address),
        )
    else:
        async with listening(lambda *_: (200, b"{}")) as port:
            made = servers(Asker())(RuntimeName(request.param))
            yield Case(made, local(port), ("any",), asks=False, knows_names=False)


@pytest.mark.anyio
class TestModelServer:
    async def test_a_model_that_answers_is_ready(self, case: Case) -> None:
        assert await case.server.ready(case.endpoint, case.models, timeout=5.0) is True

    async def test_where_nobody_listens_nothing_is_ready_and_that_is_no_error(
        self, case: Case
    ) -> None:
        nobody = replace(case.endpoint, address=NOBODY)
        assert await case.server.ready(nobody, case.models, timeout=5.0) is False

    async def test_every_name_must_answer(self, case: Case) -> None:
        if case.knows_names:
            names = (*case.models, "no_such_model")
            assert await case.server.ready(case.endpoint, names, timeout=5.0) is False

    async def test_there_is_always_room_for_one(self, case: Case) -> None:
        assert await case.server.slots(case.endpoint, case.models, timeout=5.0) >= 1

    async def test_models_without_sequences_say_so(self, case: Case) -> None:
        asked = case.server.sequence_idle(case.endpoint, case.models, timeout=5.0)
        assert await asked is None

    async def test_a_first_inference_can_be_made(self, case: Case) -> None:
        await case.server.warm_up(case.endpoint, case.models[0], request=None, timeout=5.0)

    async def test_a_reading_is_a_number_or_unknown(self, case: Case) -> None:
        read = await case.server.read(case.endpoint, case.models, timeout=5.0)
        for value in (read.pending, read.gpu_use, read.compute_s, read.completions):
            assert value is None or value >= 0

    async def test_where_nobody_listens_there_is_no_answer(self, case: Case) -> None:
        nobody = replace(case.endpoint, address=NOBODY)
        with pytest.raises(UnavailableError):
            await case.server.warm_up(nobody, case.models[0], request=REQUEST, timeout=5.0)
        if case.asks:
            with pytest.raises(UnavailableError):
                await case.server.slots(nobody, case.models, timeout=5.0)
            with pytest.raises(UnavailableError):
                await case.server.sequence_idle(nobody, case.models, timeout=5.0)
            with pytest.raises(UnavailableError):
                await case.server.read(nobody, case.models, timeout=5.0)

    async def test_every_question_gives_up_in_time(self, case: Case) -> None:
        loop = asyncio.get_running_loop()
        async with listening(None) as port:
            endpoint, begun = local(port), loop.time()
            case.silent(endpoint)
            if case.knows_names:
                assert not await case.server.ready(endpoint, case.models * 3, timeout=0.1)
            with pytest.raises(UnavailableError):
                await case.server.warm_up(endpoint, case.models[0], request=REQUEST, timeout=0.1)
            if case.asks:
                with pytest.raises(UnavailableError):
                    await case.server.slots(endpoint, case.models, timeout=0.1)
                with pytest.raises(UnavailableError):
                    await case.server.sequence_idle(endpoint, case.models, timeout=0.1)
                with pytest.raises(UnavailableError):
                    await case.server.read(endpoint, case.models, timeout=0.1)
            assert loop.time() - begun < 2.0


REQUEST = b'POST /predict\nContent-Type: application/json\n\n{"a": 1}\r\n\r\n'
"""What each runtime takes as a warm-up file; only plain needs more than a body."""


@pytest.mark.triton
@pytest.mark.anyio
class TestTriton:
    @pytest.fixture
    def server(self) -> ModelServer:
        return servers(Asker())(RuntimeName.TRITON)

    async def test_slots_follow_the_configuration_and_add_up_over_models(
        self, server: ModelServer, real: Endpoint
    ) -> None:
        assert await server.slots(real, ["add_sub"], timeout=5.0) == 8 * 2 * 2
        assert await server.slots(real, ["echo"], timeout=5.0) == 3 * 2
        assert await server.slots(real, ["echo", "add_sub", "echo"], timeout=5.0) == 32 + 6
        with pytest.raises(UnavailableError, match="no_such"):
            await server.slots(real, ["no_such"], timeout=5.0)

    async def test_many_names_are_answered_together(
        self, server: ModelServer, real: Endpoint
    ) -> None:
        names = ["add_sub", "sums", "hasty", "echo"] * 25
        assert await server.ready(real, names, timeout=2.0)
        assert await server.slots(real, names[:1] * 100, timeout=2.0) == 32
        assert not await server.ready(real, [*names, "no_such"], timeout=2.0)
        assert not await server.ready(real, ["no_such", *names], timeout=2.0)

    async def test_sequences_rest_for_as_long_as_the_configuration_says(
        self, server: ModelServer, real: Endpoint
    ) -> None:
        assert await server.sequence_idle(real, ["sums"], timeout=5.0) == 7.5
        assert await server.sequence_idle(real, ["hasty", "add_sub"], timeout=5.0) == 1.0
        assert await server.sequence_idle(real, ["hasty", "sums"], timeout=5.0) == 7.5
        with pytest.raises(UnavailableError, match="no_such"):
            await server.sequence_idle(real, ["no_such"], timeout=5.0)

    async def test_a_step_is_what_we_take_for_one_and_a_lost_one_is_refused(
        self, real: Endpoint
    ) -> None:
        async def step(value: int, **parameters: object) -> httpx.Response:
            tensor = {"name": "X", "shape": [1, 1], "datatype": "INT32", "data": [value]}
            body = {"inputs": [tensor], "parameters": parameters}
            address = f"http://{real.address}:{real.ports.http}"
            async with httpx.AsyncClient(trust_env=False) as client:
                return await client.post(f"{address}/v2/models/sums/infer", json=body)

        for name in (7, "7"):
            unknown = await step(1, sequence_id=name)
            assert unknown.status_code == 400
            assert "START flag" in unknown.text
        for name, value in ((7, 1), ("7", 10)):
            first = await step(value, sequence_id=name, sequence_start=True)
            assert first.status_code == 200, first.text
        for name, value in ((7, 1), ("7", 10)):
            last = await step(value, sequence_id=name, sequence_end=True)
            assert last.status_code == 200, last.text
            assert last.json()["outputs"][0]["data"] == [2 * value]
        for parameters in ({}, {"sequence_id": 0}, {"sequence_id": ""}):
            assert (await step(1, **parameters)).status_code == 400, "it would be a step"

    async def test_the_made_up_inference_is_computed_and_counted(
        self, server: ModelServer, real: Endpoint
    ) -> None:
        before = await server.read(real, ["add_sub"], timeout=5.0)
        await server.warm_up(real, "add_sub", request=None, timeout=5.0)
        # Triton answers first and counts then.
        async with asyncio.timeout(2.0):
            after = before
            while before.completions == after.completions or before.compute_s == after.compute_s:
                after = await server.read(real, ["add_sub"], timeout=5.0)
        assert before.completions is not None
        assert after.completions == before.completions + 1
        assert before.compute_s is not None
        assert after.compute_s is not None
        assert after.compute_s > before.compute_s
        assert after.pending == 0

    async def test_without_a_gpu_its_use_is_unknown_and_an_unknown_model_too(
        self, server: ModelServer, real: Endpoint
    ) -> None:
        assert (await server.read(real, ["add_sub"], timeout=5.0)).gpu_use is None
        assert await server.read(real, ["no_such"], timeout=5.0) == Reading()
        closed = replace(real, ports=Ports(http=8000))
        assert await server.read(closed, ["add_sub"], timeout=5.0) == Reading()

    async def test_a_closed_port_for_metrics_is_named(
        self, server: ModelServer, real: Endpoint
    ) -> None:
        port = free_port()
        closed = replace(real, ports=replace(real.ports, metrics=port))
        with pytest.raises(UnavailableError, match=f":{port}: Connection refused"):
            await server.read(closed, ["add_sub"], timeout=5.0)

    async def test_words_and_unknown_sizes_are_made_up_as_short_as_they_may_be(
        self, server: ModelServer, real: Endpoint
    ) -> None:
        # The model refuses on purpose, with what it saw: Triton answers 500 to that.
        with pytest.raises(UnavailableError, match="ebbtide") as raised:
            await server.warm_up(real, "echo", request=None, timeout=5.0)
        assert "[[b'ebbtide', b'ebbtide']] [False, False, False]" in str(raised.value)

    async def test_the_request_given_is_sent_and_a_refused_input_is_an_answer(
        self, server: ModelServer, real: Endpoint
    ) -> None:
        before = await server.read(real, ["add_sub"], timeout=5.0)
        tensor = {"datatype": "UINT8", "shape": [1, 1], "data": [1]}
        wrong = {"inputs": [{"name": name, **tensor} for name in "AB"]}
        await server.warm_up(real, "add_sub", request=json.dumps(wrong).encode(), timeout=5.0)
        assert (await server.read(real, ["add_sub"], timeout=5.0)).completions == before.completions

    async def test_the_cause_of_a_failed_start_is_what_the_model_said(
        self, models_env: Path, tmp_path: Path
    ) -> None:
        code = (
            "class TritonPythonModel:\n  def initialize(self, args): raise OSError('no weights')\n"
        )
        repository = tmp_path / "repository"
        write_model(repository, "bad", config=ECHO_CONFIG, code=code)
        lines = failed_start(models_env, tmp_path, repository=repository, address="127.201.0.2")
        explain = profile(RuntimeName.TRITON).explain
        where = f"{repository}/bad/1/model.py(2): initialize"
        assert explain(lines) == f"bad: Internal: OSError: no weights (at {where})"

    @pytest.mark.parametrize("said", [b"", b"[]", b"nonsense \xff", BAD_CONFIG])
    async def test_an_answer_that_makes_no_sense_is_none(
        self, server: ModelServer, said: bytes
    ) -> None:
        async with listening(lambda *_: (200, said)) as port:
            with pytest.raises(UnavailableError):
                await server.slots(local(port), ["m"], timeout=5.0)
            with pytest.raises(UnavailableError):
                await server.sequence_idle(local(port), ["m"], timeout=5.0)
            with pytest.raises(UnavailableError):
                await server.warm_up(local(port), "m", request=None, timeout=5.0)
        async with listening(lambda *_: (200, b"nv_x{ 1\n")) as port:
            with pytest.raises(UnavailableError):
                await server.read(local(port), ["m"], timeout=5.0)


@pytest.mark.anyio
class TestOpenAI:
    @pytest.mark.parametrize(
        ("health", "models", "ready"),
        [
            (200, 500, True),
            (503, 200, False),
            (404, 200, True),
            (405, 401, False),
            (404, 404, False),
        ],
    )
    async def test_ready_is_health_else_the_list_of_models(
        self, health: int, models: int, ready: bool
    ) -> None:
        told = {"/health": health, "/v1/models": models}
        async with listening(lambda _, path, __: (told[path], b"")) as port:
            server = servers(Asker())(RuntimeName.OPENAI)
            assert await server.ready(local(port), ["m"], timeout=5.0) is ready

    @pytest.mark.parametrize(
        ("request_given", "path"),
        [
            (None, "/v1/completions"),
            (b'{"messages": []}', "/v1/chat/completions"),
            (b'{"input": "x"}', "/v1/embeddings"),
            (b'{"prompt": "x"}', "/v1/completions"),
        ],
    )
    async def test_the_warm_up_goes_where_its_kind_belongs(
        self, request_given: bytes | None, path: str
    ) -> None:
        seen: list[tuple[str, str, bytes]] = []

        def refuse(*said: object) -> tuple[int, bytes]:
            seen.append(said)  # type: ignore[arg-type]
            return 400, b"no"

        async with listening(refuse) as port:
            server = servers(Asker())(RuntimeName.OPENAI)
            await server.warm_up(local(port), "m", request=request_given, timeout=5.0)
            with pytest.raises(UnavailableError):
                await server.warm_up(local(port), "m", request=b"[1]", timeout=5.0)
        made_up = b'{"model": "m", "prompt": "a", "max_tokens": 1}'
        assert seen == [("POST", path, request_given or made_up)]


@pytest.mark.anyio
class TestPlain:
    async def test_the_request_given_is_sent_as_it_stands(self) -> None:
        seen: list[tuple[str, str, bytes]] = []

        def handle(method: str, path: str, body: bytes) -> tuple[int, bytes]:
            seen.append((method, path, body))
            return (500, b"broken") if path == "/broken" else (200, b"")

        server = servers(Asker())(RuntimeName.PLAIN)
        async with listening(handle) as port:
            await server.warm_up(local(port), "m", request=None, timeout=5.0)
            await server.warm_up(local(port), "m", request=REQUEST, timeout=5.0)
            crlf = REQUEST.replace(b"\n", b"\r\n", 3)
            await server.warm_up(local(port), "m", request=crlf, timeout=5.0)
            for wrong in (b"", b"hello", b"POST predict\n\n", b"POST /predict\nno colon\n\n"):
                with pytest.raises(UnavailableError, match="METHOD PATH"):
                    await server.warm_up(local(port), "m", request=wrong, timeout=5.0)
            with pytest.raises(UnavailableError, match="broken"):
                await server.warm_up(local(port), "m", request=b"GET /broken\n\n", timeout=5.0)
        assert seen == [("POST", "/predict", b'{"a": 1}\r\n\r\n')] * 2 + [("GET", "/broken", b"")]

"""What the benchmark measures with is right: processes, the model server, missing peers."""

import http.client
import json
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import bench.__main__ as bench_main
from bench import golang, peers, streams, tls
from bench.__main__ import main
from bench.case import Case, Run
from bench.contenders import GIVEN, Contender, Stage, begin, start
from bench.entries import Measured
from bench.gateway import ask, infer_path
from bench.goload import run_go_load
from bench.load import BrokenLoadError, Load
from bench.process import DiedError, Process, free_port, listening
from bench.rounds import take_rounds
from bench.stats import Row
from bench.wrk import BODY

CACHE = Path(peers.__file__).resolve().parents[1] / ".cache" / "bench"


def python(code: str, log: Path) -> Process:
    return Process([sys.executable, "-c", code], log=log)


def test_cpu_and_memory_are_those_of_the_process(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\nb = bytearray(50_000_000)\n"
    with python(busy + "print('done', flush=True)\ntime.sleep(60)", tmp_path / "log") as process:
        process.wait_until(lambda: "done" in (tmp_path / "log").read_text(), what="done")
        assert 0.25 <= process.cpu_s() <= 1.5
        assert process.rss_bytes() > 50_000_000
    assert not Path(f"/proc/{process.pid}").exists()


def test_the_peak_is_what_was_resident_at_once_since_it_was_forgotten(tmp_path: Path) -> None:
    # 50 MB are taken and given back before anyone looks, 30 MB after; each step waits for a file.
    code = """
import mmap, os, time
def held(size):
    with mmap.mmap(-1, size) as pages:
        for place in range(0, size, 4096):
            pages[place] = 1
held(50_000_000); print("first", flush=True)
while not os.path.exists("go"): time.sleep(0.01)
held(30_000_000); print("second", flush=True); time.sleep(60)
"""
    log = tmp_path / "log"
    with Process([sys.executable, "-c", code], log=log, cwd=tmp_path) as process:
        process.wait_until(lambda: "first" in log.read_text(), what="first")
        rest = process.rss_bytes()
        assert process.peak_bytes() > rest + 45_000_000
        process.forget_peak()
        (tmp_path / "go").touch()
        process.wait_until(lambda: "second" in log.read_text(), what="second")
        assert rest + 25_000_000 < process.peak_bytes() < rest + 45_000_000


def test_children_count_when_asked_for(tmp_path: Path) -> None:
    # The child lives for as long as its standard input does: until its parent ends.
    child = "import sys, time\nwhile time.process_time() < 0.3: pass\nsys.stdin.read()\n"
    start = f"subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE).wait()"
    with python(f"import subprocess, sys; {start}", tmp_path / "log") as process:
        process.wait_until(
            lambda: process.cpu_s(with_children=True) - process.cpu_s() >= 0.2, what="busy"
        )


def test_who_waits_for_a_process_that_ends_sees_why(tmp_path: Path) -> None:
    with (
        python("raise SystemExit('no such model')", tmp_path / "log") as process,
        pytest.raises(DiedError, match="ended with 1\n  no such model"),
    ):
        process.wait_until(lambda: False, what="ready")


def test_who_waits_too_long_is_told(tmp_path: Path) -> None:
    with (
        python("import time; time.sleep(60)", tmp_path / "log") as process,
        pytest.raises(DiedError, match=r"not ready after 0\.2 s"),
    ):
        process.wait_until(lambda: False, what="ready", seconds=0.2)


def test_the_model_server_opens_when_loaded_and_tells_its_times(tmp_path: Path) -> None:
    port, loaded = free_port(), tmp_path / "loaded"
    command = [sys.executable, "-m", "bench.model", "127.0.0.1", str(port), "--when", str(loaded)]
    root = Path(peers.__file__).resolve().parents[1]
    with Process([*command, "--http-address=x"], log=tmp_path / "log", cwd=root) as process:
        process.wait_until(lambda: "loading" in (tmp_path / "log").read_text(), what="loading")
        assert not listening("127.0.0.1", port)
        before = time.monotonic()
        loaded.touch()
        process.wait_until(lambda: listening("127.0.0.1", port), what="listening")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(2):  # the connection is kept
            connection.request("POST", "/v2/models/any/infer", BODY)
            told = json.loads(connection.getresponse().read())
        connection.close()
        assert before <= told["opened"] <= told["got"] <= time.monotonic()


def test_the_request_is_as_long_as_the_benchmark_says() -> None:
    assert len(BODY) == 150
    assert json.loads(BODY)["inputs"][0]["shape"] == [1, 16]


def test_a_peer_that_cannot_be_had_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers.shutil, "which", lambda *_args, **_more: None)
    with pytest.raises(peers.PeerMissingError, match="install nginx and wrk"):
        peers.wrk(tmp_path)


def measuring(name: str, *values: float, must: bool = False) -> Case:
    row = Row(case=name, figure="slowness", unit="s", values=values, aim=1.0, must=must)
    return Case(name=name, what=name, measure=lambda _run: Measured(rows=(row,)))


def failing(name: str, error: Exception) -> Case:
    def measure(_run: Run) -> Measured:
        raise error

    return Case(name=name, what=name, measure=measure)


@pytest.fixture
def cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setattr(bench_main, "_OUT", tmp_path)
    return lambda *made: monkeypatch.setattr(bench_main, "_CASES", made)


def test_a_missed_aim_only_prints(
    cases: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    cases(measuring("warm", 2.0, 3.0, 4.0))
    assert main([]) == 0
    assert "aim: missed" in capsys.readouterr().out


def test_the_run_fails_when_the_median_misses_what_must_hold(
    cases: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    cases(measuring("warm", 0.5, 3.0, 4.0, must=True), measuring("wake", 0.5))
    assert main([]) == 1
    assert capsys.readouterr().out.endswith("must hold: missed\n0 met, 1 missed\n")
    cases(measuring("warm", 0.5, 0.9, 4.0, must=True))
    assert main([]) == 0


def test_a_broken_case_is_told_and_the_others_are_measured(
    cases: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases(failing("held", DiedError("ebbtide ended with 3")), measuring("warm", 0.5))
    assert main(["--json"]) == 1
    said = capsys.readouterr()
    assert "held broke: ebbtide ended with 3" in said.err
    assert json.loads(said.out) == json.loads((tmp_path / "latest.json").read_text())
    assert len(list(tmp_path.glob("*.json"))) == 2, "one is called after its time, and stays"
    assert json.loads(said.out)["broken"] == {"held": "ebbtide ended with 3"}
    assert len(json.loads(said.out)["figures"]) == 1


def test_a_case_whose_tools_are_missing_is_told_and_fails_nothing(
    cases: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    cases(failing("sse", peers.PeerMissingError("Go is not on PATH")), measuring("warm", 0.5))
    assert main([]) == 0
    assert "not measured: sse: Go is not on PATH" in capsys.readouterr().out


def test_go_is_missed_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang.shutil, "which", lambda *_args, **_more: None)
    with pytest.raises(peers.PeerMissingError, match="Go is not on PATH"):
        golang.go_program("http", "reverseproxy", cache=tmp_path)


def test_a_quick_run_is_short(cases: Callable[..., None], tmp_path: Path) -> None:
    asked: list[Run] = []

    def measure(run: Run) -> Measured:
        asked.append(run)
        return Measured()

    cases(Case(name="warm", what="warm", measure=measure))
    assert [main(["--quick"]), main(["--rounds", "7", "--seconds", "3"])] == [0, 0]
    assert [(run.rounds, run.seconds) for run in asked] == [(3, 1), (7, 3)]


@pytest.mark.parametrize(
    "argv", [["--rounds", "2"], ["--seconds", "0"], ["--case", "cold"], ["--rounds", "many"]]
)
def test_what_makes_no_sense_is_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(argv)
    assert refused.value.code == 2


@pytest.fixture(scope="module")
def long_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of our model server in Go."""
    folder = tmp_path_factory.mktemp("model")
    port = free_port()
    command = [go_tool("model").path, "127.0.0.1", str(port), "--http-address=x"]
    with Process(command, log=folder / "log") as process:
        process.wait_until(lambda: listening("127.0.0.1", port), what="listening")
        yield port


def go_tool(name: str) -> peers.Tool:
    try:
        return golang.go_program("http", name, cache=CACHE)
    except peers.PeerMissingError as missing:
        pytest.skip(str(missing))


def go_load(port: int, call: str, *flags: str) -> Load:
    url = f"http://127.0.0.1:{port}/v2/models/fixed/{call}"
    return run_go_load(go_tool("load"), "-url", url, seconds=1, flags=flags)


def test_a_load_at_a_fixed_rate_keeps_it(long_model: int) -> None:
    load = go_load(long_model, "infer", "-rate", "200", "-c", "4")
    assert 190 <= load.requests <= 210
    assert 0.9 <= load.seconds <= 3.0


def test_a_load_reads_answers_to_their_end(long_model: int) -> None:
    load = go_load(long_model, "generate", "-expect", str(100 * 2**20))
    assert load.requests >= 1
    with pytest.raises(BrokenLoadError, match="104857600 bytes, expected 7"):
        go_load(long_model, "generate", "-expect", "7")


def test_a_stream_has_its_events_and_their_pauses(long_model: int) -> None:
    load = go_load(long_model, "generate_stream", "-c", "2")
    assert load.requests == 2
    assert load.p50_us >= 200 * 4_500


def test_a_load_that_nobody_answers_says_why() -> None:
    with pytest.raises(BrokenLoadError, match="connection refused"):
        go_load(free_port(), "infer", "-rate", "20")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    run = Run(rounds=3, seconds=1, folder=tmp_path, cache=CACHE, lock=tmp_path / "none", facts={})
    go_tool("model")
    with ExitStack() as stack:
        yield begin(run, stack, streams.long_model(run))


def test_peers_that_a_variable_gives_stand_in_front_of_the_model(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GIVEN["keda"], f"env GOMAXPROCS=1 {go_tool('reverseproxy').path}")
    monkeypatch.delenv(GIVEN["knative"], raising=False)
    made = start(stage, ("go", *GIVEN))
    assert [contender.name for contender in made] == ["go", "keda"]
    assert stage.missing == ["knative: not given (EBBTIDE_BENCH_KNATIVE names a program)"]
    for contender in made:
        assert b"model_name" in ask(contender.port, "POST", infer_path("fixed"), BODY).body


def test_contenders_take_turns_and_what_each_used_is_its_own(stage: Stage) -> None:
    driven: list[str] = []

    def drive(contender: Contender, seconds: int) -> Load:
        driven.append(contender.name)
        for _ in range(10):
            ask(contender.port, "POST", infer_path("fixed"), BODY)
        return Load(requests=10, seconds=seconds, p50_us=1000.0, p99_us=2000.0)

    (busy,) = start(stage, ("go",))
    idle = Contender(name="idle", process=stage.process, port=busy.port, with_children=False)
    entries = take_rounds("small", [idle, busy], drive, stage.run)
    assert driven == ["idle", "go", "idle", "go", "go", "idle", "idle", "go"]
    assert [(entry.contender, len(entry.samples)) for entry in entries] == [("idle", 3), ("go", 3)]
    assert all(value > 0 for entry in entries for value in entry.cpu_us)
    assert entries[0].median("p99_ms") == 2.0
    assert entries[0].median("rps") == 10.0


def test_a_load_that_breaks_names_whose_it_was(stage: Stage) -> None:
    def drive(_contender: Contender, _seconds: int) -> Load:
        raise BrokenLoadError("3 of 9 requests failed")

    with pytest.raises(BrokenLoadError, match="go: 3 of 9"):
        take_rounds("small", start(stage, ("go",)), drive, stage.run)


def test_a_certificate_is_made_that_a_client_can_check(tmp_path: Path) -> None:
    try:
        made = tls.make_certificate(tmp_path)
    except peers.PeerMissingError as missing:
        pytest.skip(str(missing))
    context = ssl.create_default_context(cafile=str(made.chain))
    context.load_cert_chain(made.chain, made.key)
    assert context.get_ca_certs()[0]["subjectAltName"] == (
        ("DNS", "localhost"),
        ("IP Address", "127.0.0.1"),
    )

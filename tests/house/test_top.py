"""`ebbtide top`: what it prints, and what it says when nobody answers."""

import argparse
import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from ebbtide import top
from ebbtide.top_view import screen
from fleet.errors import SettingError, UnavailableError
from gateway.admin.app import make_app
from gateway.admin.ports import ProcessState
from gateway.admin.server import AdminServer
from gateway.core.admission import Admission, Reach
from gateway.core.tokens import read_tokens
from tests.fakes.adminview import FakeView, busy_view


def parse(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    top.arguments(parser)
    return parser.parse_args(flags)


@contextmanager
def admin(view: FakeView, **options: object) -> Iterator[str]:
    """A real admin port; `top` runs a loop of its own, so this one is in a thread."""
    server = AdminServer(make_app(view, **options), host="127.0.0.1", port=0)
    thread = threading.Thread(target=lambda: asyncio.run(server.run()))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()
        thread.join(timeout=10)


def test_once_prints_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    with admin(busy_view()) as address:
        assert top.run(parse("--once", "--admin", f"{address}/"), {}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "ebbtide  GPUs 4/5  awake 1/4  waiting 3  running 3  cost 0.3320 EUR"
    )
    ocr = next(line for line in lines if line.startswith("team/ocr"))
    assert " ".join(ocr.split()) == "team/ocr ● ready 1/3 2 2 3 46 4 2 2.2s - 0.2650 0.3350"
    assert any("failed crash_loop_back_off" in line for line in lines)
    assert sum(line.startswith("MODEL") for line in lines) == 1


def test_json_is_what_the_admin_port_said(capsys: pytest.CaptureFixture[str]) -> None:
    with admin(busy_view()) as address:
        assert top.run(parse("--json", "--admin", address.removeprefix("http://")), {}) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"models", "cost", "gpus", "process"}
    assert [model["model"] for model in told["models"]][-1] == "team/ocr"
    assert told["cost"]["currency"] == "EUR"


def test_nobody_there_is_said_clearly(unused: str) -> None:
    with pytest.raises(UnavailableError, match="no ebbtide answers at") as raised:
        top.run(parse("--once", "--admin", unused), {})
    assert "--url" in str(raised.value)
    assert "port-forward" in str(raised.value)


def test_something_else_there_is_said_clearly(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        admin(FakeView()) as address,
        pytest.raises(UnavailableError, match="answered 404: is that the admin port"),
    ):
        top.run(parse("--once", "--admin", f"{address}/elsewhere"), {})
    assert capsys.readouterr().out == ""


def test_a_token_opens_the_port_of_a_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text("# of the team\na-token-of-twenty-ch\n")
    tokens, _ = read_tokens(file.read_text(), source="")
    guarded = {"tokens": lambda: tokens, "admission": Admission(reach=Reach.NETWORK)}
    with admin(busy_view(), **guarded) as address:
        with pytest.raises(UnavailableError, match="asks for its token\n--token-file"):
            top.run(parse("--once", "--url", address), {})
        assert top.run(parse("--once", "--url", address, "--token-file", str(file)), {}) == 0
        environ = {"EBBTIDE_ADMIN_TOKEN_FILE": str(file)}
        assert top.run(parse("--once", "--url", address), environ) == 0
        file.write_text("another-token-of-ours")
        with pytest.raises(UnavailableError, match="does not know this token"):
            top.run(parse("--once", "--url", address), environ)
    assert "team/ocr" in capsys.readouterr().out


def test_a_port_that_tells_other_machines_nothing_says_why() -> None:
    with (
        admin(busy_view(), admission=Admission(reach=Reach.NETWORK)) as address,
        pytest.raises(UnavailableError, match=r"does not tell us: .*EBBTIDE_ADMIN_TOKEN_FILE"),
    ):
        top.run(parse("--once", "--url", address), {})


@pytest.mark.parametrize("text", ["", "# none\n", "t\u00f6ken-of-twenty-chars"])
def test_a_file_without_a_token_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(SettingError, match="expected a line with the admin token"):
        top.run(parse("--once", "--token-file", str(file)), {})


@pytest.fixture
def unused() -> str:
    """An address where nobody listens: one just closed again."""
    server = AdminServer(make_app(FakeView()), host="127.0.0.1", port=0)
    address = f"http://127.0.0.1:{server.port}"
    server.stop()
    asyncio.run(server.run())
    return address


def printed(capsys: pytest.CaptureFixture[str], *, width: int, trouble: str | None = None) -> str:
    with admin(busy_view()) as address:
        top.run(parse("--json", "--admin", address), {})
    told = json.loads(capsys.readouterr().out)
    console = Console(width=width)
    with console.capture() as captured:
        console.print(screen(told, width=width, trouble=trouble))
    return captured.get()


def test_a_narrow_screen_shows_fewer_figures_and_whole_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    narrow, wide = printed(capsys, width=80), printed(capsys, width=140)
    for name in ("team/ocr", "magika", "speech", "broken", "COST", "crash_loop_back_off"):
        assert name in narrow
        assert name in wide
    assert "SAVED" in wide
    assert "SAVED" not in narrow
    assert narrow.splitlines()[0].rstrip().endswith("EUR"), "the summary is one line"
    assert "…" not in narrow + wide


def test_what_somebody_else_scales_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with admin(busy_view()) as address:
        top.run(parse("--json", "--admin", address), {})
    told = json.loads(capsys.readouterr().out)
    model = next(each for each in told["models"] if not each["reason"])
    told["models"] = [{**model, "second_writer": "HorizontalPodAutoscaler scaler targets it"}]
    console = Console(width=80)
    with console.capture() as captured:
        console.print(screen(told, width=80))
    assert f"{model['phase']} second_writer" in captured.get()


def test_a_question_that_failed_is_shown_under_the_last_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(capsys, width=140, trouble="no answer").rstrip().endswith("no answer")


def test_what_its_gateway_has_lost_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    # Not of the cluster, which is in touch, but of Redis.
    lines = printed(capsys, width=140).splitlines()
    assert lines[1].strip() == "not heard of: Redis for 12s; what is shown may be old"
    whole = busy_view()
    whole.state = ProcessState(cluster_cut_s=0.0, bus_cut_s=0.0)
    with admin(whole) as address:
        top.run(parse("--once", "--url", address), {})
    assert "not heard of" not in capsys.readouterr().out


def test_no_models_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    with admin(FakeView()) as address:
        assert top.run(parse("--once", "--admin", address), {}) == 0
    assert "No model is registered." in capsys.readouterr().out


_TOP = """
import argparse, sys
from ebbtide import top
parser = argparse.ArgumentParser()
top.arguments(parser)
sys.exit(top.run(parser.parse_args(), {}))
"""


def test_ctrl_c_ends_it_well() -> None:
    ours, theirs = pty.openpty()
    with admin(busy_view()) as address, os.fdopen(ours, "rb", buffering=0) as screen_side:
        process = subprocess.Popen(
            [sys.executable, "-c", _TOP, "--admin", address],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "COLUMNS": "140", "LINES": "20", "TERM": "xterm"},
        )
        # Closed here, so that reading ends if the process does.
        os.close(theirs)
        seen = b""
        while b"team/ocr" not in seen:
            seen += screen_side.read(65536) or b""
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0

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
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ebbtide import top
from ebbtide.top_view import screen
from fleet.errors import SettingError, UnavailableError
from fleet.reasons import Reason
from gateway.admin.app import make_app
from gateway.admin.ports import ProcessState, Unready
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
    assert set(told) == {"models", "cost", "gpus", "problems", "process"}
    assert [found["deployment"] for found in told["problems"]] == ["x", "y"]
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


def asked(capsys: pytest.CaptureFixture[str], view: FakeView | None = None) -> dict[str, Any]:
    with admin(view or busy_view()) as address:
        top.run(parse("--json", "--admin", address), {})
    return json.loads(capsys.readouterr().out)


def drawn(told: dict[str, Any], *, width: int, **options: Any) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(screen(told, width=width, **options))
    return captured.get()


def printed(capsys: pytest.CaptureFixture[str], *, width: int, trouble: str | None = None) -> str:
    return drawn(asked(capsys), width=width, trouble=trouble)


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
    shown = printed(capsys, width=80).splitlines()
    assert any(line.startswith("magika     ○ asleep second_writer ") for line in shown)
    words = "magika: second_writer: HorizontalPodAutoscaler magika; ebbtide does not scale it"
    assert words in shown


def test_why_a_pod_does_not_run_is_said_in_the_words_of_the_cluster(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = asked(capsys)
    told["models"][0]["message"] = "3 Insufficient nvidia.com/gpu. " * 20
    name = told["models"][0]["model"]
    (line,) = (one for one in drawn(told, width=80).splitlines() if one.startswith(f"{name}: "))
    assert line.startswith(f"{name}: 3 Insufficient nvidia.com/gpu. 3 Insuff")
    assert (len(line), line[-1]) == (80, "…")


def wrong(number: int, **changes: object) -> dict[str, object]:
    name = f"team-{number}/model"
    told = {"source": "cluster", "deployment": name, "key": "ebbtide.dev/slots", "value": "many"}
    return {**told, "allowed": "auto or a whole number", "warning": False, **changes}


@pytest.mark.parametrize("width", [80, 140])
def test_who_is_not_served_is_told_in_a_line_each_of_five_at_most(
    capsys: pytest.CaptureFixture[str], width: int
) -> None:
    told = {**asked(capsys), "problems": []}
    assert "not served" not in drawn(told, width=width)
    served = told["models"][0]["revision"]
    told["problems"] = [
        wrong(1, warning=True, key="doubtful"),
        wrong(2),
        wrong(2, key="another"),
        wrong(3, deployment=served),
    ]
    shown = drawn(told, width=width)
    key = "slots" if width == 80 else "ebbtide.dev/slots"
    assert f"\n✗ team-2/model not served: {key}: 'many': auto or a whole number" in shown
    assert f"\n✗ {served} wrong: {key}: 'many': auto or a whole number" in shown
    assert "another" not in shown
    assert "doubtful" not in shown
    told["problems"] = [wrong(number, value="many" * 40) for number in range(30)]
    lines = drawn(told, width=width).splitlines()
    assert sum("not served" in line for line in lines) == 4
    assert "… and 26 more with something wrong: /api/problems" in lines
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [80, 140])
def test_a_long_name_takes_no_figure_from_the_screen(
    capsys: pytest.CaptureFixture[str], width: int
) -> None:
    told = asked(capsys)
    told["models"][0]["model"] = "first" + "x" * 190 + "last"
    lines = drawn(told, width=width).splitlines()
    assert lines[2].split()[-1] == ("COST" if width == 80 else "SAVED")
    ocr = next(line.split() for line in lines if line.startswith("team/ocr"))
    assert ocr[-1] == ("0.2650" if width == 80 else "0.3350")
    assert any(line.startswith("firstx") and "last  " in line for line in lines)
    assert max(map(len, lines)) <= width


def test_of_more_models_than_rows_those_with_something_to_see_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = {**asked(capsys), "problems": [wrong(number) for number in range(30)]}
    quiet = {**told["models"][1], "second_writer": None}
    assert quiet["phase"] == "asleep"
    told["models"] = [{**quiet, "model": f"m-{number:03}"} for number in range(300)]
    told["models"][299]["waiting"] = 5
    for busy in told["models"][200:250]:
        busy["phase"] = "loading"
    said = "nobody answers\nand what to do"
    lines = drawn(told, width=80, height=24, trouble=said).splitlines()
    assert len(lines) <= 24
    assert [line.rstrip() for line in lines[1:3]] == ["nobody answers", "and what to do"]
    assert any(line.startswith("m-299 ") for line in lines), "somebody waits"
    assert any(line.startswith("m-200 ") for line in lines)
    assert not any(line.startswith("m-000 ") for line in lines)
    (left_out,) = (line for line in lines if "more models" in line)
    shown = sum(line.startswith("m-") for line in lines)
    assert left_out == f"… and {300 - shown} more models; --once prints all"
    assert len(drawn(told, width=80).splitlines()) > 300, "without a height all of them"


def test_nothing_from_outside_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    told = asked(capsys)
    steering = "\x1b[2J\nebbtide  GPUs 0/0 [bold red]\x9b\u202e"
    told["models"][0] |= {"model": steering, "message": steering, "second_writer": steering}
    told["problems"] = [wrong(1, deployment=steering, key=steering, value=steering)]
    shown = drawn(told, width=140, trouble=steering.replace("\n", ""))
    assert all(char.isprintable() for char in shown.replace("\n", ""))
    assert sum(line.startswith("ebbtide") for line in shown.splitlines()) == 1


def test_a_question_that_failed_is_shown_over_the_last_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(capsys, width=140, trouble="no answer").splitlines()[1].rstrip() == "no answer"


def test_a_gateway_that_is_not_ready_does_not_say_that_there_is_no_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = FakeView(lacks=Unready(reason=Reason.STARTING, message="the cluster has not been read"))
    shown = drawn(asked(capsys, view), width=80)
    assert "not ready: the cluster has not been read" in shown
    assert "No model is registered" not in shown


def test_a_leader_that_is_away_and_a_redis_that_is_full_are_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = FakeView(state=ProcessState(cluster_cut_s=0.0, bus_cut_s=0.0, leader_cut_s=30.0))
    lines = drawn(asked(capsys, view), width=80).splitlines()
    assert lines[1].rstrip() == "not heard of: the autoscaler for 30s; what is shown may be old"
    # Nothing can be heard of it without Redis.
    view.state = replace(view.state, bus_cut_s=31.0, bus_refused=True)
    lines = drawn(asked(capsys, view), width=80).splitlines()
    assert lines[1].rstrip() == "not heard of: Redis for 31s; what is shown may be old"
    assert lines[2].startswith("Redis refuses something")


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

"""The demo's exit code: 0 when every request was answered, and rightly; else 1, and it says so.

The demo's own story, threads, bill and terminal, over a real admin port; only ebbtide and the four
questions are stand-ins. The real thing is `make demo`.
"""

import asyncio
import importlib
import itertools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tritonclient.utils import InferenceServerException

from fleet.messages import CostReport
from fleet.model import Fleet, Phase
from gateway.admin.app import make_app
from gateway.admin.server import AdminServer
from tests.fakes.adminview import FakeLine, FakeView, cost_line, sample
from tests.fakes.cluster import revision

MODELS = ("filetype", "speech", "ocr", "embed")
REQUESTS = len(MODELS) * (1 + 2 + 10)
"""One each at once, two each in turns, a crowd of ten each."""


def asleep() -> FakeView:
    """Four models that sleep, and what they have cost."""
    revisions = [revision(name) for name in MODELS]
    lines = [cost_line(name, gpu_seconds=(1.0, 2.0, 3.0, 4.0), always_on=60.0) for name in MODELS]
    return FakeView(
        snapshot=Fleet(revisions={one.name: one for one in revisions}),
        lines={one.name: FakeLine(sample(one.name), Phase.ASLEEP) for one in revisions},
        account=CostReport(currency="USD", seconds=60.0, lines=tuple(lines)),
    )


class StandIn:
    """Instead of an `ebbtide up`: its admin port alone."""

    ending = 0
    """The exit code it ends with."""

    def __init__(self, command: list[str], **_: object) -> None:
        self.url = "127.0.0.1:9"
        self.admin = ""

    def start(self) -> None:
        self._server = AdminServer(make_app(asleep()), host="127.0.0.1", port=0)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.run()))
        self._thread.start()
        self.admin = f"http://127.0.0.1:{self._server.port}"

    def stop(self, *, urgent: bool = False) -> int:
        self._server.stop()
        self._thread.join(timeout=10)
        return self.ending


class Broken(StandIn):
    """One that never gets ready."""

    def start(self) -> None:
        raise sys.modules["scripts.demo"].Broken("`ebbtide up` was not ready")

    def stop(self, *, urgent: bool = False) -> int:
        return 0


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """The demo over stand-ins, in a folder of its own; all questions are answered right."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = importlib.import_module("scripts.demo")
    python = tmp_path / ".venv-models" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "QUICKSTART", tmp_path / "quickstart")
    monkeypatch.setattr(module, "Ebbtide", StandIn)
    monkeypatch.setattr(module, "QUESTIONS", dict.fromkeys(MODELS, says(module)))
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield module
    for number, handler in before.items():
        signal.signal(number, handler)


def says(module: ModuleType, *, right: bool = True) -> Callable[[object], Any]:
    return lambda _: module.Finding(words="so it is", right=right)


def once(answer: Callable[[object], Any], *, otherwise: Callable[[object], Any], at: int) -> Any:
    """`answer` to the `at`-th question, `otherwise` to all others."""
    number = itertools.count(1)
    return lambda client: (answer if next(number) == at else otherwise)(client)


def lost(error: Exception) -> Callable[[object], Any]:
    def raises(_: object) -> None:
        raise error

    return raises


def test_all_answered_right_is_0(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main() == 0
    out = capsys.readouterr().out
    assert f"All {REQUESTS} requests were answered, and answered right." in out
    assert "10 of 10 answered right" in out
    assert "What it cost" in out
    assert "LOST" not in out


@pytest.mark.parametrize("at", [1, 3, 13], ids=["first", "in turns", "last of the crowd"])
@pytest.mark.parametrize("how", ["wrong", "refused", "cut"])
def test_a_single_one_wrong_or_lost_is_1(
    demo: ModuleType, capsys: pytest.CaptureFixture[str], how: str, at: int
) -> None:
    answers = {
        "wrong": says(demo, right=False),
        "refused": lost(InferenceServerException("start_failed", status="503")),
        "cut": lost(ConnectionResetError("cut")),
    }
    demo.QUESTIONS["ocr"] = once(answers[how], otherwise=says(demo), at=at)
    assert demo.main() == 1
    out = capsys.readouterr().out
    assert f"1 of {REQUESTS} requests were lost or answered wrongly." in out
    assert out.count("WRONG" if how == "wrong" else "LOST") == 1


def test_one_that_is_never_answered_is_1(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    over = threading.Event()
    hangs = once(lambda _: over.wait(60), otherwise=says(demo), at=1)
    demo.QUESTIONS["ocr"] = hangs
    monkeypatch.setattr(demo, "PATIENCE_S", 1.0)
    try:
        assert demo.main() == 1
    finally:
        over.set()
    assert "requests were lost or answered wrongly" in capsys.readouterr().out


def test_an_ebbtide_that_does_not_start_or_end_well_is_1(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(StandIn, "ending", 3)
    assert demo.main() == 1
    assert "exit code 3" in capsys.readouterr().err
    monkeypatch.setattr(demo, "Ebbtide", Broken)
    assert demo.main() == 1
    assert "was not ready" in capsys.readouterr().err

"""`ebbtide check`, as it is called."""

import argparse
import json
from pathlib import Path

import pytest

from ebbtide import check
from tests.house.test_manifests import deployment, write


def run(*words: str, environ: dict[str, str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    check.arguments(parser)
    return check.run(parser.parse_args(words), environ or {})


def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "ebbtide.dev/keep-alive: 5m\n    ebbtide.dev/pinned: 'true'"
    write(tmp_path, a=deployment("a", model="a, b=c", more=more))
    assert run(str(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    where = f"default/a in {tmp_path}/a.yaml"
    rest = (
        "triton on ports 8000 8001 8002, 0 GPUs, replicas 1 to 10, slots auto, keep-alive 300 s, "
        "pinned, mode auto"
    )
    assert lines == [
        f"ok       a: {where}: {rest}",
        f"ok       b: {where}: served as c, {rest}",
        "2 models, 0 errors, 0 warnings in 1 file",
    ]


def test_every_problem_is_one_line_and_the_exit_code_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        tmp_path,
        a=deployment("a", more="ebbtide.dev/slots: x\n    ebbtide.dev/priorty: '1'"),
        b=deployment("b"),
        c=deployment("c", model="b"),
        d="apiVersion: x\nkind: [",
    )
    assert run(str(tmp_path)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok       b: default/b")
    errors = "\n".join(lines[1:-1])
    assert all(line.startswith("error    ") for line in lines[1:-1])
    assert len(lines) == 6
    assert f"{tmp_path}/a.yaml default/a: ebbtide.dev/slots: 'x': auto, or a whole" in errors
    assert (
        "ebbtide.dev/priorty: '1': no such annotation; did you mean ebbtide.dev/priority?" in errors
    )
    assert f"{tmp_path}/c.yaml default/c: ebbtide.dev/model: 'b'" in errors
    assert f"{tmp_path}/d.yaml:" in errors
    assert lines[-1] == "1 model, 4 errors, 0 warnings in 4 files"


def test_warnings_alone_are_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, a=deployment("a").replace("[tritonserver]", "[sh, -c, tritonserver]"))
    assert run(str(tmp_path)) == 0
    assert "\nwarning  " in capsys.readouterr().out


def test_nothing_to_serve_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, a="apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n")
    assert run(str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "No Deployment here has the annotation ebbtide.dev/model.",
        "0 models, 0 errors, 0 warnings in 1 file",
    ]


def test_a_path_that_is_not_there_is_a_wrong_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, a=deployment("a"))
    assert run(str(tmp_path), f"{tmp_path}/none") == 2
    captured = capsys.readouterr()
    assert captured.err == f"ebbtide check: {tmp_path}/none: no such file or folder\n"
    assert captured.out == ""


def test_without_paths_the_call_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 2


def test_json_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        tmp_path,
        a=deployment("a", model="a, x=y"),
        b=deployment("b", more="ebbtide.dev/mode: of"),
    )
    assert run("--json", str(tmp_path)) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert [(each["model"], each["served"]) for each in answer["models"]] == [
        ("a", "a"),
        ("x", "y"),
    ]
    assert answer["models"][0]["ports"] == {"http": 8000, "grpc": 8001, "metrics": 8002}
    assert answer["problems"] == [
        {
            "source": f"{tmp_path}/b.yaml",
            "deployment": "default/b",
            "key": "ebbtide.dev/mode",
            "value": "of",
            "allowed": "one of auto, advise, off",
            "warning": False,
        }
    ]


def test_a_value_cannot_forge_a_line_or_colour(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = 'ebbtide.dev/mode: "[red]x\\nok       all is well\\e[31m"'
    write(tmp_path, a=deployment("a", more=forged))
    assert run(str(tmp_path)) == 1
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 2
    assert "\x1b" not in out
    assert "[red]x" in out
    write(tmp_path, a=deployment("a", more='"ebbtide.dev/x\\nok    well\\e[31m": "1"'))
    assert run(str(tmp_path)) == 1
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 2
    assert "\x1b" not in out

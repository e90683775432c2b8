"""Settings in a file: what a line means, who wins, and what a running process takes over."""

from dataclasses import fields, replace

import pytest

from fleet.errors import SettingError
from fleet.settings import Settings, live_settings, taken_over
from fleet.settings_file import parse_lines, settings_of


def test_a_line_is_a_name_and_the_rest_of_the_line():
    text = "# first\n\n EBBTIDE_TICK = 3s \nEBBTIDE_CURRENCY=a=b # c\n"
    assert parse_lines(text, source="f") == (
        [("f:3", "EBBTIDE_TICK", "3s"), ("f:4", "EBBTIDE_CURRENCY", "a=b # c")],
        [],
    )


def test_a_line_without_a_name_or_value_and_a_second_one_are_faults():
    found, faults = parse_lines("loud\n=3\nEBBTIDE_TICK=1\nEBBTIDE_TICK=2", source="f")
    assert found == [("f:3", "EBBTIDE_TICK", "1")]
    assert faults == [
        "f:1: 'loud': expected NAME=value",
        "f:2: '=3': expected NAME=value",
        "f:4: EBBTIDE_TICK: set in line 3 already",
    ]


def test_the_environment_wins_over_the_file(tmp_path):
    file = tmp_path / "settings"
    file.write_text("EBBTIDE_TICK=3\nEBBTIDE_CURRENCY=EUR\n")
    assert settings_of(file, {"EBBTIDE_TICK": "5"}) == Settings(tick=5.0, currency="EUR")


def test_every_fault_is_told_what_is_overruled_too(tmp_path):
    file = tmp_path / "settings"
    file.write_text("nothing\nEBBTIDE_TICK=often\nEBBTIDE_TICKS=1\nPATH=/bin\n")
    with pytest.raises(SettingError) as caught:
        settings_of(file, {"EBBTIDE_TICK": "1", "EBBTIDE_LIST_MODELS": "yes"})
    said = str(caught.value).splitlines()
    assert [line.removeprefix(f"{file}:").split(": expected")[0] for line in said] == [
        "1: 'nothing'",
        "2: EBBTIDE_TICK='often'",
        "3: EBBTIDE_TICKS: no such setting; did you mean EBBTIDE_TICK?",
        "4: PATH: no such setting",
        "EBBTIDE_LIST_MODELS='yes'",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff", "UTF-8"), (b"#" * (2**20 + 1), "at most 1 MiB"), (None, "No such file")],
)
def test_a_file_that_is_not_text_is_told(tmp_path, content, said):
    file = tmp_path / "settings"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingError, match=said):
        settings_of(file, {})


def test_what_is_live_is_taken_over_and_the_rest_is_named():
    running = Settings()
    change = taken_over(running, replace(running, max_head=2048, tick=9.0))
    assert change.settings == replace(running, max_head=2048)
    assert (change.changed, change.restart) == (("max_head",), ("tick",))
    same = taken_over(running, Settings())
    assert (same.settings, same.changed, same.restart) == (running, (), ())


def test_the_live_ones_are_some_and_not_all():
    assert {"log_level", "max_connections", "shutdown_delay"} <= live_settings()
    assert live_settings() < {field.name for field in fields(Settings)}

"""The file of keys: read at the start, when it changes and on request; kept when it is wrong."""

import logging
import os

import pytest

from fleet.errors import SettingError
from fleet.settings import Settings
from gateway.core.keys import Key, key_line
from gateway.keyfile import KeyFile


def line(name: str) -> str:
    return key_line(f"secret of {name}", Key(name=name)) + "\n"


def names(file: KeyFile, *known: str) -> list[str]:
    assert file.keys is not None
    return [name for name in known if file.keys.find(f"secret of {name}".encode())]


def look_twice(file: KeyFile) -> None:
    """A change counts once it has stood still for one look."""
    file.look()
    file.look()


def test_without_a_file_nobody_is_asked_for_a_key():
    assert KeyFile(Settings()).keys is None


def test_a_start_fails_on_what_is_wrong(tmp_path):
    path = tmp_path / "keys"
    with pytest.raises(SettingError, match="cannot be read"):
        KeyFile(Settings(api_keys=str(path)))
    path.write_text("nonsense\n" + line("a") + "more\n")
    with pytest.raises(SettingError, match=r"keys:1: .*\n.*keys:3: "):
        KeyFile(Settings(api_keys=str(path)))
    path.write_bytes(b"\xff")
    with pytest.raises(SettingError, match="UTF-8"):
        KeyFile(Settings(api_keys=str(path)))


def test_a_file_that_changes_is_read_again(tmp_path):
    path = tmp_path / "keys"
    path.write_text(line("a"))
    file = KeyFile(Settings(api_keys=str(path)))
    before = file.keys
    file.look()
    assert file.keys is before, "read again for nothing"
    path.write_text(line("a") + line("b"))
    look_twice(file)
    assert names(file, "a", "b") == ["a", "b"]
    # As a mounted Secret changes: another file takes its place.
    other = tmp_path / "other"
    other.write_text(line("c") + line("b"))
    os.replace(other, path)
    look_twice(file)
    assert names(file, "a", "b", "c") == ["b", "c"]


def test_a_file_that_is_half_written_is_not_read(tmp_path):
    path = tmp_path / "keys"
    whole = key_line("secret of a", Key(name="a", models=("chat-*",)))
    path.write_text(whole)
    file = KeyFile(Settings(api_keys=str(path)))
    for end in range(whole.index(" models="), len(whole) + 1):
        path.write_text(whole[:end])
        os.utime(path, ns=(end, end))
        file.look()
        found = file.keys and file.keys.find(b"secret of a")
        assert found is not None
        assert found.models == ("chat-*",), "an unfinished line gave its key every model"


@pytest.mark.parametrize("text", ["nonsense\n", ""])
def test_what_is_wrong_changes_nothing_and_is_said_once(tmp_path, caplog, text):
    path = tmp_path / "keys"
    path.write_text(line("a"))
    file = KeyFile(Settings(api_keys=str(path)))
    path.write_text(text)
    with caplog.at_level(logging.ERROR, logger="ebbtide"):
        look_twice(file)
        look_twice(file)
    assert names(file, "a") == ["a"]
    assert [one.getMessage().split()[0] for one in caplog.records] == ["key_wrong", "keys_kept"]
    path.unlink()
    look_twice(file)
    assert names(file, "a") == ["a"]


def test_another_file_or_none_is_followed_and_a_wrong_one_is_not(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(line("a"))
    file = KeyFile(Settings(api_keys=str(first)))
    file.follow(Settings(api_keys=str(second)))
    assert names(file, "a") == ["a"]
    second.write_text(line("b"))
    file.follow(Settings(api_keys=str(second)))
    assert names(file, "a", "b") == ["b"]
    file.follow(Settings())
    assert file.keys is None
    file.look()
    assert file.keys is None

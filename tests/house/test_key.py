"""`ebbtide key`: the line it prints lets in the key it shows, and nothing else repeats it."""

import re

import pytest

from ebbtide.cli import main
from gateway.core.keys import Key, read_keys


def made(capsys, *arguments: str) -> tuple[str, str]:
    assert main(["key", *arguments]) == 0
    shown = capsys.readouterr()
    (secret,) = re.findall(r"^  (ebbtide-[\w-]{43})$", shown.err, flags=re.MULTILINE)
    assert secret not in shown.out
    return secret, shown.out


def test_its_line_lets_its_key_in(capsys):
    secret, line = made(capsys, "ci", "--models", "chat-*,embed", "--trusted")
    keys, faults = read_keys(line, source="keys")
    assert not faults
    wanted = Key(name="ci", models=("chat-*", "embed"), trusted=True)
    assert keys.find(secret.encode()) == wanted


def test_every_key_is_another(capsys):
    secrets = {made(capsys, "ci")[0] for _ in range(3)}
    assert len(secrets) == 3


def test_what_the_file_would_not_take_is_refused(capsys):
    assert main(["key", "two words"]) == 2
    assert main(["key", "ci", "--models", "a;b"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "a name is" in shown.err
    assert "models= takes" in shown.err


def test_a_flag_cut_short_is_none(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["key", "ci", "--model", "chat-*"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --model chat-*" in capsys.readouterr().err

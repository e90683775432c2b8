"""Reads a file that an operator has written: whole, of bounded size, in UTF-8."""

from pathlib import Path

from fleet.errors import SettingError
from fleet.system import system_said

__all__ = ["read_text"]


def read_text(file: Path, *, most: int) -> str:
    """The text in `file`, of at most `most` bytes. Raises `SettingError` naming the file."""
    try:
        with file.open("rb") as opened:
            data = opened.read(most + 1)
    except OSError as error:
        msg = f"{file}: cannot be read: {system_said(error)}"
        raise SettingError(msg) from error
    if len(data) > most:
        msg = f"{file}: expected a file of at most {most // 2**20} MiB"
        raise SettingError(msg)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        msg = f"{file}: expected UTF-8 text"
        raise SettingError(msg) from error

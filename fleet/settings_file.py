"""Settings from a file, for a process that is to take over others without a restart.

Rule 1: lines of ``NAME=value`` with the names of the environment; the value is the line's rest,
        without the space around it. Empty lines, and those that begin with ``#``, are left out.
Rule 2: the environment wins over the file.
Rule 3: everything wrong is told, each with its line; what is overruled is checked too.
"""

from collections.abc import Mapping
from pathlib import Path

from fleet.errors import SettingError
from fleet.settings import Settings, parse_settings, settings_in
from fleet.textfile import read_text

__all__ = ["parse_lines", "settings_of"]

_MOST_BYTES = 2**20


def settings_of(file: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings in `file` and `environ`. Raises `SettingError`, a line for each thing wrong."""
    written, faults = (
        ([], [])
        if file is None
        else parse_lines(read_text(file, most=_MOST_BYTES), source=str(file))
    )
    try:
        settings = parse_settings([*written, *settings_in(environ)])
    except SettingError as error:
        faults += str(error).splitlines()
    if faults:
        raise SettingError("\n".join(faults))
    return settings


def parse_lines(text: str, *, source: str) -> tuple[list[tuple[str, str, str]], list[str]]:
    """The (where, variable, value) of every line that sets one, and what is wrong with others."""
    found: list[tuple[str, str, str]] = []
    faults: list[str] = []
    first: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name:
            faults.append(f"{source}:{number}: {line.strip()!r}: expected NAME=value")
        elif name in first:
            faults.append(f"{source}:{number}: {name}: set in line {first[name]} already")
        else:
            first[name] = number
            found.append((f"{source}:{number}", name, value))
    return found, faults

"""The file of API keys: read at the start, on SIGHUP, and when it has changed.

Rule 1: what cannot be read leaves the old keys in place, and is said; but a start fails on it.
Rule 2: keys are swapped whole: a request goes by those that it found.
Rule 3: a change counts once it has stood still for one look: of a file that is half written a line
        may have lost its `models=`, and its key would call every model.
"""

import logging
from pathlib import Path

from fleet.clock import Clock
from fleet.errors import SettingError
from fleet.settings import Settings
from fleet.telemetry import log
from fleet.textfile import read_text
from gateway.core.keys import Keys, read_keys

__all__ = ["KeyFile"]

_log = log(__name__)
_LOOK_S = 2.0
_MOST_BYTES = 8 * 2**20

_Stamp = tuple[int, int, int] | None


class KeyFile:
    """The keys that a process asks for. Raises `SettingError` when they cannot be read."""

    def __init__(self, settings: Settings) -> None:
        self.keys: Keys | None = None
        """None: nobody is asked for one."""
        self._path = settings.api_keys
        self._stamp: _Stamp = None
        self._seen: _Stamp = None
        self._read()

    def follow(self, settings: Settings) -> None:
        """Read the file again, or the one that is named now; one that is wrong changes nothing."""
        before, self._path = self._path, settings.api_keys
        try:
            self._read()
        except SettingError as error:
            self._path = before
            _kept(error)

    async def run(self, clock: Clock) -> None:
        """Endless: read the file again when it has changed."""
        while True:
            await clock.sleep(_LOOK_S)
            self.look()

    def look(self) -> None:
        """Read the file again if it has changed, and say how that went."""
        if not self._path:
            return
        before, self._seen = self._seen, _stamp(self._path)
        if self._seen == self._stamp or self._seen != before:
            return
        try:
            self._read()
        except SettingError as error:
            _kept(error)
        else:
            _log("keys_read", file=self._path, keys=len(self.keys or ()))

    def _read(self) -> None:
        if not self._path:
            self.keys = self._stamp = None
            return
        # Before the reading: what is written meanwhile is seen at the next look.
        self._stamp = _stamp(self._path)
        keys, faults = read_keys(read_text(Path(self._path), most=_MOST_BYTES), source=self._path)
        if faults:
            raise SettingError("\n".join(faults))
        self.keys = keys


def _kept(error: SettingError) -> None:
    for fault in str(error).splitlines():
        _log("key_wrong", level=logging.ERROR, problem=fault)
    _log("keys_kept", level=logging.ERROR, why="nothing is taken over with faults")


def _stamp(path: str) -> _Stamp:
    """What is different about a file that was written or replaced; None when there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns

"""A file of secrets that is followed: read at the start, on SIGHUP, and when it has changed.

Rule 1: what cannot be read leaves the old ones in place, and is said; but a start fails on it.
Rule 2: they are swapped whole: a request goes by those that it found.
Rule 3: a change counts once it has stood still for one look: a file that is half written may say
        more than it is meant to.
"""

import logging
from collections.abc import Callable, Sized
from pathlib import Path
from typing import Generic, TypeVar

from fleet.clock import Clock
from fleet.errors import SettingError
from fleet.telemetry import log
from fleet.textfile import read_text

__all__ = ["FollowedFile"]

_log = log(__name__)
_LOOK_S = 2.0
_MOST_BYTES = 8 * 2**20

_Stamp = tuple[int, int, int] | None
_T = TypeVar("_T", bound=Sized)


class FollowedFile(Generic[_T]):
    """What `read` makes of the text in the file at `path`; it gets the text and the path.

    `word` is what one of them is called in the log. Raises `SettingError` when it cannot be read.
    """

    def __init__(
        self, path: str, read: Callable[[str, str], tuple[_T, list[str]]], *, word: str
    ) -> None:
        self.found: _T | None = None
        """None: there is no path."""
        self._read, self._word = read, word
        self._path = path
        self._stamp: _Stamp = None
        self._seen: _Stamp = None
        self._take()

    def follow(self, path: str) -> None:
        """Read the file again, or the one that is named now; one that is wrong changes nothing."""
        before, self._path = self._path, path
        try:
            self._take()
        except SettingError as error:
            self._path = before
            self._kept(error)

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
            self._take()
        except SettingError as error:
            self._kept(error)
        else:
            _log(
                f"{self._word}s_read", file=self._path, **{f"{self._word}s": len(self.found or ())}
            )

    def _take(self) -> None:
        if not self._path:
            self.found = self._stamp = None
            return
        # Before the reading: what is written meanwhile is seen at the next look.
        self._stamp = _stamp(self._path)
        text = read_text(Path(self._path), most=_MOST_BYTES)
        found, faults = self._read(text, self._path)
        if faults:
            raise SettingError("\n".join(faults))
        self.found = found

    def _kept(self, error: SettingError) -> None:
        for fault in str(error).splitlines():
            _log(f"{self._word}_wrong", level=logging.ERROR, problem=fault)
        why = "nothing is taken over with faults"
        _log(f"{self._word}s_kept", level=logging.ERROR, why=why)


def _stamp(path: str) -> _Stamp:
    """What is different about a file that was written or replaced; None when there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns

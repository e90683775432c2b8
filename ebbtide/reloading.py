"""SIGHUP: the settings are read again, and what may change while running is taken over at once.

Rule 1: a fault in them changes nothing, and every fault has a line in the log.
Rule 2: one line of the log says what holds now, and what waits for a restart.
Rule 3: whoever reads files beside the settings reads them again too, changed settings or not.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from fleet.errors import SettingError
from fleet.settings import Settings, secret_settings, taken_over
from fleet.settings_file import settings_of
from fleet.subscribers import Subscribers
from fleet.telemetry import log, set_level

__all__ = ["Reloading"]

_log = log(__name__)


class Reloading:
    """The settings of a running process, and where they are read."""

    def __init__(self, settings: Settings, file: Path | None, environ: Mapping[str, str]) -> None:
        self.settings = settings
        """What holds now."""
        self._file, self._environ = file, environ
        self._subscribers = Subscribers[Settings]()

    def on_change(self, listener: Callable[[Settings], None]) -> None:
        """Call `listener` with what holds, every time it has been read again."""
        self._subscribers.add(listener)

    def reload(self) -> None:
        """Read them again."""
        try:
            wanted = settings_of(self._file, self._environ)
        except SettingError as error:
            for fault in str(error).splitlines():
                _log("setting_wrong", level=logging.ERROR, problem=fault)
            _log("settings_kept", level=logging.ERROR, why="nothing is taken over with faults")
            return
        change = taken_over(self.settings, wanted)
        before, self.settings = self.settings, change.settings
        set_level(self.settings.log_level)
        _log(
            "reloaded",
            changed=",".join(_told(name, before, self.settings) for name in change.changed),
            needs_restart=",".join(_told(name, before, wanted) for name in change.restart),
        )
        self._subscribers.tell(self.settings)


def _told(name: str, before: Settings, after: Settings) -> str:
    if name in secret_settings():
        return name
    return f"{name}:{getattr(before, name)}->{getattr(after, name)}"

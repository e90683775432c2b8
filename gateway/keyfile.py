"""The file of API keys.

Rule: of a line that is half written the `models=` may be lost, and its key would call every model:
      so a change is waited for until it stands still (`gateway.followedfile`).
"""

from fleet.clock import Clock
from fleet.settings import Settings
from gateway.core.keys import Keys, read_keys
from gateway.followedfile import FollowedFile

__all__ = ["KeyFile"]


class KeyFile:
    """The keys that a process asks for. Raises `SettingError` when they cannot be read."""

    def __init__(self, settings: Settings) -> None:
        self._file = FollowedFile(
            settings.api_keys, lambda text, path: read_keys(text, source=path), word="key"
        )

    @property
    def keys(self) -> Keys | None:
        """None: nobody is asked for one."""
        return self._file.found

    def follow(self, settings: Settings) -> None:
        """Read the file again, or the one that is named now; one that is wrong changes nothing."""
        self._file.follow(settings.api_keys)

    async def run(self, clock: Clock) -> None:
        """Endless: read the file again when it has changed."""
        await self._file.run(clock)

    def look(self) -> None:
        """Read the file again if it has changed, and say how that went."""
        self._file.look()

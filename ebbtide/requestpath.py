"""The request path of one process, hall and front, from its first connection to its last.

Rule: on the way out readiness goes first; then, after the delay, the listener; what runs or can
      still be dispatched within the grace time is finished; who still waits then is told so.
"""

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from activator.hall import Hall
from ebbtide.signals import Stop
from fleet.clock import Clock
from fleet.errors import SettingError
from fleet.reasons import Reason
from fleet.settings import Settings
from fleet.system import system_said
from fleet.tls import Certificates
from gateway.front import Front

__all__ = ["RequestPath"]

_LAST_WORDS_S = 1.0
"""What is refused at the end has this long to be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPath:
    """Hall and front, and what they share."""

    hall: Hall
    front: Front
    clock: Clock
    certificates: Certificates

    def works(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """Its endless tasks, by name."""
        return {
            "hall": self.hall.run(),
            "certificates": self.certificates.run(self.clock),
            "keys": self.front.keys.run(self.clock),
        }

    async def listen(self, host: str, port: int) -> int:
        """Take connections; returns the port. Raises `SettingError`."""
        try:
            return await self.front.start(host, port)
        except OSError as error:
            where = f"{host}:{port}"
            msg = f"cannot listen on {where}: {system_said(error)}; --port takes another"
            raise SettingError(msg) from error

    def reload(self, settings: Settings) -> None:
        """Take over what may change while running, and read files again."""
        self.certificates.follow(settings)
        self.hall.reload(settings)
        self.front.reload(settings)

    async def leave(self, stop: Stop, settings: Settings) -> None:
        """Finish what runs or can still be dispatched, as long as the grace time allows."""
        self.front.turn_away()
        await stop.unless_urgent(self.clock.sleep(settings.shutdown_delay))
        self.front.stop_accepting()
        await stop.unless_urgent(self.front.drained(self.clock.now() + settings.shutdown_grace))
        self.hall.refuse_waiting(Reason.SHUTTING_DOWN)
        await stop.unless_urgent(self.front.drained(self.clock.now() + _LAST_WORDS_S))

    def close(self) -> None:
        """End everything that is left, at once."""
        self.front.close()
        self.hall.close()

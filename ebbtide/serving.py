"""What `ebbtide up` is called with, and what a serving process has running, whatever its parts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ebbtide.signals import Stop
from fleet.settings import Settings

__all__ = ["Options", "Serving", "shown_url"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `ebbtide up` was called with."""

    paths: Sequence[Path]
    gpus: int | None
    host: str
    port: int
    admin_host: str
    admin_port: int
    settings: Settings
    settings_file: Path | None = None
    workers: int = 1
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The parts, running."""

    greeting: Mapping[str, str]
    """What whoever started it is told at once: a word each, and what there is of it."""
    reload: Callable[[Settings], None]
    """Take over what of these settings may change while running, and read files again."""
    leave: Callable[[Stop, Settings], Awaitable[None]]
    """Finish what runs or can still be dispatched, as long as the grace time allows."""


def shown_url(host: str, port: int, *, tls: bool = False) -> str:
    """Where somebody reaches what listens on `host`."""
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"

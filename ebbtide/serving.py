"""What `ebbtide up` is called with, and what it has running; the same with workers and without."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ebbtide.signals import Stop
from fleet.cluster.local.gpus import Gpus
from fleet.model import Fleet
from fleet.settings import Settings

__all__ = ["Options", "Serving"]


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

    fleet: Fleet
    """As it was at the start."""
    gpus: Gpus
    port: int
    admin_port: int
    reload: Callable[[Settings], None]
    """Take over what of these settings may change while running, and read files again."""
    leave: Callable[[Stop, Settings], Awaitable[None]]
    """Finish what runs or can still be dispatched, as long as the grace time allows."""

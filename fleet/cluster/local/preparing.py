"""Makes ready what a replica needs on disk, and says how it is started."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from fleet.cluster.local import logs
from fleet.cluster.local.podspec import Launch, PodSpec, launch
from fleet.cluster.local.process import MARKER
from fleet.cluster.local.tritonserver import COMMAND, MISSING, locate, with_triton
from fleet.errors import SettingError
from fleet.settings import Settings
from fleet.system import system_said

__all__ = ["Place", "Prepared", "Preparing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Who is started, and where."""

    pod: PodSpec
    pod_name: str
    address: str
    gpus: Mapping[str, str]
    """The variables that tell it which GPUs it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """How a replica is started, and where its output goes."""

    launch: Launch
    log: Path


class Preparing:
    """The folders of one run of ebbtide. All methods block for a few file operations.

    `run` names this run: it begins with the process id and ``-``.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str], *, run: str) -> None:
        self._settings = settings
        self._environ = environ
        self._state = Path(settings.state_dir).absolute()
        self._scratch = self._state / "run" / run

    def prepare(self, place: Place) -> Prepared:
        """Write the volumes. Raises `OSError`, or `SettingError` without a tritonserver."""
        made = launch(
            place.pod,
            pod_name=place.pod_name,
            address=place.address,
            scratch=self._scratch_of(place),
            inherited=self._inherited(),
        )
        if made.argv[0] == COMMAND:
            made = self._with_triton(made)
        made = replace(made, env=MappingProxyType({**made.env, **place.gpus}))
        for folder in made.directories:
            folder.mkdir(parents=True, exist_ok=True)
        for path, content in made.files.items():
            path.write_bytes(content)
            path.chmod(made.modes.get(path, 0o644))
        folder = self._state / "logs" / place.pod.namespace
        return Prepared(launch=made, log=logs.open_place(folder, place.pod_name))

    def no_triton(self) -> str:
        """Why no `tritonserver` can be started here; empty when one can."""
        try:
            found = locate(self._settings.tritonserver, self._environ, state_dir=self._state)
        except SettingError as error:
            return str(error)
        except OSError as error:
            return f"tritonserver: {system_said(error)}"
        return MISSING if found is None else ""

    def clean(self, place: Place) -> None:
        """Remove what a replica that ended had on disk, its log apart."""
        shutil.rmtree(self._scratch_of(place), ignore_errors=True)

    def clean_run(self) -> None:
        """Remove what this run, and runs that were killed, left on disk."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        runs = self._scratch.parent
        for name in os.listdir(runs) if runs.is_dir() else ():
            pid = name.partition("-")[0]
            if pid.isdigit() and not Path("/proc", pid).exists():
                shutil.rmtree(runs / name, ignore_errors=True)

    def _scratch_of(self, place: Place) -> Path:
        return self._scratch / place.pod.namespace / place.pod_name

    def _inherited(self) -> dict[str, str]:
        return {
            key: value
            for key, value in self._environ.items()
            if not key.startswith("EBBTIDE_") and key != MARKER
        }

    def _with_triton(self, made: Launch) -> Launch:
        server = locate(self._settings.tritonserver, made.env, state_dir=self._state)
        if server is None:
            raise SettingError(MISSING)
        return with_triton(made, server)

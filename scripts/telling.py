"""How the set-up speaks: a line per step, and a sign of life while a long one runs."""

from __future__ import annotations

import selectors
import subprocess
import sys
import time


class Failure(Exception):  # noqa: N818  # its text is what the caller is told
    """Set-up cannot go on; the text says why and what to do."""


def say(text: str) -> None:
    """One line."""
    print(f"setup: {text}", flush=True)


def watch(command: list[str], *, what: str, env: dict[str, str], packages: int = 0) -> None:
    """Run `command`; after two seconds say how far it is. Raises `Failure` with its last lines.

    `packages`: how many pip will collect, to count against.
    """
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    ) as process:
        try:
            lines = _follow(process, Progress(what, packages))
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        shown = "\n".join(f"    {line}" for line in lines[-25:])
        msg = f"{what} failed (exit code {process.returncode}):\n{shown}"
        raise Failure(msg)


def _follow(process: subprocess.Popen, progress: Progress) -> list[str]:
    lines: list[str] = []
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(timeout=1.0):
                chunk = process.stdout.read1(65536)
                if not chunk:
                    break
                *whole, rest = (rest + chunk).split(b"\n")
                lines += [line.decode(errors="replace").rstrip() for line in whole]
            progress.show(lines)
    if rest:
        lines.append(rest.decode(errors="replace"))
    process.wait()
    progress.end()
    return lines


class Progress:
    """One line that is drawn over on a terminal; elsewhere a new line every ten seconds."""

    def __init__(self, what: str, packages: int) -> None:
        self._what, self._packages = what, packages
        self._start = time.monotonic()
        self._terminal = sys.stdout.isatty()
        self._next = self._start + 2.0
        self._drawn = False

    def show(self, lines: list[str]) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (0.5 if self._terminal else 10.0)
        text = f"setup: {self._what}: {self._step(lines)}{now - self._start:.0f} s"
        if self._terminal:
            print(f"\r\x1b[K{text}", end="", flush=True)
            self._drawn = True
        else:
            print(text, flush=True)

    def _step(self, lines: list[str]) -> str:
        if self._packages < 2:
            return ""
        if any(line.startswith("Installing collected") for line in lines):
            return f"unpacking {self._packages} packages, "
        collected = sum(line.startswith(("Collecting ", "Requirement ")) for line in lines)
        return f"{collected} of {self._packages} packages, "

    def end(self) -> None:
        if self._drawn:
            print("\r\x1b[K", end="", flush=True)

"""The load that wrk cannot make: bodies read to their end, a fixed rate, slow readers."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.golang import go_program
from bench.load import BrokenLoadError, Load, read_load
from bench.peers import Tool

__all__ = ["load_program", "run_go_load"]

_SLOWEST_S = 60


def load_program(cache: Path) -> Tool:
    """The program, built on first use."""
    return go_program("http", "load", cache=cache)


def run_go_load(
    tool: Tool, *target: str, seconds: int, flags: Sequence[str], body: str = ""
) -> Load:
    """Drive `target`, the flags that name it. Raises `BrokenLoadError` unless all went well."""
    command = [str(tool.path), *target, "-d", f"{seconds}s", *flags]
    try:
        done = subprocess.run(
            command,
            input=body,
            env=tool.env,
            capture_output=True,
            text=True,
            timeout=seconds + _SLOWEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{target[-1]} was not done {_SLOWEST_S} s after its load of {seconds} s"
        raise BrokenLoadError(msg) from error
    if done.returncode != 0:
        msg = f"the load ended with {done.returncode}: {done.stdout}{done.stderr}"
        raise BrokenLoadError(msg)
    return read_load(done.stdout)

"""The load: wrk with one thread and keep-alive connections, a 150-byte V2 inference each time.

The script prints one line of JSON at the end; `read_load` reads that and nothing else.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.peers import Tool

__all__ = ["BODY", "BrokenLoadError", "Load", "read_load", "run_load"]

_VALUES = ",".join(["1.5", "2.5", "3.5", "4.5"] * 4)
BODY = (
    '{"inputs":[{"name":"x","shape":[1,16],"datatype":"FP32","data":[' + _VALUES + "]}],"
    '"id":"01234567890"}'
)
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [[%s]]
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%%d,"errors":%%d,"us":%%d,"p50_us":%%d,"p99_us":%%d}\\n',
    summary.requests, e.connect + e.read + e.write + e.status + e.timeout,
    summary.duration, latency:percentile(50), latency:percentile(99)))
end
"""


class BrokenLoadError(Exception):
    """Requests failed, or none was answered: what was measured is not the thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one run of wrk did."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float


def run_load(wrk: Tool, url: str, *, seconds: int, connections: int, folder: Path) -> Load:
    """Drive `url` for `seconds`. Raises `BrokenLoadError` unless every request got a 2xx."""
    script = folder / "infer.lua"
    script.write_text(_SCRIPT % BODY)
    command = [str(wrk.path), "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    done = subprocess.run(
        command, env=wrk.env, capture_output=True, text=True, timeout=seconds + 30, check=False
    )
    if done.returncode != 0:
        msg = f"wrk ended with {done.returncode}: {done.stdout}{done.stderr}"
        raise BrokenLoadError(msg)
    return read_load(done.stdout)


def read_load(text: str) -> Load:
    """What wrk printed, as a value. Raises `BrokenLoadError` when it is no measurement."""
    lines = text.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        msg = f"wrk did not finish: {text.strip() or 'it printed nothing'}"
        raise BrokenLoadError(msg)
    found = json.loads(lines[-1])
    if found["errors"] or not found["requests"]:
        msg = f"{found['errors']} of {found['requests']} requests failed"
        raise BrokenLoadError(msg)
    return Load(
        requests=found["requests"],
        seconds=found["us"] / 1e6,
        p50_us=float(found["p50_us"]),
        p99_us=float(found["p99_us"]),
    )

"""The load: wrk with one thread and keep-alive connections, a 150-byte V2 inference each time.

The script prints one line of JSON at the end; `read_load` reads that and nothing else.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from bench.load import BrokenLoadError, Load, read_load
from bench.peers import Tool

__all__ = ["BODY", "run_load"]

_VALUES = ",".join(["1.5", "2.5", "3.5", "4.5"] * 4)
BODY = (
    '{"inputs":[{"name":"x","shape":[1,16],"datatype":"FP32","data":[' + _VALUES + "]}],"
    '"id":"01234567890"}'
)
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
%s
wrk.body = [[%s]]
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%%d,"errors":%%d,"first_error":"%%s","us":%%d,"p50_us":%%d,"p99_us":%%d}\\n',
    summary.requests, e.connect + e.read + e.write + e.status + e.timeout,
    string.format("connect %%d, read %%d, write %%d, status %%d, timeout %%d",
      e.connect, e.read, e.write, e.status, e.timeout),
    summary.duration, latency:percentile(50), latency:percentile(99)))
end
"""
_PATHS = """
local paths, made, turn = {%s}, {}, 0
init = function(args)
  for number, path in ipairs(paths) do made[number] = wrk.format(nil, path) end
end
request = function()
  turn = turn %% #made + 1
  return made[turn]
end
"""


def run_load(
    wrk: Tool,
    url: str,
    *,
    seconds: int,
    connections: int,
    folder: Path,
    fields: Mapping[str, str] = MappingProxyType({}),
    paths: Sequence[str] = (),
) -> Load:
    """Drive `url`, or `paths` there in turns. Raises `BrokenLoadError` unless all got a 2xx."""
    script = folder / "infer.lua"
    more = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in fields.items())
    each = _PATHS % ",".join(f'"{path}"' for path in paths) if paths else ""
    script.write_text(_SCRIPT % (more, BODY) + each)
    command = [str(wrk.path), "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    done = subprocess.run(
        command, env=wrk.env, capture_output=True, text=True, timeout=seconds + 30, check=False
    )
    if done.returncode != 0:
        msg = f"wrk ended with {done.returncode}: {done.stdout}{done.stderr}"
        raise BrokenLoadError(msg)
    return read_load(done.stdout)

"""A model server that costs next to nothing: nginx with one fixed answer to everything.

Run as a module it writes its configuration and becomes nginx, so that it can be the command of a
Deployment: ``python -m bench.fixed NGINX HOST PORT FOLDER``. With ``--when FILE`` it does so once
FILE is there. FOLDER/opened says when that was, in seconds of the machine's monotonic clock.
"""

import os
import sys
import time
from pathlib import Path

from bench.nginx import nginx_command, write_nginx

__all__ = ["ANSWER"]

_VALUES = ",".join(["3.0", "5.0", "7.0", "9.0"] * 4)
ANSWER = (
    '{"model_name":"fixed","model_version":"1","outputs":[{"name":"y","datatype":"FP32",'
    '"shape":[1,16],"data":[' + _VALUES + "]}]}"
)
_SERVER = """server {{
    listen {host}:{port} backlog=4096;
    location / {{ default_type application/json; return 200 '{answer}'; }}
  }}"""


def _main() -> None:
    nginx, host, port, given = sys.argv[1:5]  # a runtime may have flags of its own added after
    folder = Path(given)
    configuration = write_nginx(folder, _SERVER.format(host=host, port=port, answer=ANSWER))
    if "--when" in sys.argv:
        _wait_for(Path(sys.argv[sys.argv.index("--when") + 1]))
    (folder / "opened").write_text(str(time.monotonic()))
    os.execv(nginx, nginx_command(Path(nginx), configuration))


def _wait_for(file: Path) -> None:
    print("loading", flush=True)
    while not file.exists():
        time.sleep(0.02)  # no event tells of another process's file; who started this bounds it


if __name__ == "__main__":
    _main()

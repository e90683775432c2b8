"""A model server that costs next to nothing: nginx with one fixed answer to everything.

Run as a module it writes its configuration and becomes nginx, so that it can be the command of a
Deployment: ``python -m bench.fixed NGINX HOST PORT FOLDER``.
"""

import os
import sys
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
    nginx, host, port, folder = sys.argv[1:5]  # a runtime may have flags of its own added after
    configuration = write_nginx(Path(folder), _SERVER.format(host=host, port=port, answer=ANSWER))
    os.execv(nginx, nginx_command(Path(nginx), configuration))


if __name__ == "__main__":
    _main()

"""A model server that costs next to nothing: nginx with one fixed answer to everything.

Run as a module it writes its configuration and becomes nginx, so that it can be the command of a
Deployment: ``python -m bench.fixed NGINX HOST PORT FOLDER``.
"""

import os
import sys
from pathlib import Path

__all__ = ["ANSWER", "nginx_command", "write_configuration"]

_VALUES = ",".join(["3.0", "5.0", "7.0", "9.0"] * 4)
ANSWER = (
    '{"model_name":"fixed","model_version":"1","outputs":[{"name":"y","datatype":"FP32",'
    '"shape":[1,16],"data":[' + _VALUES + "]}]}"
)
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  {temporary}
  server {{
    listen {host}:{port} backlog=4096;
    location / {{ default_type application/json; return 200 '{answer}'; }}
  }}
}}
"""


def write_configuration(host: str, port: int, folder: Path) -> Path:
    """nginx's configuration for one address, in `folder`, which also takes all it writes."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = "\n  ".join(f"{name}_temp_path {folder}/{name};" for name in _TEMPORARY)
    path = folder / "nginx.conf"
    path.write_text(
        _CONFIGURATION.format(
            host=host, port=port, folder=folder, temporary=temporary, answer=ANSWER
        )
    )
    return path


def nginx_command(nginx: Path, configuration: Path) -> list[str]:
    """How nginx is started with it."""
    return [str(nginx), "-e", "stderr", "-p", str(configuration.parent), "-c", str(configuration)]


def _main() -> None:
    nginx, host, port, folder = sys.argv[1:5]  # a runtime may have flags of its own added after
    command = nginx_command(Path(nginx), write_configuration(host, int(port), Path(folder)))
    os.execv(nginx, command)


if __name__ == "__main__":
    _main()

"""nginx's configurations: as a proxy that is measured, and the frame all of them share.

Rule 1: one process, no master; everything it writes lies in the folder it is given.
"""

from pathlib import Path

from bench.envoy import Certificate

__all__ = ["nginx_command", "proxy_server", "write_nginx"]

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_FRAME = """daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  client_max_body_size 0;
  {temporary}
  {server}
}}
"""
_PROXY = """upstream model {{
    server 127.0.0.1:{model};
    keepalive 1024;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096{tls};
    location / {{
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_buffering {buffering};
      proxy_buffer_size 64k;
      proxy_buffers 8 64k;
      proxy_busy_buffers_size 128k;
      client_body_buffer_size 256k;
      proxy_read_timeout 600s;
      proxy_pass http://model;
    }}
  }}"""
_TLS = """ ssl;
    ssl_certificate {chain};
    ssl_certificate_key {key}"""


def write_nginx(folder: Path, server: str) -> Path:
    """A whole configuration around `server`, in `folder`, which also takes all nginx writes."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = "\n  ".join(f"{name}_temp_path {folder}/{name};" for name in _TEMPORARY)
    path = folder / "nginx.conf"
    path.write_text(_FRAME.format(folder=folder, temporary=temporary, server=server))
    return path


def proxy_server(port: int, model: int, *, buffering: bool, tls: Certificate | None = None) -> str:
    """From 127.0.0.1:`port` to 127.0.0.1:`model`, on connections that are kept."""
    ssl = "" if tls is None else _TLS.format(chain=tls.chain, key=tls.key)
    return _PROXY.format(port=port, model=model, buffering="on" if buffering else "off", tls=ssl)


def nginx_command(nginx: Path, configuration: Path) -> list[str]:
    """How nginx is started with it."""
    return [str(nginx), "-e", "stderr", "-p", str(configuration.parent), "-c", str(configuration)]

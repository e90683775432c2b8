"""The flags of the processes of a cluster, and what they come to with environment and place.

Rule 1: a flag wins over its setting. It is read as the setting is, with the same error.
Rule 2: in a pod they listen on all addresses, since that is where they are asked from; elsewhere
        on this machine alone.
Rule 3: who we are to the API server: `--kubeconfig`; in a pod its service account; else what
        kubectl would take, `KUBECONFIG` or `~/.kube/config`.
"""

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ebbtide.flags import MAX_PORT, settings_flag, whole_number
from ebbtide.kubernetes.place import Place
from fleet.errors import SettingError
from fleet.kubernetes.credentials import in_pod
from fleet.setting_values import parse_value
from fleet.settings import Settings
from fleet.settings_file import settings_of

__all__ = ["Options", "account_flags", "listening_flags", "options_of", "place_of", "settled"]

_LOOPBACK, _EVERYWHERE, _EVERYWHERE_6 = "127.0.0.1", "0.0.0.0", "::"
_PORT, _ADMIN_PORT = 8080, 8081


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a process of a cluster was called with."""

    place: Place
    host: str
    port: int
    admin_host: str
    admin_port: int
    settings: Settings
    settings_file: Path | None
    environ: Mapping[str, str]
    """With what the flags say in place of what it said."""


def account_flags(parser: argparse.ArgumentParser) -> None:
    """Who we are to the API server, where its Deployments are looked at, and where Redis is."""
    parser.add_argument(
        "--kubeconfig",
        metavar="FILE",
        type=_said,
        help="how the API server is reached (in a pod its service account; else as kubectl: "
        "KUBECONFIG, ~/.kube/config)",
    )
    parser.add_argument(
        "--context", metavar="NAME", type=_said, help="of the kubeconfig (its current one)"
    )
    parser.add_argument(
        "--namespace",
        action="append",
        metavar="NAME",
        type=_as_setting("namespace"),
        help="look at the Deployments of this namespace alone; repeat it for more "
        "(EBBTIDE_NAMESPACES, else all)",
    )
    parser.add_argument(
        "--redis",
        metavar="URL",
        type=_as_setting("redis_url"),
        help="the Redis between gateways and autoscaler (EBBTIDE_REDIS_URL)",
    )


def listening_flags(parser: argparse.ArgumentParser, *, requests: bool) -> None:
    """Where it listens, for `requests` too, and its file of settings."""
    if requests:
        parser.add_argument("--host", help="address to listen on (127.0.0.1; in a pod all of its)")
        parser.add_argument(
            "--port",
            type=whole_number(MAX_PORT),
            default=_PORT,
            help="port for requests; 0 takes a free one (%(default)s)",
        )
    parser.add_argument(
        "--admin-host",
        help="address of the admin port (127.0.0.1; in a pod all of its); other machines are told "
        "little there without EBBTIDE_ADMIN_TOKEN_FILE",
    )
    parser.add_argument(
        "--admin-port",
        type=whole_number(MAX_PORT),
        default=_ADMIN_PORT,
        help="port for health, metrics, API and live page; 0 takes a free one (%(default)s)",
    )
    settings_flag(parser)


def options_of(
    args: argparse.Namespace, environ: Mapping[str, str], *, pod: Callable[[], bool] = in_pod
) -> Options:
    """What `args` mean here. Raises `SettingError`."""
    settings, environ = settled(args, environ)
    if not settings.redis_url:
        msg = (
            "no Redis is named: gateways and autoscaler speak through one\n"
            "--redis redis://HOST names it, or EBBTIDE_REDIS_URL with its password"
        )
        raise SettingError(msg)
    place = place_of(args, environ, pod=pod)
    host = _everywhere(environ) if place.pod else _LOOPBACK
    return Options(
        place=place,
        host=getattr(args, "host", None) or host,
        port=getattr(args, "port", _PORT),
        admin_host=args.admin_host or host,
        admin_port=args.admin_port,
        settings=settings,
        settings_file=args.settings,
        environ=environ,
    )


def _everywhere(environ: Mapping[str, str]) -> str:
    """Of the family of the pod's address: where there is but one, nobody comes by the other."""
    return _EVERYWHERE_6 if ":" in environ.get("POD_IP", "") else _EVERYWHERE


def settled(
    args: argparse.Namespace, environ: Mapping[str, str]
) -> tuple[Settings, Mapping[str, str]]:
    """The settings, and an environment that says what the flags say. Raises `SettingError`."""
    environ = _overruled(args, environ)
    return settings_of(args.settings, environ), environ


def place_of(
    args: argparse.Namespace, environ: Mapping[str, str], *, pod: Callable[[], bool] = in_pod
) -> Place:
    """Where this process runs, and whom the API server takes it for. Raises `SettingError`."""
    here = pod()
    if args.kubeconfig:
        kubeconfig: str | None = args.kubeconfig
    elif here and not args.context:
        kubeconfig = None
    else:
        kubeconfig = _as_kubectl(environ)
    return Place(pod=here, kubeconfig=kubeconfig, context=args.context)


def _as_kubectl(environ: Mapping[str, str]) -> str:
    named = environ.get("KUBECONFIG", "")
    own = Path(environ.get("HOME", "~")).expanduser() / ".kube" / "config"
    found = [path for path in (named or str(own)).split(os.pathsep) if Path(path).is_file()]
    if found:
        return os.pathsep.join(found)
    looked = f"KUBECONFIG names {named}, and it is not there" if named else f"{own} is not there"
    msg = (
        f"no cluster is known: this is no pod with a service account, and {looked}\n"
        "--kubeconfig FILE names one; `kubectl config view` shows what kubectl uses"
    )
    raise SettingError(msg)


def _overruled(args: argparse.Namespace, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment as if it said what the flags say."""
    said = dict(environ)
    if args.namespace:
        said["EBBTIDE_NAMESPACES"] = ",".join(args.namespace)
    if args.redis:
        said["EBBTIDE_REDIS_URL"] = args.redis
    return said


def _said(text: str) -> str:
    """An argparse type: something. An empty variable of a shell shall not mean another cluster."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a value; without the flag its default counts")
    return text


def _as_setting(name: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        _said(text)
        try:
            return str(parse_value(name, text, default=""))
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected {error}") from error

    return parse

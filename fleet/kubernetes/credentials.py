"""Who we are to an API server: a kubeconfig file, or the service account of the pod we run in.

Both are read as the Kubernetes client reads them: tokens, client certificates, exec plugins; the
service account's token is read again every minute, since it is changed while it is used.
"""

import asyncio
import os
from pathlib import Path

import yaml
from kubernetes.aio import client, config

from fleet.errors import SettingError
from fleet.system import system_said

__all__ = ["ACCOUNT", "in_pod", "read_credentials", "same"]

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its service account."""

_BROKEN = (config.ConfigException, yaml.YAMLError, TypeError, ValueError, KeyError, AttributeError)


def in_pod() -> bool:
    """Whether this process has a service account."""
    return (ACCOUNT / "token").exists()


async def read_credentials(
    kubeconfig: str | None, *, context: str | None = None
) -> client.Configuration:
    """What `kubeconfig` says in `context`, or its current one; None: the pod's service account.

    Several files, as `KUBECONFIG` names them, are one. Raises `SettingError`.
    """
    made = client.Configuration()
    if kubeconfig is None:
        _read_account(made)
    else:
        await _read_files(made, kubeconfig, context)
    return made


def _read_account(made: client.Configuration) -> None:
    try:
        config.load_incluster_config(made)
    except (config.ConfigException, OSError) as error:
        msg = f"no kubeconfig was given, and this is no pod with a service account: {error}"
        raise SettingError(msg) from error


async def _read_files(made: client.Configuration, kubeconfig: str, context: str | None) -> None:
    try:
        # The library only logs a file that is missing.
        path = await asyncio.to_thread(_readable, kubeconfig)
        await config.load_kube_config(
            config_file=path,
            context=context,
            client_configuration=made,
            persist_config=False,
        )
    except OSError as error:
        msg = f"kubeconfig {kubeconfig!r}: {system_said(error)}"
        raise SettingError(msg) from error
    except _BROKEN as error:
        msg = f"kubeconfig {kubeconfig!r}: expected the file that kubectl uses: {error}"
        raise SettingError(msg) from error


def _readable(kubeconfig: str) -> str:
    paths = [Path(path).expanduser() for path in kubeconfig.split(os.pathsep)]
    for path in paths:
        with path.open("rb"):
            pass
    return os.pathsep.join(map(str, paths))


def same(one: client.Configuration, other: client.Configuration) -> bool:
    """Whether both would be taken for the same user of the same server."""
    return _told(one) == _told(other)


def _told(configuration: client.Configuration) -> tuple[object, ...]:
    return (
        configuration.host,
        configuration.api_key.get("BearerToken"),
        configuration.ssl_ca_cert,
        configuration.cert_file,
        configuration.key_file,
    )

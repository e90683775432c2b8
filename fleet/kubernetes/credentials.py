"""Who we are to an API server: a kubeconfig file, or the service account of the pod we run in.

Both are read as the Kubernetes client reads them: tokens, client certificates, exec plugins; the
service account's token is read again every minute, since it is changed while it is used.

Rule: whoever was to be somebody is never nobody: a plugin that gives no credentials is an error,
      and not the name `system:anonymous` in every answer that follows.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import yaml
from kubernetes.aio import client, config

from fleet.errors import SettingError
from fleet.system import system_said

__all__ = ["ACCOUNT", "in_pod", "read_credentials", "same"]

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its service account."""

_FAULTY = (config.ConfigException, yaml.YAMLError, ValueError)
_NONE = (TypeError, KeyError, AttributeError)
"""What the library meets in a file that has another shape; what it says then is of its own code."""
_PLUGIN_S = 60.0
"""For an exec plugin: some ask a person first."""
_LIBRARY = logging.getLogger("kubernetes.aio.config.kube_config")


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
        async with asyncio.timeout(_PLUGIN_S):
            with _plugin_heard() as complaints:
                await config.load_kube_config(
                    config_file=path,
                    context=context,
                    client_configuration=made,
                    persist_config=False,
                )
        if complaints and not _is_somebody(made):
            msg = f"kubeconfig {kubeconfig!r}: its exec plugin: {'; '.join(complaints)}"
            raise SettingError(msg)
        _check(made)
    except TimeoutError as error:
        msg = f"kubeconfig {kubeconfig!r}: its exec plugin gave no answer within {_PLUGIN_S:g} s"
        raise SettingError(msg) from error
    except OSError as error:
        msg = f"kubeconfig {kubeconfig!r}: {system_said(error)}"
        raise SettingError(msg) from error
    except _FAULTY as error:
        msg = f"kubeconfig {kubeconfig!r}: expected the file that kubectl uses: {error}"
        raise SettingError(msg) from error
    except _NONE as error:
        msg = f"kubeconfig {kubeconfig!r}: expected the file that kubectl uses: clusters, users"
        raise SettingError(f"{msg}, contexts and a current-context") from error


@contextlib.contextmanager
def _plugin_heard() -> Iterator[list[str]]:
    """What the library only logs: that an exec plugin has failed."""
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    ear = Ear(logging.ERROR)
    _LIBRARY.addHandler(ear)
    try:
        yield heard
    finally:
        _LIBRARY.removeHandler(ear)


def _is_somebody(made: client.Configuration) -> bool:
    return bool(made.api_key.get("BearerToken") or made.cert_file)


def _check(made: client.Configuration) -> None:
    """Whether it says which server, and credentials that can be sent. Raises `ValueError`."""
    if not str(made.host).startswith(("http://", "https://")):
        raise ValueError("its cluster has no server, like https://HOST:6443")
    if made.cert_file and not made.key_file:
        raise ValueError("its user has a client-certificate without a client-key")
    token = made.api_key.get("BearerToken")
    if token:
        # A file with a token mostly ends with its line.
        made.api_key["BearerToken"] = token = token.strip()
        if not (token.isascii() and token.isprintable()):
            raise ValueError("its token has characters that no token has")


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

"""TLS contexts from the files that the settings name: for clients' connections, and for replicas'.

Rule 1: TLS 1.2 at least, with forward secrecy and authenticated encryption, and nothing else.
Rule 2: a client that offers HTTP/1.1 gets it; h2 is for those who offer nothing else: gRPC clients.
Rule 3: files that change are read again; what cannot be read leaves the old contexts in place, and
        is said. A context is swapped whole: a connection keeps the one it began with.
"""

import logging
import ssl
from collections.abc import Iterable
from pathlib import Path

from fleet.clock import Clock
from fleet.errors import SettingError
from fleet.settings import Settings
from fleet.system import system_said
from fleet.telemetry import log

__all__ = ["Certificates"]

_log = log(__name__)
_LOOK_S = 5.0
# RFC 9113, 9.2.2: h2 over TLS 1.2 wants an ephemeral key exchange and an AEAD cipher. TLS 1.3 has
# nothing else.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_OFFERED = ("http/1.1", "h2")
_SERVER_FILES = ("tls_cert", "tls_key", "tls_client_ca")
_REPLICA_FILES = ("replica_ca", "replica_cert", "replica_key")

_Stamp = tuple[tuple[str, int, int, int], ...]


class Certificates:
    """The contexts of one process. Raises `SettingError` when they cannot be made."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stamp = _stamp(settings)
        self.server = _server_context(settings)
        """For clients' connections; None: they speak plainly."""
        _check_replica_files(settings)
        self._replica: dict[tuple[bool, bool], ssl.SSLContext] = {}

    def replica(self, *, verify: object, h2: object = False) -> ssl.SSLContext:
        """For connections to replicas: one that checks their certificate, or takes any.

        `h2`: for gRPC, whose servers want it to be offered. Raises `SettingError`.
        """
        key = (bool(verify), bool(h2))
        context = self._replica.get(key)
        if context is None:
            # Loading the system's certificates takes a while: only who needs them waits for it.
            context = _replica_context(self._settings, verify=verify)
            context.set_alpn_protocols(["h2" if h2 else "http/1.1"])
            self._replica[key] = context
        return context

    def reload(self) -> None:
        """Read all files again. Raises `SettingError`; then everything stays as it was."""
        self._take(self._settings)

    def follow(self, settings: Settings) -> None:
        """Use these settings from now on, and the files as they are; say if that cannot be."""
        self._say(settings)

    async def run(self, clock: Clock) -> None:
        """Endless: reload when a file has changed."""
        while True:
            await clock.sleep(_LOOK_S)
            self.look()

    def look(self) -> None:
        """Reload if a file has changed, and say how that went."""
        stamp = _stamp(self._settings)
        if stamp == self._stamp:
            return
        # Halfway through being replaced, say: the next change is looked at again.
        self._stamp = stamp
        self._say(self._settings)

    def _say(self, settings: Settings) -> None:
        try:
            self._take(settings)
        except SettingError as error:
            _log("certificates_kept", level=logging.ERROR, error=str(error))
        else:
            if self._stamp:
                _log("certificates_read", settings=",".join(name for name, *_ in self._stamp))

    def _take(self, settings: Settings) -> None:
        server = _server_context(settings)
        if (server is None) is not (self.server is None):
            msg = "EBBTIDE_TLS_CERT: TLS cannot be turned on or off while running"
            raise SettingError(msg)
        _check_replica_files(settings)
        self._settings, self._stamp = settings, _stamp(settings)
        self.server = server
        self._replica.clear()


def _server_context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.tls_cert:
        for name in ("tls_key", "tls_client_ca"):
            if getattr(settings, name):
                msg = f"{_variable(name)}: only with {_variable('tls_cert')}, the certificate"
                raise SettingError(msg)
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context, settings.tls_min_version)
    _load_pair(context, settings, "tls_cert", "tls_key")
    context.set_alpn_protocols(list(_OFFERED))
    if settings.tls_client_ca:
        _trust(context, settings, "tls_client_ca")
        required = settings.tls_client_auth == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def _check_replica_files(settings: Settings) -> None:
    """A wrong file is told now, and not when the first replica is reached."""
    if settings.replica_ca or settings.replica_cert or settings.replica_key:
        _replica_context(settings, verify=settings.replica_ca)


def _replica_context(settings: Settings, *, verify: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.replica_ca:
        _trust(context, settings, "replica_ca")
    else:
        context.load_default_certs()
    _restrict(context, "1.2")
    if settings.replica_cert:
        _load_pair(context, settings, "replica_cert", "replica_key")
    elif settings.replica_key:
        msg = f"{_variable('replica_key')}: only with {_variable('replica_cert')}"
        raise SettingError(msg)
    return context


def _restrict(context: ssl.SSLContext, least: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if least == "1.3" else ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)


def _load_pair(context: ssl.SSLContext, settings: Settings, cert: str, key: str) -> None:
    names = [cert, key] if getattr(settings, key) else [cert]
    _readable(settings, names)
    try:
        # The empty password: a key that has one must not make OpenSSL ask for it on the terminal.
        context.load_cert_chain(
            getattr(settings, cert), getattr(settings, key) or None, password=""
        )
    except (ssl.SSLError, OSError) as error:
        told = " and ".join(f"{_variable(name)}={getattr(settings, name)!r}" for name in names)
        why = getattr(error, "reason", None) or str(error)
        msg = f"{told}: expected a PEM certificate chain and its own key, not encrypted: {why}"
        raise SettingError(msg) from error


def _trust(context: ssl.SSLContext, settings: Settings, name: str) -> None:
    _readable(settings, [name])
    try:
        context.load_verify_locations(cafile=getattr(settings, name))
    except (ssl.SSLError, OSError) as error:
        msg = f"{_variable(name)}={getattr(settings, name)!r}: expected PEM certificates: {error}"
        raise SettingError(msg) from error


def _readable(settings: Settings, names: Iterable[str]) -> None:
    for name in names:
        try:
            with Path(getattr(settings, name)).open("rb"):
                pass
        except OSError as error:
            msg = f"{_variable(name)}={getattr(settings, name)!r}: {system_said(error)}"
            raise SettingError(msg) from error


def _stamp(settings: Settings) -> _Stamp:
    """What tells a changed file: a Secret's mount is swapped by its link, so links are followed."""
    found = []
    for name in (*_SERVER_FILES, *_REPLICA_FILES):
        path = getattr(settings, name)
        if path:
            try:
                stat = Path(path).stat()
            except OSError:
                found.append((_variable(name), 0, 0, 0))
            else:
                found.append((_variable(name), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)


def _variable(name: str) -> str:
    return f"EBBTIDE_{name.upper()}"

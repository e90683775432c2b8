"""Two connections to one Redis: one asks, the other hears what is published.

Rule 1: a connection that fails, or keeps us waiting for longer than `PATIENCE_S`, is dropped with
        all that was on its way: nothing waits behind a Redis that hangs.
Rule 2: a command that Redis refuses is an answer like others; the connection goes on.
Rule 3: nothing but what the access list in docs/redis.md allows is ever asked.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from fleet.errors import SettingError, UnavailableError
from fleet.settings import Settings

__all__ = ["PATIENCE_S", "Address", "Dial", "Link", "Refused", "address_of"]

PATIENCE_S = 3.0
_PORT = 6379

Refused: TypeAlias = ResponseError
# What comes of an end of the stream, of silence, and of something else than Redis at the other end.
_FAILURES = (RedisError, OSError, TimeoutError, EOFError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a Redis is, and how it is spoken to."""

    host: str
    port: int = _PORT
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: str = ""
    """A PEM file with the authorities that its certificate must come from. Empty: the system's."""
    cert: str = ""
    key: str = ""

    def __str__(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://{self.host}:{self.port}/{self.db}"


def address_of(settings: Settings) -> Address | None:
    """The Redis that the settings name; None: there is none."""
    if not settings.redis_url:
        return None
    parts = urlsplit(settings.redis_url)
    return Address(
        host=parts.hostname or "",
        port=parts.port or _PORT,
        db=int(parts.path.strip("/") or 0),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "rediss",
        ca=settings.redis_ca,
        cert=settings.redis_cert,
        key=settings.redis_key,
    )


class _Dropped(Connection):
    """A connection whose end waits for nobody.

    The client's own says goodbye over TLS and waits for an answer: half a minute, from a Redis that
    hangs.
    """

    async def disconnect(self, *_: Any, **__: Any) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(nowait=True)


class _DroppedTls(_Dropped, SSLConnection):
    """The same over TLS."""


class Dial:
    """Makes connections to one address. Raises `SettingError` when its files cannot be used."""

    def __init__(self, address: Address) -> None:
        if not address.tls and (address.ca or address.cert):
            # Whoever names them does not mean to speak in the clear.
            msg = (
                f"{address}: there are files for TLS, which rediss:// speaks and redis:// does not"
            )
            raise SettingError(msg)
        self.address = address
        self._context = _context(address) if address.tls else None

    def connection(self) -> Connection:
        """One that is not open yet."""
        address = self.address
        options: Mapping[str, Any] = {
            "host": address.host,
            "port": address.port,
            "db": address.db,
            "username": address.username,
            "password": address.password,
            # Ours holds for a whole exchange. The client's own may lose a cancellation: it waits
            # by `asyncio.wait_for`, which does so before Python 3.12.
            "socket_timeout": None,
            "socket_connect_timeout": None,
            "protocol": 2,
            # Nothing that an access list would have to name as well.
            "driver_info": None,
        }
        if self._context is None:
            return _Dropped(**options)
        made = _DroppedTls(**options)
        made.ssl_context.context = self._context
        return made

    def read_again(self) -> None:
        """The files may have changed: use them as they are now, if they can be used."""
        if self._context is not None:
            with suppress(SettingError):
                self._context = _context(self.address)


class Link:
    """Open from `open` to `close`; what goes wrong is an `UnavailableError`."""

    def __init__(self, dial: Dial, channels: Sequence[str]) -> None:
        self._channels = tuple(channels)
        self._tls, self._password = dial.address.tls, dial.address.password
        self._asking, self._hearing = dial.connection(), dial.connection()

    async def open(self) -> None:
        """Connect, and hear what is published on the channels from now on."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                for connection in (self._asking, self._hearing):
                    await connection.connect()  # type: ignore[no-untyped-call]  # redis' own
                await self._hearing.send_command("SUBSCRIBE", *self._channels)
                for _ in self._channels:
                    await self._hearing.read_response()
        except _FAILURES as error:
            raise self._away(error, hint=_hint(error, tls=self._tls)) from None

    async def ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The answer to each command, in order; `Refused` in the place of one that it refuses."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                packed = self._asking.pack_commands(commands)
                await self._asking.send_packed_command(packed, check_health=False)
                return [await self._answer() for _ in commands]
        except _FAILURES as error:
            raise self._away(error) from None

    async def _answer(self) -> Any:
        try:
            return await self._asking.read_response()
        except Refused as error:
            return error

    async def hear(self) -> tuple[bytes, bytes] | None:
        """The next (channel, message); None for a sign of life. Waits."""
        try:
            told = await self._hearing.read_response(timeout=inf)
        except _FAILURES as error:
            raise self._away(error) from None
        match told:
            case [b"message", bytes(channel), bytes(message)]:
                return channel, message
            case _:
                return None

    async def ask_for_life(self) -> None:
        """Let `hear` hear a sign of life soon."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._hearing.send_command("PING", check_health=False)
        except _FAILURES as error:
            raise self._away(error) from None

    async def close(self) -> None:
        """Drop both connections, whatever is on its way."""
        for connection in (self._asking, self._hearing):
            await connection.disconnect()

    def _away(self, error: BaseException, *, hint: str = "") -> UnavailableError:
        if isinstance(error, TimeoutError):
            return UnavailableError(f"no answer within {PATIENCE_S:g} s{hint}")
        said = f"{type(error).__name__}: {error}"
        if self._password:
            # Whoever does not know AUTH repeats what it was given.
            said = said.replace(self._password, "***")
        return UnavailableError(f"{said}{hint}")


def _context(address: Address) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=address.ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if address.cert:
            context.load_cert_chain(address.cert, address.key or None, _no_password)
    except (OSError, ValueError) as error:
        files = ", ".join(file for file in (address.ca, address.cert, address.key) if file)
        msg = f"the files for TLS with Redis ({files}): {error}"
        raise SettingError(msg) from error
    return context


def _no_password() -> str:
    """Asked for when a key is encrypted: nobody is there to type it."""
    msg = "the key is encrypted"
    raise ValueError(msg)


def _hint(error: BaseException, *, tls: bool) -> str:
    """What may be behind a connection that ends, or is silent, before it has begun.

    A Redis without TLS takes the greeting of one with it for the beginning of a command, and waits
    for more; one with TLS hangs up on a command.
    """
    if tls and isinstance(error, TimeoutError):
        return " (rediss:// speaks TLS: does that port?)"
    hung_up = error.__context__ is None or isinstance(error.__context__, ConnectionResetError)
    if not tls and type(error) is RedisConnectionError and hung_up:
        return " (redis:// speaks no TLS: does that port?)"
    return ""

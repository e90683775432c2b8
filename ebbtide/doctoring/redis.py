"""Asks Redis whether it does what gateways and autoscalers ask of it, and changes nothing there.

Rule: every command is one that ebbtide gives, on a key of its prefix that nothing lies under, so
      that what the access list says is found out, and nobody reads what was written.
"""

from typing import Any

from ebbtide.doctoring.facts import Redis
from fleet.bus.redis.link import Dial, Link, Refused, address_of
from fleet.errors import SettingError, UnavailableError
from fleet.settings import Settings

__all__ = ["ask_redis"]


async def ask_redis(settings: Settings) -> Redis:
    """How the Redis answers that the settings name."""
    address = address_of(settings)
    if address is None:
        return Redis(where="")
    where = str(address)
    link: Link | None = None
    try:
        link = Link(Dial(address), [f"{settings.redis_prefix}doctor"])
        await link.open()
        commands = _commands(f"{settings.redis_prefix}doctor")
        told, *answers = await link.ask([("INFO", "server"), *commands])
    except (SettingError, UnavailableError) as error:
        return Redis(where=where, trouble=str(error))
    finally:
        if link is not None:
            await link.close()
    denied = {
        str(command[0]): str(answer)
        for command, answer in zip(commands, answers, strict=True)
        if isinstance(answer, Refused)
    }
    return Redis(where=where, version=_version(told), denied=denied)


def _commands(key: str) -> list[tuple[Any, ...]]:
    return [
        ("PING",),
        ("TIME",),
        # It adds to nothing that is not there.
        ("XADD", key, "NOMKSTREAM", "*", "m", "x"),
        ("XREAD", "COUNT", 1, "STREAMS", key, "0"),
        ("XREVRANGE", key, "+", "-", "COUNT", 1),
        ("PEXPIREAT", key, 1),
        ("ZADD", key, "XX", 1, "m"),
        ("ZRANGE", key, "(0", "+inf", "BYSCORE"),
        ("ZREMRANGEBYSCORE", key, "-inf", "0"),
        ("PUBLISH", key, "x"),
    ]


def _version(told: object) -> str:
    """Of its own words about itself; empty where it does not tell us."""
    if isinstance(told, bytes):
        for line in told.decode(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name == "redis_version":
                return value.strip()
    return ""

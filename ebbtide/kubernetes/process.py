"""A process of a cluster as a command runs it: its options, its admin port, its life.

Rule: the admin port is there before all else, and gone after all else: it says what is missing.
"""

import argparse
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

from ebbtide.adminport import AdminPort, reach_of
from ebbtide.kubernetes.flags import Options, options_of
from ebbtide.life import Life, live
from ebbtide.serving import Serving

__all__ = ["Compose", "run_process"]

Compose: TypeAlias = Callable[[Options, AdminPort], AbstractAsyncContextManager[Serving]]


def run_process(
    command: str, args: argparse.Namespace, environ: Mapping[str, str], compose: Compose
) -> int:
    """Run what `compose` makes until told to stop; returns the exit code."""
    options = options_of(args, environ)
    life = Life(
        command=command,
        settings=options.settings,
        settings_file=options.settings_file,
        environ=options.environ,
    )
    return live(life, lambda: _with_admin_port(options, compose))


@asynccontextmanager
async def _with_admin_port(options: Options, compose: Compose) -> AsyncIterator[Serving]:
    admin = AdminPort(
        options.settings,
        host=options.admin_host,
        port=options.admin_port,
        reach=reach_of(options.admin_host),
    )
    try:
        async with compose(options, admin) as serving:
            yield serving
    finally:
        admin.close()

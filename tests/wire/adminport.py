"""The admin port's app, asked without a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from gateway.admin.app import make_app
from tests.fakes.adminview import FakeView


@asynccontextmanager
async def asking(view: FakeView, **options: object) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=make_app(view, **options), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081") as client:
        yield client

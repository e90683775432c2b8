"""The admin port behind a token: what is told without it, how it is asked for, how it changes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from fleet.errors import SettingError
from fleet.settings import Settings
from gateway.admin.guard import token_file
from gateway.core.admission import Admission, Reach
from tests.fakes.adminview import FakeView, busy_view
from tests.wire.adminport import asking

TOKEN = "a-token-of-twenty-ch"
OPEN = ("/healthz", "/readyz", "/metrics")
CLOSED = ("/", "/api/models", "/api/models/magika", "/api/cost", "/api/process", "/nothing")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def write(path: Path, *tokens: str) -> None:
    path.write_text("\n".join(tokens))


@asynccontextmanager
async def in_a_pod(*, token: Path | None = None) -> AsyncIterator[httpx.AsyncClient]:
    file = token_file(Settings(admin_token_file="" if token is None else str(token)))
    admission = Admission(reach=Reach.NETWORK)
    async with asking(busy_view(), admission=admission, tokens=lambda: file.found) as client:
        client.headers["Host"] = "gateway.ebbtide.svc:8081"
        yield client


@pytest.mark.anyio
async def test_without_it_three_paths_answer_and_the_others_ask_for_it(path: Path) -> None:
    async with in_a_pod(token=path) as client:
        for known in OPEN:
            assert (await client.get(known)).status_code == 200
        for closed in CLOSED:
            answer = await client.get(closed)
            assert (answer.status_code, answer.json()["reason"]) == (401, "key_missing")
            # A browser shows its own question, and says the answer with all that the page asks.
            assert answer.headers["www-authenticate"].startswith("Basic ")
            assert answer.headers["cache-control"] == "no-store"
            assert "magika" not in answer.text


@pytest.mark.anyio
async def test_with_it_all_is_told(path: Path) -> None:
    async with in_a_pod(token=path) as client:
        for auth in ({"Authorization": f"Bearer {TOKEN}"}, httpx.BasicAuth("any", TOKEN)):
            said = {"headers": auth} if isinstance(auth, dict) else {"auth": auth}
            for closed in CLOSED[:-1]:
                assert (await client.get(closed, **said)).status_code == 200
        wrong = await client.get("/api/cost", headers={"Authorization": "Bearer x"})
        assert (wrong.status_code, wrong.json()["reason"]) == (401, "key_wrong")


@pytest.mark.anyio
async def test_without_a_token_set_other_machines_get_only_the_three() -> None:
    async with in_a_pod() as client:
        for known in OPEN:
            assert (await client.get(known)).status_code == 200
        for closed in CLOSED:
            answer = await client.get(closed)
            assert (answer.status_code, answer.json()["reason"]) == (403, "not_allowed")
            assert "EBBTIDE_ADMIN_TOKEN_FILE" in answer.json()["message"]


@pytest.mark.anyio
async def test_a_token_is_replaced_while_both_hold(path: Path) -> None:
    file = token_file(Settings(admin_token_file=str(path)))

    async def status(client: httpx.AsyncClient, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return (await client.get("/api/models", headers=headers)).status_code

    newer = "a-newer-token-of-ours"
    async with asking(FakeView(), tokens=lambda: file.found) as client:
        assert await status(client, newer) == 401
        write(path, TOKEN, newer)
        file.follow(str(path))
        assert [await status(client, token) for token in (TOKEN, newer)] == [200, 200]
        write(path, newer)
        file.look()
        file.look()
        assert [await status(client, token) for token in (TOKEN, newer)] == [401, 200]
        # What is wrong opens nothing and closes nothing.
        write(path)
        file.follow(str(path))
        assert [await status(client, token) for token in ("", newer)] == [401, 200]


def test_a_start_fails_on_a_file_without_a_token(path: Path) -> None:
    path.write_text("\n")
    with pytest.raises(SettingError, match="nobody could open"):
        token_file(Settings(admin_token_file=str(path)))
    path.unlink()
    with pytest.raises(SettingError, match="cannot be read"):
        token_file(Settings(admin_token_file=str(path)))
    assert token_file(Settings()).found is None

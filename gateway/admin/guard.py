"""Lets through to the admin application whom `gateway.core.admission` lets through."""

from collections.abc import Callable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fleet.settings import Settings
from gateway.core.admission import Admission, Asked, deny
from gateway.core.tokens import Tokens, read_tokens
from gateway.followedfile import FollowedFile

__all__ = ["Guard", "token_file"]

_UNAUTHORIZED = 401
# A browser then asks for it, once, and sends it with the page's own questions.
_ASK = 'Basic realm="ebbtide: any name, and the admin token as password", charset="UTF-8"'


def token_file(settings: Settings) -> FollowedFile[Tokens]:
    """The file of tokens that the settings name. Raises `SettingError`."""
    return FollowedFile(
        settings.admin_token_file, lambda text, path: read_tokens(text, source=path), word="token"
    )


class Guard:
    """Stands before an application. `tokens`: those that open it now; None when there are none."""

    def __init__(
        self, app: ASGIApp, admission: Admission, tokens: Callable[[], Tokens | None]
    ) -> None:
        self._app, self._admission, self._tokens = app, admission, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        denial = deny(_asked(scope), self._admission, self._tokens())
        if denial is None:
            await self._app(scope, receive, send)
            return
        headers = {"Cache-Control": "no-store"}
        if denial.status == _UNAUTHORIZED:
            headers["WWW-Authenticate"] = _ASK
        answer = JSONResponse(
            {"reason": denial.reason.value, "message": denial.message},
            status_code=denial.status,
            headers=headers,
        )
        await answer(scope, receive, send)


def _asked(scope: Scope) -> Asked:
    headers = scope.get("headers", ())
    return Asked(
        path=scope.get("path", ""),
        hosts=[value.decode("latin-1") for key, value in headers if key == b"host"],
        authorizations=[value for key, value in headers if key == b"authorization"],
    )

"""The admin port's answers: health, metrics, the API and the live page. It only reads.

Rule 1: answers are JSON, errors too (`reason`, `message`), but for /metrics and the page.
Rule 2: a browser may show them on this page only: nothing is cached, framed or guessed at.
"""

from collections.abc import Callable
from dataclasses import asdict

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fleet.reasons import Reason
from gateway.admin.bill import bill
from gateway.admin.detail import detail, journal_entry
from gateway.admin.guard import Guard
from gateway.admin.metrics import registry
from gateway.admin.page import read_page
from gateway.admin.ports import AdminView
from gateway.admin.state import gpus, holders, model_state, model_states, revision_called
from gateway.core.admission import Admission
from gateway.core.tokens import Tokens

__all__ = ["make_app"]

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_JOURNAL_DEFAULT, _JOURNAL_MOST = 100, 1000


def _nobody() -> None:
    """There are no tokens."""


def make_app(
    view: AdminView,
    *,
    figures: AdminView | None = None,
    admission: Admission | None = None,
    tokens: Callable[[], Tokens | None] = _nobody,
) -> ASGIApp:
    """The admin application over `view`. `tokens`: those that open it now; None: none do.

    `figures`: what /metrics tells, where that is not the same.
    """
    answers = _Answers(view, figures or view)
    app = Starlette(
        routes=[
            Route("/", answers.page),
            Route("/healthz", answers.alive),
            Route("/readyz", answers.ready),
            Route("/metrics", answers.metrics),
            Route("/api/models", answers.models),
            Route("/api/models/{model:path}", answers.model),
            Route("/api/gpus", answers.gpus),
            Route("/api/cost", answers.cost),
            Route("/api/journal", answers.journal),
            Route("/api/problems", answers.problems),
            Route("/api/process", answers.process),
        ],
        exception_handlers={HTTPException: _refused, _RefusedError: _refused, Exception: _broken},
    )
    return Guard(app, admission or Admission(), tokens)


class _RefusedError(Exception):
    def __init__(self, status: int, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


class _Answers:
    def __init__(self, view: AdminView, figures: AdminView) -> None:
        self._view = view
        self._registry = registry(figures)
        self._page = read_page()

    async def page(self, _request: Request) -> Response:
        headers = {**_HEADERS, "Content-Security-Policy": self._page.policy}
        return Response(self._page.html, media_type="text/html", headers=headers)

    async def alive(self, _request: Request) -> Response:
        return _json({"alive": True})

    async def ready(self, _request: Request) -> Response:
        unready = self._unready()
        if unready is None:
            return _json({"ready": True})
        return _json({"ready": False, **unready}, status=503)

    def _unready(self) -> dict[str, str] | None:
        unready = self._view.unready()
        if unready is None:
            return None
        return {"reason": unready.reason.value, "message": unready.message}

    async def process(self, _request: Request) -> Response:
        return _json({**asdict(self._view.process()), "unready": self._unready()})

    async def metrics(self, _request: Request) -> Response:
        text = generate_latest(self._registry)
        return Response(text, headers={**_HEADERS, "Content-Type": CONTENT_TYPE_LATEST})

    async def models(self, _request: Request) -> Response:
        return _json({"models": [asdict(state) for state in model_states(self._view)]})

    async def model(self, request: Request) -> Response:
        name = request.path_params["model"]
        revision = revision_called(self._view.fleet(), name)
        if revision is None:
            raise _RefusedError(404, Reason.UNKNOWN_MODEL, f"no model is called {name!r}")
        found = asdict(model_state(self._view, revision))
        more = asdict(detail(self._view, revision))
        found["replicas"]["list"] = more.pop("replicas")
        return _json({**found, **more})

    async def gpus(self, _request: Request) -> Response:
        return _json(
            {
                "gpus": [asdict(pool) for pool in gpus(self._view.fleet())],
                "held": [asdict(holder) for holder in holders(self._view)],
            }
        )

    async def cost(self, _request: Request) -> Response:
        account = bill(self._view.cost())
        lines = [asdict(line) for line in account.lines]
        return _json(
            {
                "currency": account.currency,
                "seconds": account.seconds,
                "models": [{**line.pop("amounts"), **line} for line in lines],
                "total": asdict(account.total),
            }
        )

    async def journal(self, request: Request) -> Response:
        limit = _limit(request.query_params.get("limit"))
        model = request.query_params.get("model")
        name = None
        if model is not None:
            revision = revision_called(self._view.fleet(), model)
            if revision is None:
                raise _RefusedError(404, Reason.UNKNOWN_MODEL, f"no model is called {model!r}")
            name = revision.name
        entries = self._view.journal(limit, revision=name)
        return _json({"journal": [asdict(journal_entry(entry)) for entry in entries]})

    async def problems(self, _request: Request) -> Response:
        return _json({"problems": [asdict(found) for found in self._view.fleet().problems]})


def _json(content: object, *, status: int = 200) -> Response:
    return JSONResponse(content, status_code=status, headers=_HEADERS)


def _limit(text: str | None) -> int:
    if text is None:
        return _JOURNAL_DEFAULT
    if not (
        text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= _JOURNAL_MOST
    ):
        allowed = f"a whole number from 1 to {_JOURNAL_MOST}"
        raise _RefusedError(400, Reason.MALFORMED, f"limit: {text!r}: expected {allowed}")
    return int(text)


async def _refused(_request: Request, error: Exception) -> Response:
    """Ours, and the router's own 404 and 405."""
    if isinstance(error, _RefusedError):
        told = {"reason": error.reason.value, "message": error.message}
        return _json(told, status=error.status)
    status = error.status_code if isinstance(error, HTTPException) else 404
    return _json({"reason": Reason.NOT_ALLOWED.value, "message": "no such page"}, status=status)


async def _broken(_request: Request, error: Exception) -> Response:
    return _json({"reason": None, "message": type(error).__name__}, status=500)

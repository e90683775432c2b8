"""What the gateway answers by itself: about the server, and for models that sleep.

Rule 1: readiness of a model with a replica is that replica's to tell; of a sleeping one ours: it
        will answer, so it is ready. Its phase stands in a header.
Rule 2: metadata and configuration of a sleeping model are the last copy seen; with none, the model
        is woken for it. Statistics are of a running server only.
"""

import json
from dataclasses import dataclass

from fleet.reasons import Reason
from fleet.runtimes import CallKind
from gateway.core.refused import RefusedError
from gateway.core.route import MODELS_PATH
from gateway.core.table import Entry, Route, Table
from gateway.http.context import Context

__all__ = ["Reply", "asleep", "server"]

_JSON = b"Content-Type: application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer of the gateway's own."""

    status: int = 200
    lines: tuple[bytes, ...] = ()
    body: bytes = b""


def asleep(context: Context, entry: Entry, route: Route) -> Reply | None:
    """The answer for a model without a replica; None: it is to be woken for this.

    Raises `RefusedError`.
    """
    phase = entry.line.phase()
    lines = (b"Ebbtide-Phase: " + phase.value.encode(),)
    match route.kind:
        case CallKind.READY:
            reason = entry.line.hopeless()
            if reason is not None:
                raise RefusedError(reason)
            if not context.settings.ready_when_asleep:
                raise RefusedError(Reason.ASLEEP)
            return Reply(lines=lines)
        case CallKind.STATS:
            raise RefusedError(Reason.ASLEEP)
        case _:
            copy = context.copies.find(entry.revision, route.start)
            if copy is None:
                return None
            media = (b"Content-Type: " + copy.media,) if copy.media else ()
            return Reply(lines=(*media, *lines), body=copy.body)


def server(context: Context, route: Route, table: Table) -> Reply:
    """The answer about the gateway as a server, by who sees `table`. Raises `RefusedError`."""
    match route.path:
        case "/v2":
            about = {"name": "ebbtide", "version": context.version, "extensions": []}
            return Reply(lines=(_JSON,), body=json.dumps(about).encode())
        case "/v2/health/ready" if context.leaving:
            raise RefusedError(Reason.SHUTTING_DOWN)
        case path if path == MODELS_PATH:
            return _list(context, route.entry, table)
    return Reply()


def _list(context: Context, entry: Entry | None, table: Table) -> Reply:
    """The models, in the OpenAI shape; only the one that the request names, where it does."""
    if not context.settings.list_models:
        raise RefusedError(Reason.NOT_ALLOWED)
    names = table.names
    entries = [entry] if entry is not None else [names[name] for name in sorted(names)]
    data = [
        {
            "id": one.name,
            "object": "model",
            "created": int(one.revision.created),
            "owned_by": "ebbtide",
        }
        for one in entries
    ]
    return Reply(lines=(_JSON,), body=json.dumps({"object": "list", "data": data}).encode())

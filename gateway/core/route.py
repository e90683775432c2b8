"""From a request's head to its model, and what may pass. Pure.

A model is named by the field `Ebbtide-Model`, by the path (``/v2/models/NAME...``, forwarded as it
is; ``/models/NAME/...``, taken off), by the host under the configured suffix, or by the `model`
field of a JSON body on the OpenAI paths.

Rule 1: sources that name different models: 400 `model_conflict`.
Rule 2: a client's name is replaced by the served one *before* the runtime's allow-list is asked, so
        that what is decided on is what is forwarded; all that it does not name is 404.
Rule 3: nothing here wakes: a wake begins only where a route's kind says so, after all of this.
"""

from typing import cast

from fleet.reasons import Reason
from fleet.runtimes import Call, CallKind
from gateway.core.head import RequestHead
from gateway.core.naming import NamedBody
from gateway.core.refused import RefusedError
from gateway.core.sources import agreed, named_beside
from gateway.core.table import Entry, Route, Table
from gateway.core.target import decode_path, origin_form, split_query, wire_path

__all__ = ["MODELS_PATH", "find_route", "route_by_body"]

MODELS_PATH = "/v1/models"

_V2 = "/v2/models/"
_PREFIX = "/models/"
_SERVER = frozenset({"/v2", "/v2/health/live", "/v2/health/ready", MODELS_PATH})
_BODY = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings"})


def find_route(
    table: Table, head: RequestHead, suffix: str = "", scheme: bytes = b"http"
) -> tuple[Route, bytes]:
    """Where `head` leads, and its query; `scheme` is what its connection speaks.

    Raises `RefusedError`.
    """
    if head.led is not None and head.led[0] is table:
        return cast("tuple[Route, bytes]", head.led[1])
    found = _lead(table, head, suffix, scheme)
    head.led = (table, found)
    head.switches = bool(head.upgrades) and _may_switch(found[0])
    return found


def _may_switch(route: Route) -> bool:
    """Whether a call may become another protocol on its connection."""
    entry = route.entry
    return entry is not None and entry.profile.upgrades and not route.by_body


def _lead(table: Table, head: RequestHead, suffix: str, scheme: bytes) -> tuple[Route, bytes]:
    if head.looped:
        raise RefusedError(Reason.REQUEST_LOOP)
    path, query = split_query(origin_form(head.target, head.host, scheme))
    named = (
        named_beside(table, head.model, head.host, suffix)
        if suffix or head.model is not None
        else None
    )
    if named is not None:
        return _find(table, head.method, path, named), query
    key = head.method + b" " + path
    route = table.known(key)
    if route is None:
        route = _find(table, head.method, path, None)
        table.remember(key, route)
    return route, query


def route_by_body(table: Table, route: Route, method: bytes, body: NamedBody) -> Route:
    """The route once the body has been read. Raises `RefusedError`."""
    entry = route.entry
    if entry is None:
        if body.model is None:
            raise RefusedError(Reason.NO_MODEL, "the body has no key model")
        entry = table.names.get(body.model)
        if entry is None:
            raise RefusedError(Reason.UNKNOWN_MODEL)
        return _allowed(entry, method, route.path)
    if body.model is not None:
        # By name, not by entry: the table may have been swapped since the head was read.
        served = body.model == entry.served and body.model not in table.names
        if body.model != entry.name and not served:
            raise RefusedError(Reason.MODEL_CONFLICT, "the body names another model")
    return route


def _find(table: Table, method: bytes, raw: bytes, named: Entry | None) -> Route:
    path = decode_path(raw)
    if path.startswith(_PREFIX):
        entry = table.at(path, len(_PREFIX))
        if entry is None:
            raise RefusedError(Reason.UNKNOWN_MODEL)
        named = agreed(named, entry)
        path = path[len(_PREFIX) + len(entry.name) :] or "/"
    if path.startswith(_V2):
        named, path = _v2(table, path, named)
    if named is None:
        return _unnamed(method, path)
    return _allowed(named, method, path)


def _v2(table: Table, path: str, named: Entry | None) -> tuple[Entry, str]:
    """The model in a V2 path, and that path with the served name."""
    entry = table.at(path, len(_V2))
    if entry is not None:
        entry = agreed(named, entry)
        return entry, _V2 + entry.served + path[len(_V2) + len(entry.name) :]
    if named is None:
        raise RefusedError(Reason.UNKNOWN_MODEL)
    served = _V2 + named.served
    if path != served and not path.startswith(served + "/"):
        raise RefusedError(Reason.MODEL_CONFLICT, "the path names another model")
    return named, path


def _unnamed(method: bytes, path: str) -> Route:
    start = method + b" " + wire_path(path)
    if path in _SERVER and method in (b"GET", b"HEAD"):
        return Route(CallKind.SERVER, path, start, None)
    if path in _BODY and method == b"POST":
        return Route(CallKind.INFER, path, start, None, by_body=True)
    if path in _SERVER or path in _BODY or path.startswith("/v2/"):
        raise RefusedError(Reason.NOT_ALLOWED)
    raise RefusedError(Reason.NO_MODEL)


def _allowed(entry: Entry, method: bytes, path: str) -> Route:
    """The route, if the runtime's allow-list names it."""
    call = _classify(entry, method, path)
    if call.model is not None and call.model != entry.served:
        if call.model != entry.name:
            raise RefusedError(Reason.MODEL_CONFLICT, "the path names another model")
        path = path[: call.start] + entry.served + path[call.end :]
        call = _classify(entry, method, path)
    if call.model is not None and call.model != entry.served:
        raise RefusedError(Reason.NOT_ALLOWED)
    start = method + b" " + wire_path(path)
    return Route(call.kind, path, start, entry, by_body=call.named_in_body)


def _classify(entry: Entry, method: bytes, path: str) -> Call:
    call = entry.profile.classify(method.decode("latin-1"), path, entry.revision.allow)
    if call is None:
        raise RefusedError(Reason.NOT_ALLOWED)
    return call

"""The model that a request names beside its path and body: by a field, and by host. Pure.

Rule: sources that name different models are `model_conflict`, over HTTP and gRPC alike.
"""

from fleet.reasons import Reason
from gateway.core.refused import RefusedError
from gateway.core.table import Entry, Table

__all__ = ["agreed", "named_beside"]


def named_beside(
    table: Table, model: bytes | None, host: bytes | None, suffix: str
) -> Entry | None:
    """The model that `Ebbtide-Model` and host name; both may, if they name one.

    Raises `RefusedError`.
    """
    named = None
    if model is not None:
        named = table.names.get(model.decode("latin-1"))
        if named is None:
            raise RefusedError(Reason.UNKNOWN_MODEL)
    name = table.under(host, suffix)
    if name is None:
        return named
    entry = table.host(name)
    if entry is None:
        raise RefusedError(Reason.UNKNOWN_MODEL)
    return agreed(named, entry)


def agreed(named: Entry | None, entry: Entry) -> Entry:
    """`entry`, unless another one is named already. Raises `RefusedError`."""
    if named is None or named is entry:
        return entry
    raise RefusedError(Reason.MODEL_CONFLICT, "the request names two models")

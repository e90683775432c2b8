"""Triton Inference Server: what may pass to it, and how it says why it did not start. Pure.

Rule 1: the allow-list is infer, generate, generate_stream, ready, metadata, config and stats of one
        named model, and the server's own liveness; each with the one method Triton answers (HEAD is
        405 there, so it does not pass). Nothing else below ``/v2`` does.
Rule 2: a client's name for a model may hold ``/``, so a path is read from its end: the last segment
        if it is one of Triton's verbs, then ``versions/N``, and all that is left is the name.
        No segment of a name but its first may be a word that Triton itself reads there
        (``versions``, ``trace``, a verb): so there is exactly one reading, ours and Triton's.
Rule 3: ``/v2/models/stats`` is the statistics of *all* models to Triton: nobody's metadata.
Rule 4: over gRPC (method ``GRPC``) the same: nine methods by their full names, of which those about
        a model name it in their messages (`gateway.grpc`).
"""

import re
from collections.abc import Sequence

from fleet.model import AllowRule, Ports, RuntimeName
from fleet.names import is_model_name
from fleet.runtimes import Call, CallKind, ErrorShape, Profile
from fleet.runtimes.explaining import last_line

__all__ = ["TRITON"]

_MODELS = "/v2/models/"
_SERVER = frozenset({"/v2", "/v2/health/live", "/v2/health/ready"})
_VERBS = {
    "infer": ("POST", CallKind.INFER),
    "generate": ("POST", CallKind.INFER),
    "generate_stream": ("POST", CallKind.INFER),
    "ready": ("GET", CallKind.READY),
    "config": ("GET", CallKind.CONFIG),
    "stats": ("GET", CallKind.STATS),
}
_METADATA = ("GET", CallKind.METADATA)
_GRPC = "GRPC"
_SERVICE = "/inference.GRPCInferenceService/"
_CALLS = {
    _SERVICE + "ModelInfer": CallKind.INFER,
    _SERVICE + "ModelStreamInfer": CallKind.INFER,
    _SERVICE + "ModelReady": CallKind.READY,
    _SERVICE + "ModelMetadata": CallKind.METADATA,
    _SERVICE + "ModelConfig": CallKind.CONFIG,
    _SERVICE + "ModelStatistics": CallKind.STATS,
    _SERVICE + "ServerLive": CallKind.SERVER,
    _SERVICE + "ServerReady": CallKind.SERVER,
    _SERVICE + "ServerMetadata": CallKind.SERVER,
}
_TRITONS_OWN = frozenset({*_VERBS, "versions", "trace", ".", "..", ""})

_ROW = re.compile(r"\|\s*(?P<model>[^|]*?)\s*\|\s*(?P<version>-?\d*)\s*\|\s?(?P<status>.*?)\s*\|")
_UNAVAILABLE = "UNAVAILABLE:"
_ERROR = re.compile(r'(?:E\d{4} [\d:.]+ +\d+ [\w.]+:\d+\] *|error: )"?(?P<text>.*?)"?')
_PROTOBUF = re.compile(r"\[libprotobuf ERROR [^]]*\] Error parsing text-format \S+ (?P<text>.*)")
# Both stand in every log of a start that failed, whatever the cause was.
_NEVER_THE_CAUSE = ("CudaDriverHelper has not been initialized", "failed to load all models")


def _classify(method: str, path: str, _allow: Sequence[AllowRule]) -> Call | None:
    if method == _GRPC:
        call = _CALLS.get(path)
        return None if call is None else Call(kind=call)
    if path in _SERVER:
        return Call(kind=CallKind.SERVER) if method == "GET" else None
    if not path.startswith(_MODELS) or path == "/v2/models/stats":
        return None
    segments = path[len(_MODELS) :].split("/")
    wanted, kind = _METADATA
    if len(segments) > 1 and segments[-1] in _VERBS:
        wanted, kind = _VERBS[segments.pop()]
    if len(segments) > 2 and segments[-2] == "versions" and _is_version(segments[-1]):
        del segments[-2:]
    name = "/".join(segments)
    if method != wanted or not is_model_name(name) or not _TRITONS_OWN.isdisjoint(segments[1:]):
        return None
    start = len(_MODELS)
    return Call(kind=kind, model=name, start=start, end=start + len(name))


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _explain(lines: Sequence[str]) -> str:
    return "; ".join(_unavailable(lines)) or _last_error(lines) or last_line(lines)


def _unavailable(lines: Sequence[str]) -> list[str]:
    """`MODEL: cause (at PLACE)` for each model whose row of the model table says UNAVAILABLE."""
    found: list[str] = []
    told: list[str] | None = None
    for line in [*lines, ""]:
        row = _ROW.fullmatch(line.strip())
        if told is not None and (row is None or row["model"]):
            found.append(_in_one_line(told))
            told = None
        if row is not None and row["status"].startswith(_UNAVAILABLE):
            told = [f"{row['model']}: {row['status'].removeprefix(_UNAVAILABLE).strip()}"]
        elif row is not None and told is not None:
            # The message goes on in rows without a name.
            told.append(row["status"].strip())
    return found


def _in_one_line(told: Sequence[str]) -> str:
    """The message, which ends at an empty row, and the innermost call of the trace after it."""
    end = told.index("") if "" in told else len(told)
    message, trace = " ".join(told[:end]), told[end + 1 :]
    return f"{message} (at {trace[1]})" if trace[:1] == ["At:"] and trace[1:] else message


def _last_error(lines: Sequence[str]) -> str:
    for line in reversed(lines):
        error = _ERROR.fullmatch(line.strip())
        if error is not None and not any(words in line for words in _NEVER_THE_CAUSE):
            text = error["text"].split("\\n", 1)[0].strip()
            return f"{text}: {_syntax(lines)}" if "read text proto" in text else text
    return ""


def _syntax(lines: Sequence[str]) -> str:
    """What the parser of config.pbtxt said, which Triton prints on a line of its own before."""
    found = (_PROTOBUF.fullmatch(line.strip()) for line in reversed(lines))
    return next((match["text"] for match in found if match), "it is not valid")


TRITON = Profile(
    name=RuntimeName.TRITON,
    ports=Ports(http=8000, grpc=8001, metrics=8002),
    classify=_classify,
    shape=ErrorShape.V2,
    repeatable=True,
    cancels=False,
    resets=False,
    explain=_explain,
)
"""Triton goes on computing when its client leaves, so closing cancels nothing; nor do a reset and a
deadline over gRPC, but for backends that ask whether they are cancelled."""

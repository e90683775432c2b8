"""Servers that speak the OpenAI API (vLLM, SGLang, TGI, llama.cpp): what may pass. Pure.

Rule 1: the three inference paths, by POST, with the model named in the body; nothing else. The list
        of models is the gateway's to answer: a server knows only its own.
Rule 2: these servers abort a generation when its connection closes, so a slot is free at once.
"""

from collections.abc import Sequence

from fleet.model import AllowRule, Ports, RuntimeName
from fleet.runtimes import Call, CallKind, ErrorShape, Profile
from fleet.runtimes.explaining import traceback_cause

__all__ = ["OPENAI"]

_CALLS = {
    ("POST", "/v1/chat/completions"): Call(kind=CallKind.INFER, named_in_body=True),
    ("POST", "/v1/completions"): Call(kind=CallKind.INFER, named_in_body=True),
    ("POST", "/v1/embeddings"): Call(kind=CallKind.INFER, named_in_body=True),
    ("GET", "/v1/models"): Call(kind=CallKind.SERVER),
}


def _classify(method: str, path: str, _allow: Sequence[AllowRule]) -> Call | None:
    return _CALLS.get((method, path))


OPENAI = Profile(
    name=RuntimeName.OPENAI,
    ports=Ports(http=8000),
    classify=_classify,
    shape=ErrorShape.OPENAI,
    repeatable=True,
    cancels=True,
    resets=True,
    explain=traceback_cause,
    upgrades=True,
    trailers=True,
)

"""The names of things, as distinct types, and what a model may be called. Pure.

A *model* is what a client names; a *revision* is the one Deployment that serves it, written
``namespace/name``; a *replica* is one pod or process of a revision. A replica's name is never
used again: a process that is started anew is a new replica.
"""

import re
from typing import NewType

__all__ = ["MODEL_NAME", "GatewayName", "ModelName", "ReplicaName", "RevisionName", "is_model_name"]

ModelName = NewType("ModelName", str)
RevisionName = NewType("RevisionName", str)
ReplicaName = NewType("ReplicaName", str)
GatewayName = NewType("GatewayName", str)

MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._/@:-]{0,252}"
_MODEL_NAME = re.compile(MODEL_NAME)


def is_model_name(text: str) -> bool:
    """Whether clients may call a model by this name."""
    return _MODEL_NAME.fullmatch(text) is not None

"""Tries on sleeping models whether the API server takes a wake, and as it was asked; a dry run.

Rule 1: nothing is written. Only 0 -> 1 is tried: what the gateway's account is held to as well.
Rule 2: what whoever asks may not write is no finding here: `ebbtide.doctoring.access` tells of it.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from ebbtide.doctoring.facts import Wake
from fleet.errors import EbbtideError
from fleet.kubernetes.objects import Object
from fleet.model import Fleet, Revision

__all__ = ["Trying", "try_wakes"]

_AT_ONCE = 8
_MOST = 200
_DRY = {"dryRun": "All", "fieldManager": "ebbtide"}
_LACKS = 'cannot patch resource "deployments/scale"'
_NO_DRY_RUN = "does not support dry run"


class Trying(Protocol):
    """What is needed of an `Api`."""

    async def patch(
        self, path: str, *, body: Object, query: Mapping[str, str] | None = None
    ) -> Object: ...


async def try_wakes(api: Trying, fleet: Fleet) -> Mapping[str, Wake]:
    """How a wake of each sleeping Deployment ends, of the first 200 by name."""
    asleep = [one for _, one in sorted(fleet.revisions.items()) if one.replicas == 0][:_MOST]
    turn = asyncio.Semaphore(_AT_ONCE)

    async def tried(revision: Revision) -> Wake | None:
        async with turn:
            return await _try(api, revision)

    found = await asyncio.gather(*(tried(one) for one in asleep))
    return {one.name: wake for one, wake in zip(asleep, found, strict=True) if wake is not None}


async def _try(api: Trying, revision: Revision) -> Wake | None:
    """None: it cannot be tried by whoever asks."""
    space, _, name = revision.name.partition("/")
    path = f"/apis/apps/v1/namespaces/{space}/deployments/{name}/scale"
    try:
        answer = await api.patch(path, body={"spec": {"replicas": 1}}, query=_DRY)
    except EbbtideError as error:
        said = str(error)
        untried = _LACKS in said or _NO_DRY_RUN in said
        return None if untried else Wake(refused=said)
    spec = answer.get("spec")
    return Wake(replicas=spec.get("replicas") if isinstance(spec, dict) else None)

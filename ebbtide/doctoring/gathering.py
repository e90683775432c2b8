"""Asks a cluster, and its Redis, for all that `ebbtide doctor` tells of. It changes nothing.

Rule: what may not be read is said, and the rest is told all the same.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ebbtide.doctoring.access import ask_access
from ebbtide.doctoring.facts import Facts, Monitor, Monitors
from ebbtide.doctoring.redis import ask_redis
from ebbtide.doctoring.rollouts import gateway_grace
from ebbtide.doctoring.wakes import try_wakes
from fleet.cluster.kubernetes.objects import Kind, Objects, trim
from fleet.cluster.kubernetes.resources import paths, query
from fleet.cluster.kubernetes.snapshot import read_fleet
from fleet.errors import EbbtideError, ForbiddenError, GoneError
from fleet.gpubudget import parse_budget
from fleet.kubernetes.api import Api
from fleet.kubernetes.objects import Object, key_of, metadata
from fleet.settings import Settings

__all__ = ["gather"]

_PAGE = "500"
_NAMES: Mapping[Monitors, Sequence[str]] = {
    Monitors.DCGM: (
        "app.kubernetes.io/name in (dcgm-exporter,nvidia-dcgm-exporter)",
        "app in (dcgm-exporter,nvidia-dcgm-exporter)",
    ),
    Monitors.PROMETHEUS: (
        "app.kubernetes.io/name in (prometheus,kube-prometheus-stack)",
        "app in (prometheus,kube-prometheus-stack-prometheus)",
        "operated-prometheus=true",
    ),
}
"""Labels of the charts that most people install them with."""


@dataclass(slots=True)
class _Asked:
    """The API, and what it did not tell."""

    api: Api
    unread: dict[str, str] = field(default_factory=dict)

    async def list(
        self, what: str, path: str, selection: Mapping[str, str] | None = None
    ) -> list[Object] | None:
        """All objects there; None: they may not be read, or there is no such resource."""
        found: list[Object] = []
        asked = {**(selection or {}), "limit": _PAGE}
        try:
            while True:
                page = await self.api.get(path, query=asked)
                found += [item for item in page.get("items") or () if isinstance(item, dict)]
                going_on = metadata(page).get("continue")
                if not going_on:
                    return found
                asked["continue"] = str(going_on)
        except GoneError:
            return None
        except EbbtideError as error:
            self.unread[what] = str(error)
            return None


async def gather(
    api: Api, settings: Settings, *, namespaces: Sequence[str], own: str, now: float
) -> Facts:
    """All facts. `now`: Unix time. Raises `UnavailableError` when no API server answers."""
    version = str((await api.get("/version")).get("gitVersion") or "of an unknown version")
    asked = _Asked(api)
    raw, access, redis, monitors, spaces, homeless = await asyncio.gather(
        _objects(asked, namespaces),
        ask_access(api, namespaces=namespaces, own=own),
        ask_redis(settings),
        _monitors(asked),
        _spaces(asked, namespaces),
        _is_missing(api, own),
    )
    objects = _read(raw)
    # The clock of the facts is the wall's own.
    fleet = read_fleet(objects, now=now, budget=parse_budget(settings.gpu_budget), owner=own)
    return Facts(
        server=api.server,
        version=version,
        namespaces=tuple(namespaces),
        own=own,
        fleet=fleet,
        deployments=_by_name(
            item for item in objects.deployments if trim(Kind.DEPLOYMENT, item) is not None
        ),
        spaces=spaces,
        access=access,
        monitors=monitors,
        redis=redis,
        homeless=homeless,
        wakes=await try_wakes(api, fleet),
        unread=asked.unread,
        gateway_grace=_gateway_grace(objects.deployments, own),
    )


def _read(raw: Mapping[Kind, list[Object] | None]) -> Objects:
    return Objects(
        deployments=raw[Kind.DEPLOYMENT] or (),
        replica_sets=raw[Kind.REPLICA_SET] or (),
        pods=raw[Kind.POD] or (),
        nodes=raw[Kind.NODE],
        events=raw[Kind.EVENT] or (),
        autoscalers=raw[Kind.AUTOSCALER] or (),
        scaled_objects=raw[Kind.SCALED_OBJECT] or (),
    )


async def _objects(asked: _Asked, namespaces: Sequence[str]) -> Mapping[Kind, list[Object] | None]:
    async def of(kind: Kind) -> list[Object] | None:
        places = paths(kind, tuple(namespaces))
        found = [await asked.list(kind.value, path, query(kind)) for path in places]
        known = [items for items in found if items is not None]
        return [item for items in known for item in items] if known else None

    lists = await asyncio.gather(*(of(kind) for kind in Kind))
    return dict(zip(Kind, lists, strict=True))


async def _monitors(asked: _Asked) -> tuple[Monitor, ...]:
    found: dict[tuple[Monitors, str], None] = {}
    for kind, selectors in _NAMES.items():
        for selector in selectors:
            for resource in ("services", "pods"):
                listed = await asked.list(
                    kind.value, f"/api/v1/{resource}", {"labelSelector": selector}
                )
                for item in listed or ():
                    word = f"{resource.removesuffix('s')} {'/'.join(key_of(item))}"
                    found[kind, word] = None
    services = {kind for kind, word in found if word.startswith("service")}
    return tuple(
        Monitor(kind=kind, where=word)
        for kind, word in found
        # Its pods say no more than its service.
        if word.startswith("service") or kind not in services
    )


async def _spaces(asked: _Asked, namespaces: Sequence[str]) -> Mapping[str, Object]:
    if not namespaces:
        listed = await asked.list("namespaces", "/api/v1/namespaces")
        return {key_of(item)[1]: item for item in listed or ()}
    found: dict[str, Object] = {}
    for name in namespaces:
        try:
            found[name] = await asked.api.get(f"/api/v1/namespaces/{name}")
        except ForbiddenError as error:
            # The chart gives no such right: one note for all of them.
            asked.unread["namespaces"] = str(error)
        except EbbtideError as error:
            asked.unread[f"namespace {name}"] = str(error)
    return found


async def _is_missing(api: Api, namespace: str) -> bool:
    """Whether there is no such namespace, as far as it may be asked."""
    try:
        await api.get(f"/api/v1/namespaces/{namespace}")
    except GoneError:
        return True
    except EbbtideError:
        return False
    return False


def _gateway_grace(deployments: Iterable[Object], own: str) -> float | None:
    """Of the chart's gateways, where their Deployment may be read."""
    for item in deployments:
        namespace, name = key_of(item)
        labels = metadata(item).get("labels") or {}
        of_the_chart = labels.get("app.kubernetes.io/component") == "gateway"
        if namespace == own and of_the_chart and name.endswith("-gateway"):
            return gateway_grace(item)
    return None


def _by_name(items: Iterable[Object]) -> Mapping[str, Object]:
    return {"/".join(key_of(item)): item for item in items}

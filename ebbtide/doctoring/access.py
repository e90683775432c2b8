"""Asks the API server what gateway and autoscaler may do.

Rule 1: for their service accounts where there are any, and where whoever asks may ask for others;
        else for whoever asks.
Rule 2: one of these accounts, which may not ask for the other, asks for itself alone.
Rule 3: what could not be asked is unknown, and neither allowed nor lacking.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from ebbtide.doctoring.facts import Access, Subject
from fleet.errors import EbbtideError
from fleet.kubernetes.objects import Object, key_of, metadata
from fleet.kubernetes.permissions import PERMISSIONS, Component, Permission, Scope

__all__ = ["Asking", "ask_access"]

_REVIEWS = "/apis/authorization.k8s.io/v1"
_COMPONENT = "app.kubernetes.io/component"
_ACCOUNT = "system:serviceaccount:"
_NOBODY = Subject(name="")


class Asking(Protocol):
    """What is needed of an `Api`."""

    async def get(self, path: str, *, query: Mapping[str, str] | None = None) -> Object: ...

    async def post(self, path: str, *, body: Object) -> Object: ...


async def ask_access(api: Asking, *, namespaces: Sequence[str], own: str) -> tuple[Access, ...]:
    """What is allowed of `PERMISSIONS`, in their order; by Rule 2 of one component alone."""
    itself = await _itself(api, own)
    subjects = itself or await _subjects(api, own)
    asked = [
        (permission, namespace)
        for permission in PERMISSIONS
        if not itself or permission.component in itself
        for namespace in _where(permission, namespaces, own)
    ]
    if itself:
        found = await asyncio.gather(*(_ask(api, *each, _NOBODY) for each in asked))
        return tuple(replace(one, subject=itself[one.permission.component]) for one in found)
    answers = (
        _ask(api, permission, namespace, subjects.get(permission.component, _NOBODY))
        for permission, namespace in asked
    )
    return tuple(await asyncio.gather(*answers))


def _where(permission: Permission, namespaces: Sequence[str], own: str) -> Iterable[str]:
    match permission.scope:
        case Scope.CLUSTER:
            return ("",)
        case Scope.OWN:
            return (own,)
        case Scope.MODELS:
            return namespaces or ("",)


async def _itself(api: Asking, own: str) -> Mapping[Component, Subject]:
    """Whoever asks, where that is an account of the chart's, which may not list accounts.

    The chart ends their names with the component's.
    """
    group = "authentication.k8s.io/v1"
    body = {"apiVersion": group, "kind": "SelfSubjectReview"}
    try:
        answer = await api.post(f"/apis/{group}/selfsubjectreviews", body=body)
    except EbbtideError:
        return {}
    user = (answer.get("status") or {}).get("userInfo") or {}
    namespace, _, name = str(user.get("username")).removeprefix(_ACCOUNT).partition(":")
    subject = Subject(name=f"{namespace}/{name}")
    return {
        component: subject
        for component in Component
        if namespace == own and name.endswith(f"-{component.value}")
    }


async def _subjects(api: Asking, own: str) -> Mapping[Component, Subject]:
    """The service accounts of ebbtide, where it may be asked for them."""
    may_ask = Permission(
        component=Component.GATEWAY,
        scope=Scope.CLUSTER,
        group="authorization.k8s.io",
        resource="subjectaccessreviews",
        verb="create",
        use="asks for others",
    )
    if not (await _ask(api, may_ask, "", _NOBODY)).allowed:
        return {}
    query = {"labelSelector": f"{_COMPONENT} in (gateway,autoscaler),helm.sh/chart"}
    try:
        listed = await api.get(f"/api/v1/namespaces/{own}/serviceaccounts", query=query)
    except EbbtideError:
        return {}
    found: dict[Component, Subject] = {}
    for item in listed.get("items") or ():
        labels = metadata(item).get("labels") or {}
        _, name = key_of(item)
        found[Component(labels[_COMPONENT])] = Subject(name=f"{own}/{name}")
    return found


async def _ask(api: Asking, permission: Permission, namespace: str, subject: Subject) -> Access:
    resource, _, subresource = permission.resource.partition("/")
    attributes = {
        "namespace": namespace,
        "verb": permission.verb,
        "group": permission.group,
        "resource": resource,
        "subresource": subresource,
        "name": permission.name,
    }
    spec: Object = {"resourceAttributes": {k: v for k, v in attributes.items() if v}}
    kind = "SelfSubjectAccessReview"
    if subject.name:
        kind = "SubjectAccessReview"
        spec |= _as_account(subject)
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    try:
        answer = await api.post(f"{_REVIEWS}/{kind.lower()}s", body=body)
    except EbbtideError as error:
        allowed, why = None, str(error)
    else:
        status = answer.get("status") or {}
        allowed, why = bool(status.get("allowed")), str(status.get("reason") or "")
    return Access(
        permission=permission, namespace=namespace, subject=subject, allowed=allowed, why=why
    )


def _as_account(subject: Subject) -> Object:
    namespace, _, name = subject.name.partition("/")
    accounts = "system:serviceaccounts"
    return {
        "user": f"{_ACCOUNT}{namespace}:{name}",
        "groups": [accounts, f"{accounts}:{namespace}", "system:authenticated"],
    }

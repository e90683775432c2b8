"""A control plane with the chart's accounts, Roles and policies in force, and no more of it."""

import asyncio
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.kubernetes.api import Api
from fleet.kubernetes.permissions import Component, Permission, Scope
from tests.kube.admin import Admin, RefusedError
from tests.kube.chart import apply, render, withdraw
from tests.kube.objects import deployment
from tests.kube.plane import ControlPlane
from tests.kube.rights import OPERATIONS
from tests.kube.stand import Stand, Witness

__all__ = ["RBAC", "Granted", "granting", "scaled_objects"]

RBAC = "/apis/rbac.authorization.k8s.io/v1"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_AUTHORIZATION = "/apis/authorization.k8s.io/v1"
_KINDS = (
    *("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
    *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
)
_PATIENCE_S = 20.0
_SCALED_OBJECTS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "scaledobjects.keda.sh"},
    "spec": {
        "group": "keda.sh",
        "scope": "Namespaced",
        "names": {"plural": "scaledobjects", "singular": "scaledobject", "kind": "ScaledObject"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}
"""As KEDA brings them, as far as anybody here reads them."""


@dataclass(frozen=True)
class Granted:
    """The accounts, and the two namespaces: ebbtide's own, and one with models."""

    plane: ControlPlane
    admin: Admin
    own: str
    models: str
    documents: list[dict[str, Any]]
    tokens: Mapping[Component, str]

    def account(self, component: Component) -> Admin:
        """A client with this account's rights; the caller closes it."""
        return self.plane.bearer(self.tokens[component])

    def make(self, name: str, *, replicas: int = 0) -> str:
        """A model's Deployment; its path."""
        path = f"/apis/apps/v1/namespaces/{self.models}/deployments"
        made = deployment(name, self.models, annotations={"model": name}, replicas=replicas)
        made["metadata"]["annotations"]["example.com/owner"] = "ml"
        self.admin.post(path, made)
        return f"{path}/{name}"

    async def lacked(self, permission: Permission) -> str:
        """What a component was forbidden while it did what needs this; empty: nothing."""
        component = permission.component
        what = (component.value, permission.group, permission.resource, permission.verb)
        kubeconfig = self.plane.kubeconfig_for(self.tokens[component], name=component.value)
        async with await Api.open(str(kubeconfig)) as api:
            witness = Witness(api)
            stand = Stand(witness, self.admin, own=self.own, models=self.models)
            working = asyncio.ensure_future(OPERATIONS[what](stand))
            denied = asyncio.ensure_future(witness.denied.wait())
            await asyncio.wait((working, denied), return_when=asyncio.FIRST_COMPLETED)
            finished = working.done()
            for task in (working, denied):
                task.cancel()
            outcome, _ = await asyncio.gather(working, denied, return_exceptions=True)
        if witness.forbidden:
            return str(witness.forbidden[0])
        if finished and isinstance(outcome, BaseException):
            raise outcome
        return ""

    def role_with(self, permission: Permission) -> str:
        """The path of the Role that gives it."""
        name = f"ebbtide-{permission.component.value}"
        if permission.scope is Scope.OWN:
            return f"{RBAC}/namespaces/{self.own}/roles/{name}"
        return f"{RBAC}/clusterroles/{self.own}-{name}"

    def until_known(self, permission: Permission, *, allowed: bool) -> None:
        """The API server learns of a changed Role a moment later."""
        resource, _, subresource = permission.resource.partition("/")
        asked = {
            "group": permission.group,
            "resource": resource,
            "subresource": subresource,
            "verb": permission.verb,
            "namespace": self.own if permission.scope is Scope.OWN else "",
            "name": permission.name,
        }
        review = {"spec": {"resourceAttributes": asked}}
        end = time.monotonic() + _PATIENCE_S
        with closing(self.account(permission.component)) as account:
            while time.monotonic() < end:
                said = account.post(f"{_AUTHORIZATION}/selfsubjectaccessreviews", review)
                if said["status"]["allowed"] is allowed:
                    return
        raise TimeoutError(f"the API server does not learn of {permission}")


@contextmanager
def granting(plane: ControlPlane, folder: Path, *, narrow: bool = False) -> Iterator[Granted]:
    """All of it made; taken away at the end. `folder` takes a file of values.

    `narrow`: with rights in the namespace of the models alone.
    """
    admin = plane.admin
    mark = secrets.token_hex(3)
    own, models = f"own-{mark}", f"models-{mark}"
    values = {"namespaces": [models], "settings": {"gpu_budget": "8"}} if narrow else {}
    rendered = render(namespace=own, values=values, folder=folder)
    documents = [each for each in rendered if each["kind"] in _KINDS]
    for name in (own, models):
        admin.post("/api/v1/namespaces", {"metadata": {"name": name}})
        admin.until(f"/api/v1/namespaces/{name}/serviceaccounts/default", bool)
    apply(admin, documents, namespace=own)
    tokens = {each: plane.account_token(own, f"ebbtide-{each.value}") for each in Component}
    found = Granted(plane, admin, own, models, documents, tokens)
    try:
        _until_in_force(found)
        yield found
    finally:
        withdraw(admin, documents, namespace=own)
        for name in (own, models):
            admin.delete(f"/apis/apps/v1/namespaces/{name}/deployments")
            admin.delete(f"/api/v1/namespaces/{name}/pods", grace_s=0)
            admin.delete(f"/api/v1/namespaces/{name}")


@contextmanager
def scaled_objects(admin: Admin) -> Iterator[None]:
    """The cluster knows KEDA's objects."""
    path = f"{_CRDS}/scaledobjects.keda.sh"
    admin.post(_CRDS, _SCALED_OBJECTS)
    admin.until("/apis/keda.sh/v1alpha1/scaledobjects", bool)
    try:
        yield
    finally:
        admin.delete(path)
        _until_gone(admin, path)


def _until_in_force(granted: Granted) -> None:
    """A policy is in force some moments after it is there."""
    path = granted.make("in-force", replicas=1)
    for component in Component:
        with closing(granted.account(component)) as account:
            for turn in range(1000):
                try:
                    if component is Component.GATEWAY:
                        account.patch(f"{path}/scale", {"spec": {"replicas": 2 + turn % 2}})
                    else:
                        account.patch(path, {"metadata": {"labels": {"turn": str(turn)}}})
                except RefusedError as error:
                    if "denied request" in str(error):
                        break
            else:
                raise TimeoutError("the policies never came into force")


def _until_gone(admin: Admin, path: str) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        try:
            admin.get(path)
        except RefusedError:
            return

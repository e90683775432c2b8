"""The rights that the chart gives are enough and nothing more: on a real API server, with exactly
its Roles and policies, by the code of the two components with nothing but their accounts' tokens.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fleet.kubernetes.permissions import PERMISSIONS, Component, Permission, Scope
from tests.kube.chart import CHART, render
from tests.kube.granted import Granted, granting, scaled_objects
from tests.kube.plane import ControlPlane
from tests.kube.rights import OPERATIONS


@pytest.fixture(scope="module")
def granted(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Granted]:
    folder = tmp_path_factory.mktemp("rights")
    with scaled_objects(control_plane.admin), granting(control_plane, folder) as found:
        yield found


# What is given is what is said to be needed.


Right = tuple[str, str, str, str, str]
"""Component, group, resource, verb, and the one name it is for; empty: any."""


def given(documents: list[dict[str, Any]], kind: str) -> Iterator[Right]:
    """What the Roles of a kind give."""
    for document in documents:
        if document["kind"] == kind:
            component = document["metadata"]["labels"]["app.kubernetes.io/component"]
            for rule in document["rules"]:
                assert not {"*"} & {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        for verb in rule["verbs"]:
                            (name,) = rule.get("resourceNames", [""])
                            yield component, group, resource, verb, name


def needed(*scopes: Scope) -> set[Right]:
    return {
        (each.component.value, each.group, each.resource, each.verb, each.name)
        for each in PERMISSIONS
        if each.scope in scopes
    }


def test_the_roles_are_what_the_code_says_it_asks_for(granted: Granted, tmp_path: Path) -> None:
    assert set(given(granted.documents, "ClusterRole")) == needed(Scope.CLUSTER, Scope.MODELS)
    assert set(given(granted.documents, "Role")) == needed(Scope.OWN)
    values = {"namespaces": ["a", "b"], "settings": {"gpu_budget": "8"}}
    narrow = render(namespace=granted.own, values=values, folder=tmp_path)
    assert set(given(narrow, "ClusterRole")) == set()
    for namespace, scope in (("a", Scope.MODELS), ("b", Scope.MODELS), (None, Scope.OWN)):
        here = [each for each in narrow if each["metadata"].get("namespace") == namespace]
        assert set(given(here, "Role")) == needed(scope)


def test_beside_each_verb_stands_what_it_is_for() -> None:
    text = (CHART / "templates" / "_rules.tpl").read_text()
    verbs = re.findall(r"^    - (\w+)( #.+)?$", text, re.MULTILINE)
    assert len(verbs) > 20
    assert [verb for verb, said in verbs if not said] == []


@pytest.mark.parametrize("component", list(Component))
def test_the_api_server_counts_the_same_rights_and_no_more(
    granted: Granted, component: Component
) -> None:
    with closing(granted.account(component)) as account:
        for namespace, scopes in (
            (granted.own, (Scope.OWN, Scope.MODELS, Scope.CLUSTER)),
            (granted.models, (Scope.MODELS, Scope.CLUSTER)),
        ):
            review = account.post(
                "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
                {"spec": {"namespace": namespace}},
            )
            rules = review["status"]["resourceRules"]
            has = {
                (component.value, group, resource, verb, *rule.get("resourceNames", [""]))
                for rule in rules
                for group in rule.get("apiGroups", ())
                for resource in rule.get("resources", ())
                for verb in rule["verbs"]
                # What the API server lets everybody ask: who am I, what may I.
                if group not in ("authorization.k8s.io", "authentication.k8s.io")
            }
            mine = {each for each in needed(*scopes) if each[0] == component.value}
            assert has == mine
            assert not [each for each in has if "secret" in each[2] or "log" in each[2]]


def test_every_verb_has_something_that_needs_it() -> None:
    assert OPERATIONS.keys() == {right[:4] for right in needed(*Scope)}


# Each is enough, and each is missed.


def without(role: Mapping[str, Any], permission: Permission) -> dict[str, Any]:
    """A Role less one verb on one resource."""
    left = []
    for rule in role["rules"]:
        hit = permission.group in rule["apiGroups"] and permission.resource in rule["resources"]
        verbs = [v for v in rule["verbs"] if not (hit and v == permission.verb)]
        if verbs:
            left.append({**rule, "verbs": verbs})
    return {**role, "rules": left}


@pytest.mark.anyio
@pytest.mark.parametrize(
    "permission",
    PERMISSIONS,
    ids=lambda each: f"{each.component.value}-{each.verb}-{each.resource}".replace("/", "."),
)
async def test_it_is_enough_and_without_it_something_breaks(
    granted: Granted, permission: Permission
) -> None:
    path = granted.role_with(permission)
    role = granted.admin.get(path)
    assert await granted.lacked(permission) == ""
    granted.admin.patch(path, {"rules": without(role, permission)["rules"]})
    try:
        granted.until_known(permission, allowed=False)
        said = await granted.lacked(permission)
    finally:
        granted.admin.patch(path, {"rules": role["rules"]})
        granted.until_known(permission, allowed=True)
    assert f'cannot {permission.verb} resource "{permission.resource}"' in said

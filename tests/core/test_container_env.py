"""The variables of a container: where they come from, and $(VAR) as in Kubernetes."""

from typing import Any

import pytest

from fleet.cluster.local.expand import expand
from tests.core.templates import MAPS, PLAIN, launched, refused, words


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)", "1"),
        ("x$(A)$(B)y", "x12y"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(C)", "$(C)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$(A$(B)", "$(A$(B)"),
        ("$()", "$()"),
        ("$( A)", "$( A)"),
        ("$$", "$"),
        ("cost: 5$", "cost: 5$"),
        ("$(EMPTY)|", "|"),
        ("$(LOOP)", "$(A)"),
    ],
)
def test_expansion_as_in_kubernetes(text: str, result: str) -> None:
    assert expand(text, {"A": "1", "B": "2", "EMPTY": "", "LOOP": "$(A)"}) == result


def test_env_refers_to_earlier_env_only() -> None:
    env = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)$(C)"},
        {"name": "C", "value": "3"},
        {"name": "A", "value": "$(A)$(B)"},
        {"name": "E"},
    ]
    started = launched({"command": ["x", "$(B) $(A) $(E)"], "env": env}, annotations=PLAIN)
    assert started.argv == ("x", "1$(C) 11$(C) ")
    assert dict(started.env) == {
        "PATH": "/bin",
        "HOME": "/root",
        "POD_IP": "127.9.8.7",
        "A": "11$(C)",
        "B": "1$(C)",
        "C": "3",
        "E": "",
    }


def test_inherited_variables_are_there_but_not_expanded() -> None:
    started = launched({"command": ["x", "$(HOME)"]}, annotations=PLAIN)
    assert started.argv == ("x", "$(HOME)")
    assert started.env["HOME"] == "/root"


def test_the_pod_ip_is_always_there_and_may_be_replaced() -> None:
    assert words("x", "--host=$(POD_IP)") == ["x", "--host=127.9.8.7"]
    assert words("x", "$(POD_IP)", env=[{"name": "POD_IP", "value": "::"}]) == ["x", "::"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "d-1"),
        ("metadata.namespace", "n"),
        ("status.podIP", "127.9.8.7"),
        ("status.podIPs", "127.9.8.7"),
        ("status.hostIP", "127.0.0.1"),
        ("status.hostIPs", "127.0.0.1"),
        ("spec.nodeName", "localhost"),
        ("spec.serviceAccountName", "default"),
        ("metadata.labels['app']", "a$(X)"),
        ("metadata.labels['none']", ""),
    ],
)
def test_the_downward_api(path: str, value: str) -> None:
    env = [
        {"name": "X", "value": "no"},
        {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": path}}},
    ]
    assert words("x", "$(F)", env=env) == ["x", value]


def test_an_unknown_field_is_refused_with_those_there_are() -> None:
    env = [{"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]
    message = refused({"command": ["x"], "env": env}, annotations=PLAIN)
    assert "env[0].valueFrom.fieldRef.fieldPath: 'metadata.uid'" in message
    assert "status.podIP" in message


def test_variables_from_a_config_map_are_taken_as_they_are() -> None:
    container = {
        "command": ["x", "$(P_KEY)|$(K)|$(other)|$(NONE)"],
        "envFrom": [
            {"prefix": "P_", "configMapRef": {"name": "c"}},
            {"configMapRef": {"name": "c"}},
            {"configMapRef": {"name": "none", "optional": True}},
            {"secretRef": {"name": "s", "optional": True}},
        ],
        "env": [
            {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "KEY"}}},
            {"name": "other", "value": "over"},
            {
                "name": "NONE",
                "valueFrom": {"configMapKeyRef": {"name": "c", "key": "n", "optional": True}},
            },
            {
                "name": "SECRET",
                "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}},
            },
        ],
    }
    started = launched(container, annotations=PLAIN, config_maps=MAPS)
    assert started.argv[1] == "a$(POD_IP)|a$(POD_IP)|over|$(NONE)"
    assert {"NONE", "SECRET"}.isdisjoint(started.env)


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"envFrom": [{"secretRef": {"name": "s"}}]}, "secrets are not read"),
        ({"envFrom": [{"configMapRef": {"name": "e"}}]}, "a ConfigMap in the same namespace"),
        ({"envFrom": [{}]}, "a configMapRef"),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            "secrets are not read",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}]},
            "a ConfigMap in the same namespace",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]},
            "a key of its data: KEY, other",
        ),
        ({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {}}}]}, "a fieldRef"),
        ({"env": [{"name": "A=B", "value": "c"}]}, "printable ASCII without ="),
        ({"env": [{"value": "c"}]}, "printable ASCII without ="),
        ({"env": [{"name": "A", "value": 3}]}, "need quotes"),
        ({"env": [{"name": "A", "value": "3", "valueFrom": {"fieldRef": {}}}]}, "either value or"),
    ],
)
def test_variables_that_cannot_be_known_are_refused(
    container: dict[str, Any], message: str
) -> None:
    container = {"command": ["x"], **container}
    assert message in refused(container, annotations=PLAIN, config_maps=MAPS)

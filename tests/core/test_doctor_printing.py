"""How `ebbtide doctor` tells what it has found: to a person, and as JSON."""

import json
from dataclasses import replace

from rich.console import Console

from ebbtide.doctoring.facts import Redis
from ebbtide.doctoring.findings import find
from ebbtide.doctoring.printing import as_json, show
from fleet.kubernetes.permissions import PERMISSIONS
from fleet.model import Fleet, GpuPool
from tests.core.doctored import access, facts, registered, template


def printed(found):
    console = Console(width=120, no_color=True, record=False, soft_wrap=True)
    with console.capture() as captured:
        show(console, found, find(found))
    return captured.get()


def test_a_person_sees_sections_marks_a_table_and_counts():
    found = registered(
        deployment=template(), fleet=Fleet(gpus=(GpuPool(name="gpu", total=1, free=0),))
    )
    lines = printed(replace(found, access=access(lacks={("pods", "watch")}))).splitlines()
    titles = [line for line in lines if line and not line.startswith(" ")]
    assert titles[:-1] == [
        "Cluster", "Permissions", "GPUs", "GPU measurements", "Redis", "Deployments",
    ]  # fmt: skip
    assert lines[-1] == "2 errors, 2 warnings"
    assert any(line.startswith("  ✓ https://api:6443 answers") for line in lines)
    assert any(line.startswith("  ! default/demo: terminationGrace") for line in lines)
    row = next(line for line in lines if line.split()[:2] == ["pods", "all"])
    assert row.split() == ["pods", "all", "list", "✗watch", "list", "✗watch", "patch"]
    lacks = [line for line in lines if "may not watch pods" in line]
    assert len(lacks) == 2
    assert sum("helm upgrade" in line for line in lines) == 1, "one remedy for both is told once"


def test_no_value_from_outside_makes_a_line_of_its_own():
    found = facts(redis=Redis(where="redis://box", trouble="a\n  ✓ all is well"))
    assert "\n  ✓ all is well" not in printed(found)


def test_the_json_has_all_of_it():
    told = json.loads(as_json(facts(), find(facts())))
    assert set(told) == {
        "ok", "server", "version", "namespaces", "own_namespace", "findings", "permissions", "gpus",
        "nodes", "registered", "refused",
    }  # fmt: skip
    assert told["ok"] is True
    assert len(told["permissions"]) == len(PERMISSIONS)
    assert set(told["permissions"][0]) == {
        "component", "account", "group", "resource", "verb", "namespace", "allowed", "needed",
        "use",
    }  # fmt: skip
    assert set(told["findings"][0]) == {"section", "level", "about", "what", "advice"}


def test_no_permission_reads_a_secret_and_each_says_what_it_is_for():
    for one in PERMISSIONS:
        assert one.resource not in {"secrets", "configmaps", "pods/log", "pods/exec"}
        assert "*" not in (one.resource, one.verb, one.group)
        assert one.use
    keys = [(o.component, o.scope, o.group, o.resource, o.verb) for o in PERMISSIONS]
    assert len(set(keys)) == len(keys)

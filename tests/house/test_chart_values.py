"""The chart's values: every one explained, held by the schema, and in step with the settings."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
import yaml

from fleet.setting_values import parse_value
from fleet.settings import Settings
from scripts.chart_settings import LOCAL, OWN, schema
from tests.house.tree import text

VALUES = "charts/ebbtide/values.yaml"
SCHEMA: dict[str, Any] = json.loads(text("charts/ebbtide/values.schema.json"))
FIELDS = {field.name for field in fields(Settings)}


def test_the_schema_is_made_from_the_settings() -> None:
    assert SCHEMA["properties"]["settings"] == schema(), "run python -m scripts.settings_page"


def test_a_setting_is_a_value_or_made_of_one_or_of_one_machine() -> None:
    taken = set(SCHEMA["properties"]["settings"]["properties"])
    assert taken | OWN.keys() | LOCAL == FIELDS
    assert not taken & (OWN.keys() | LOCAL)
    assert not OWN.keys() & LOCAL


def paths(values: Any, before: str = "") -> Iterator[str]:
    """The path of every value, and of every mapping of them."""
    for key, value in values.items():
        yield before + key
        if isinstance(value, dict):
            yield from paths(value, f"{before}{key}.")


@pytest.mark.parametrize("name", sorted(OWN))
def test_what_the_chart_sets_itself_it_sets_of_a_value(name: str) -> None:
    known = {*paths(yaml.safe_load(text(VALUES))), "the release's"}
    assert OWN[name] in known
    assert any(
        f"EBBTIDE_{name.upper()}" in text(f"charts/ebbtide/templates/{template}")
        for template in ("_pods.tpl", "gateway-deployment.yaml")
    )


def test_templates_name_only_settings_that_are_there() -> None:
    named = {
        name
        for template in ("_pods.tpl", "gateway-deployment.yaml")
        for name in re.findall(
            r"\bEBBTIDE_([A-Z_]+)\b", text(f"charts/ebbtide/templates/{template}")
        )
    }
    assert {name.lower() for name in named} <= FIELDS


def followed(schema: Any) -> Any:
    """A schema, references followed."""
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def held(schema: Any, values: Any, before: str = "") -> Iterator[str]:
    """What values or schema name alone, and where a schema takes any name."""
    schema = followed(schema)
    known = schema.get("properties")
    if known is None:
        return
    if schema.get("additionalProperties") is not False:
        yield f"{before or 'values'}: takes any name"
    for key in sorted(known.keys() ^ values.keys()):
        yield f"{before}{key}: {'not in values' if key in known else 'not in the schema'}"
    for key in sorted(known.keys() & values.keys()):
        if isinstance(values[key], dict) and values[key]:
            yield from held(known[key], values[key], f"{before}{key}.")


def test_values_and_schema_name_the_same_and_nothing_else_is_taken() -> None:
    found = list(held(SCHEMA, yaml.safe_load(text(VALUES))))
    # Helm hands `global` to every chart; `resources` may hold claims.
    allowed = {"global: not in values"} | {
        f"{part}.resources.claims: not in values" for part in ("gateway", "autoscaler", "redis")
    }
    assert set(found) - allowed == set()


def optional(schema: Any, values: Any, before: str = "") -> Iterator[str]:
    """Sections that the schema lets be away, so that a template would read within nothing."""
    for key, value in values.items():
        if isinstance(value, dict) and "properties" in (inner := schema["properties"][key]):
            if key not in schema.get("required", ()):
                yield before + key
            yield from optional(inner, value, f"{before}{key}.")


def test_a_section_that_is_left_empty_is_told_by_its_name() -> None:
    assert set(optional(SCHEMA, yaml.safe_load(text(VALUES)))) == {"settings"}


def optional_values(schema: Any, values: Any, before: str = "") -> Iterator[str]:
    """Those with a default that the schema lets be away: left empty in a file of values, they
    would not be their default, but nothing. What only users put something into may be empty."""
    schema = followed(schema)
    for key, value in values.items():
        inner = followed(schema.get("properties", {}).get(key, {}))
        if isinstance(value, dict) and key != "resources" and "properties" in inner:
            yield from optional_values(inner, value, f"{before}{key}.")
        elif isinstance(value, dict) or value in ("", []):
            continue
        elif key not in schema.get("required", ()):
            yield before + key


def test_a_value_that_is_left_empty_is_told_by_its_name() -> None:
    one = {"properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}
    assert list(optional_values(one, {"a": 1, "b": ""})) == ["a"]
    assert list(optional_values(SCHEMA, yaml.safe_load(text(VALUES)))) == []


@pytest.mark.parametrize("name", sorted(SCHEMA["properties"]["settings"]["properties"]))
def test_a_setting_refuses_text_of_no_kind_as_its_reader_does(name: str) -> None:
    kind = SCHEMA["properties"]["settings"]["properties"][name]
    try:
        parse_value(name, "(no)", default=getattr(Settings(), name))
    except ValueError:
        assert "enum" in kind or not re.search(kind["pattern"], "(no)")


def unexplained(source: str) -> Iterator[str]:
    """Keys with no comment right above them; `requests` and `limits` are as everywhere."""
    before = ""
    for line in source.splitlines():
        key = re.match(r" *([A-Za-z]+):", line)
        if key and key[1] not in ("requests", "limits") and not before.lstrip().startswith("#"):
            yield key[1]
        before = line


def test_every_value_is_explained() -> None:
    assert list(unexplained("# Why.\na:\n  b: 1\n  # What.\n  c: 2\n")) == ["b"]
    assert list(unexplained(text(VALUES))) == []

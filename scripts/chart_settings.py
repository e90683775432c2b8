"""Makes the part of charts/ebbtide/values.schema.json that says which settings the chart takes.

``python -m scripts.settings_page`` writes it, beside docs/settings.md; a house test holds it to
fleet/settings.py. The kind of value is checked, and a word where it is one of a few; how much is
too much ebbtide says at its start.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from fleet.setting_values import DURATIONS, SIZES, WORDS, parse_value
from fleet.settings import Settings
from scripts.settings_page import explained

__all__ = ["LOCAL", "OWN", "schema", "write"]

SCHEMA = Path(__file__).resolve().parent.parent / "charts" / "ebbtide" / "values.schema.json"
OWN: Mapping[str, str] = {
    "shutdown_delay": "gateway.shutdownDelaySeconds",
    "shutdown_grace": "gateway.requestTimeoutSeconds",
    "tls_cert": "gateway.tls.secretName",
    "tls_key": "gateway.tls.secretName",
    "api_keys": "gateway.apiKeys.existingSecret",
    "replica_ca": "gateway.replicaTls.secretName",
    "replica_cert": "gateway.replicaTls.clientCertificate",
    "replica_key": "gateway.replicaTls.clientCertificate",
    "admin_token_file": "admin.existingSecret",
    "namespaces": "namespaces",
    "namespace": "the release's",
    "redis_url": "redis.url.existingSecret",
    "redis_ca": "redis.url.tls.secretName",
    "redis_cert": "redis.url.tls.clientCertificate",
    "redis_key": "redis.url.tls.clientCertificate",
}
"""Settings that the chart makes of other values, and of which."""
LOCAL = frozenset({"state_dir", "tritonserver", "worker_timeout"})
"""Settings that mean something on one machine alone."""

_DURATION = r"^[0-9]+(\.[0-9]+)?$|^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
_SIZE = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$"
_COUNT = r"^[0-9]+$"
_ALLOWANCE = "(present|(elastic:)?[0-9]{1,6})"
_CLASS = "([A-Za-z0-9][A-Za-z0-9._-]*|[*])"
_OF_CLASS = f" *{_CLASS} *= *{_ALLOWANCE} *"
_TEXTS = {
    # Also for the chart's sake: it stands in what a shell reads.
    "redis_prefix": "^[A-Za-z0-9:._-]{1,64}$",
    "gpu_budget": f"^ *{_ALLOWANCE} *$|^{_OF_CLASS}(,{_OF_CLASS})*$",
    "trusted_peers": "^[0-9A-Fa-f.:/, ]*$",
    "via": "^[A-Za-z0-9._~-]{0,64}$",
}


def schema() -> dict[str, object]:
    """What `settings` in values.yaml may hold."""
    said = explained()
    return {
        "description": "Settings by their names, in lower case and without EBBTIDE_. Not here, but "
        + ", ".join(f"{name}: {value}" for name, value in OWN.items()),
        "type": "object",
        "additionalProperties": False,
        "properties": {
            field.name: {"description": said[field.name], **_kind(field.name)}
            for field in fields(Settings)
            if field.name not in OWN.keys() | LOCAL
        },
    }


def _kind(name: str) -> dict[str, object]:
    """YAML says 30 or "30s", true or "true": both are what the environment will hold."""
    if name in WORDS:
        return _one_of(WORDS[name])
    match getattr(Settings(), name):
        case bool():
            return {"enum": [True, False, "true", "false"]}
        case int():
            pattern = _SIZE if name in SIZES else _COUNT
            return {"type": ["integer", "string"], **_least(name), "pattern": pattern}
        case float():
            pattern = _DURATION if name in DURATIONS else r"^[0-9]+(\.[0-9]+)?$"
            return {"type": ["number", "string"], **_least(name), "pattern": pattern}
        case _:
            kind: dict[str, object] = {"type": ["string", "number"]}
            return kind | ({"pattern": _TEXTS[name]} if name in _TEXTS else {})


def _one_of(words: Sequence[str]) -> dict[str, object]:
    """YAML reads 1.2 as a number."""
    numbers = [float(word) for word in words if word[0].isdigit()]
    return {"type": ["string", "number"] if numbers else "string", "enum": [*words, *numbers]}


def _least(name: str) -> dict[str, object]:
    """What a number may be at least; of sizes, more is said at the start."""
    try:
        parse_value(name, "0", default=getattr(Settings(), name))
    except ValueError:
        return {"minimum": 1} if name not in DURATIONS else {"exclusiveMinimum": 0}
    return {"minimum": 0}


def write() -> None:
    """Put it into the schema."""
    whole = json.loads(SCHEMA.read_text())
    whole["properties"]["settings"] = schema()
    SCHEMA.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")

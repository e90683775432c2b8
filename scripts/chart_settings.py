"""Makes the part of charts/ebbtide/values.schema.json that says which settings the chart takes.

``python -m scripts.settings_page`` writes it, beside docs/settings.md; a house test holds it to
fleet/settings.py. Only the kind of value is checked: the rest ebbtide says at its start.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from fleet.setting_values import DURATIONS
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


_TEXTS = {"redis_prefix": "^[A-Za-z0-9:._-]{1,64}$"}
"""What must look like this also for the chart's sake: it stands in what a shell reads."""


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
    match getattr(Settings(), name):
        case bool():
            return {"enum": [True, False, "true", "false"]}
        case int():
            return {"type": ["integer", "string"], "minimum": 0, "pattern": _SIZE}
        case float():
            pattern = _DURATION if name in DURATIONS else r"^[0-9]+(\.[0-9]+)?$"
            return {"type": ["number", "string"], "minimum": 0, "pattern": pattern}
        case _:
            kind: dict[str, object] = {"type": ["string", "number"]}
            return kind | ({"pattern": _TEXTS[name]} if name in _TEXTS else {})


def write() -> None:
    """Put it into the schema."""
    whole = json.loads(SCHEMA.read_text())
    whole["properties"]["settings"] = schema()
    SCHEMA.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")

"""The variables of a container, as far as this machine can know them. Pure.

Rule 1: `envFrom` comes first, `env` over it; a later variable replaces an earlier one.
Rule 2: only `value` may hold `$(VAR)`; what comes from a ConfigMap or label is taken as it is.
Rule 3: secrets are not read: a reference to one is refused, unless it is optional.
"""

import re
from collections.abc import Callable, Mapping

from fleet.cluster.local.podspec import EnvVar, Field
from fleet.cluster.local.volumes import ConfigMap
from fleet.document import Node

__all__ = ["read_env"]

_NAME = re.compile(r"[ -<>-~]+")
_BY_KEY = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_ACCOUNT = "spec.serviceAccountName"
_PATHS = ", ".join(
    (
        *(each.value for each in Field),
        _ACCOUNT,
        "metadata.labels['KEY'], metadata.annotations['KEY']",
    )
)
_NO_MAP = "a ConfigMap in the same namespace, among these manifests"
_NO_SECRETS = "a value or a ConfigMap: secrets are not read on this machine"


def read_env(
    template: Node, container: Node, *, config_maps: Mapping[str, ConfigMap]
) -> tuple[EnvVar, ...]:
    """The variables of `container` in the pod `template`, in the order they take effect."""
    variables: list[EnvVar] = []
    for source in container.at("envFrom").items():
        variables += _from(source, config_maps)
    for node in container.at("env").items():
        variable = _variable(node, template, config_maps)
        if variable is not None:
            variables.append(variable)
    return tuple(variables)


def _from(source: Node, config_maps: Mapping[str, ConfigMap]) -> list[EnvVar]:
    secret, config = source.at("secretRef"), source.at("configMapRef")
    if secret.present and not secret.at("optional").flag():
        secret.refuse(_NO_SECRETS)
    if not config.present:
        if not secret.present:
            source.refuse("a configMapRef")
        return []
    found = config_maps.get(config.at("name").text())
    if found is None:
        if not config.at("optional").flag():
            config.at("name").refuse(_NO_MAP)
        return []
    prefix = source.at("prefix").text()
    return [
        EnvVar(name=prefix + key, value=value, expand=False) for key, value in found.texts.items()
    ]


def _variable(node: Node, template: Node, config_maps: Mapping[str, ConfigMap]) -> EnvVar | None:
    name, source = node.at("name").text(), node.at("valueFrom")
    if _NAME.fullmatch(name) is None:
        node.at("name").refuse("printable ASCII without =")
        return None
    if not source.present:
        return EnvVar(name=name, value=node.at("value").text())
    if node.at("value").text():
        node.at("value").refuse("either value or valueFrom")
        return None
    readers: dict[str, Callable[[Node], EnvVar | None]] = {
        "fieldRef": lambda ref: _field(name, ref.at("fieldPath"), template),
        "configMapKeyRef": lambda ref: _key(name, ref, config_maps),
        "secretKeyRef": _secret,
    }
    for kind, read in readers.items():
        if source.at(kind).present:
            return read(source.at(kind))
    source.refuse("a fieldRef or a configMapKeyRef")
    return None


def _field(name: str, path: Node, template: Node) -> EnvVar | None:
    text = path.text()
    by_key = _BY_KEY.fullmatch(text)
    if by_key is not None:
        value = template.at("metadata", by_key[1], by_key[2]).text()
        return EnvVar(name=name, value=value, expand=False)
    if text == _ACCOUNT:
        value = template.at("spec", "serviceAccountName").text("default")
        return EnvVar(name=name, value=value, expand=False)
    try:
        return EnvVar(name=name, field=Field(text))
    except ValueError:
        path.refuse(f"one of {_PATHS}")
        return None


def _key(name: str, ref: Node, config_maps: Mapping[str, ConfigMap]) -> EnvVar | None:
    found = config_maps.get(ref.at("name").text())
    key = ref.at("key").text()
    if found is not None and key in found.texts:
        return EnvVar(name=name, value=found.texts[key], expand=False)
    if not ref.at("optional").flag():
        if found is None:
            ref.at("name").refuse(_NO_MAP)
        else:
            ref.at("key").refuse(f"a key of its data: {', '.join(sorted(found.texts)) or 'none'}")
    return None


def _secret(ref: Node) -> None:
    if not ref.at("optional").flag():
        ref.refuse(_NO_SECRETS)

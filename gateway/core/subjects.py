"""Who a client certificate says that its holder is, as one line. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["subject_of"]

# RFC 4514, 3: the short names; what has none keeps the name that OpenSSL gives it.
_SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_ESCAPED = frozenset(',+"\\<>;=')


def subject_of(certificate: Mapping[str, Any] | None) -> str:
    """The subject of a verified certificate, as `ssl` decodes it; empty when there is none.

    A subject like ``CN=alice,O=Acme`` (RFC 4514, the most particular part first). A certificate
    without one is named by its first URI, as those of a SPIFFE workload are, else by its first
    DNS name.
    """
    if not certificate:
        return ""
    parts: Sequence[Sequence[tuple[str, str]]] = certificate.get("subject", ())
    if parts:
        return ",".join("+".join(_pair(name, value) for name, value in one) for one in parts[::-1])
    others: Sequence[tuple[str, str]] = certificate.get("subjectAltName", ())
    for wanted in ("URI", "DNS"):
        for kind, value in others:
            if kind == wanted:
                return f"{kind}:{value}"
    return ""


def _pair(name: str, value: str) -> str:
    return f"{_SHORT.get(name, name)}={_escaped(value)}"


def _escaped(value: str) -> str:
    text = "".join(
        f"\\{one}" if one in _ESCAPED else one if one.isprintable() else f"\\{ord(one):02x}"
        for one in value
    )
    if text[:1] in ("#", " "):
        text = "\\" + text
    return text[:-1] + "\\ " if text.endswith(" ") and not text.endswith("\\ ") else text

"""Envoy's configuration: one listener, routes by prefix, one cluster. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Certificate", "envoy_configuration"]

_TYPES = "type.googleapis.com/envoy"
_LIMITS = {"max_connections": 65536, "max_requests": 1000000, "max_pending_requests": 100000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate and its key, PEM files."""

    chain: Path
    key: Path


def envoy_configuration(
    port: int,
    model: int,
    *,
    http2: bool = False,
    tls: Certificate | None = None,
    prefixes: Sequence[str] = ("/",),
) -> str:
    """YAML (it is JSON too): from 127.0.0.1:`port` to 127.0.0.1:`model`, over `http2` if so."""
    listeners, clusters = [_listener(port, tls, prefixes)], [_cluster(model, http2)]
    return json.dumps({"static_resources": {"listeners": listeners, "clusters": clusters}})


def _listener(port: int, tls: Certificate | None, prefixes: Sequence[str]) -> dict[str, Any]:
    manager = f"{_TYPES}.extensions.filters.network.http_connection_manager.v3"
    router = f"{_TYPES}.extensions.filters.http.router.v3.Router"
    routes = [
        {"match": {"prefix": prefix}, "route": {"cluster": "model", "timeout": "0s"}}
        for prefix in prefixes
    ]
    connections = {
        "@type": f"{manager}.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": router}},
        ],
    }
    name = "envoy.filters.network.http_connection_manager"
    chain: dict[str, Any] = {"filters": [{"name": name, "typed_config": connections}]}
    if tls is not None:
        chain["transport_socket"] = _tls(tls)
    return {"address": _address(port), "filter_chains": [chain]}


def _tls(tls: Certificate) -> dict[str, Any]:
    context = f"{_TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    pair = {
        "certificate_chain": {"filename": str(tls.chain)},
        "private_key": {"filename": str(tls.key)},
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": context, "common_tls_context": {"tls_certificates": [pair]}},
    }


def _cluster(model: int, http2: bool) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(model)}}
    options = f"{_TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions"
    explicit = {"@type": options, "explicit_http_config": {"http2_protocol_options": {}}}
    return {
        "name": "model",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [_LIMITS]},
        "load_assignment": {
            "cluster_name": "model",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        **(
            {"typed_extension_protocol_options": {options.partition("/")[2]: explicit}}
            if http2
            else {}
        ),
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

"""Envoy's configuration: one listener, one route for everything, one cluster. Pure."""

import json
from typing import Any

__all__ = ["envoy_configuration"]

_TYPES = "type.googleapis.com/envoy"
_LIMITS = {"max_connections": 65536, "max_requests": 1000000, "max_pending_requests": 100000}


def envoy_configuration(port: int, model: int) -> str:
    """YAML (it is JSON too): from 127.0.0.1:`port` to 127.0.0.1:`model`."""
    return json.dumps(
        {"static_resources": {"listeners": [_listener(port)], "clusters": [_cluster(model)]}},
        indent=1,
    )


def _listener(port: int) -> dict[str, Any]:
    manager = f"{_TYPES}.extensions.filters.network.http_connection_manager.v3"
    router = f"{_TYPES}.extensions.filters.http.router.v3.Router"
    route = {"match": {"prefix": "/"}, "route": {"cluster": "model", "timeout": "0s"}}
    connections = {
        "@type": f"{manager}.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": router}},
        ],
    }
    name = "envoy.filters.network.http_connection_manager"
    chain = {"filters": [{"name": name, "typed_config": connections}]}
    return {"address": _address(port), "filter_chains": [chain]}


def _cluster(model: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(model)}}
    return {
        "name": "model",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [_LIMITS]},
        "load_assignment": {
            "cluster_name": "model",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

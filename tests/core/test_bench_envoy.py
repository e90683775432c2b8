"""Envoy is configured as the benchmark says."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.envoy import Certificate, envoy_configuration
from bench.nginx import proxy_server

TLS = Certificate(chain=Path("chain.pem"), key=Path("key.pem"))


def resources(**how: Any) -> Any:
    return json.loads(envoy_configuration(9000, 9001, **how))["static_resources"]


def test_one_listener_one_route_one_cluster() -> None:
    made = resources()
    (listener,), (cluster,) = made["listeners"], made["clusters"]
    assert listener["address"]["socket_address"]["port_value"] == 9000
    assert '"port_value": 9001' in json.dumps(cluster)
    assert "transport_socket" not in listener["filter_chains"][0]
    assert "http2_protocol_options" not in json.dumps(made)


def test_grpc_goes_on_over_http2() -> None:
    (key,) = resources(http2=True)["clusters"][0]["typed_extension_protocol_options"]
    assert key == "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def test_tls_shows_the_certificate() -> None:
    text = json.dumps(resources(tls=TLS)["listeners"][0]["filter_chains"][0]["transport_socket"])
    assert "chain.pem" in text
    assert "key.pem" in text


def test_a_route_for_each_prefix() -> None:
    text = json.dumps(resources(prefixes=("/a/", "/b/"))["listeners"])
    assert '"prefix": "/a/"' in text
    assert '"prefix": "/b/"' in text


@pytest.mark.parametrize(("buffering", "word"), [(True, "on"), (False, "off")])
def test_nginx_keeps_answers_back_or_not(buffering: bool, word: str) -> None:
    made = proxy_server(9000, 9001, buffering=buffering)
    assert f"proxy_buffering {word};" in made
    assert "ssl" not in made
    assert "ssl_certificate chain.pem;" in proxy_server(9000, 9001, buffering=buffering, tls=TLS)

"""The V2 service: its methods as clients know them, and our own answers as clients read them."""

import pytest
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from fleet.runtimes import CallKind
from gateway.core.refused import RefusedError
from gateway.grpc.core import v2
from tests.core.grpcwire import framed

THEIRS = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
BY_NAME = {f"/{THEIRS.full_name}/{method.name}": method for method in THEIRS.methods}
OURS = [name for name in v2.METHODS if name != v2.HEALTH_CHECK]


def body(message: bytes) -> bytes:
    assert message[:1] == b"\0"
    assert int.from_bytes(message[1:5], "big") == len(message) - 5
    return message[5:]


@pytest.mark.parametrize("name", OURS)
def test_a_method_names_its_model_where_the_clients_put_it(name):
    theirs, ours = BY_NAME[name], v2.METHODS[name]
    names = {field.name: field.number for field in theirs.input_type.fields}
    assert ours.field == names.get("model_name", names.get("name"))
    assert ours.streaming == theirs.client_streaming == theirs.server_streaming
    assert (ours.field is None) == (ours.kind is CallKind.SERVER)


def test_what_could_harm_is_not_among_them():
    out = {name.rpartition("/")[2] for name in BY_NAME.keys() - v2.METHODS.keys()}
    assert out == {
        *("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"),
        *("SystemSharedMemoryStatus", "SystemSharedMemoryRegister"),
        *("SystemSharedMemoryUnregister", "CudaSharedMemoryStatus", "CudaSharedMemoryRegister"),
        *("CudaSharedMemoryUnregister", "TraceSetting", "LogSettings"),
    }


def test_readiness_as_clients_read_it():
    for value in (True, False):
        message = body(v2.truth(value))
        assert service_pb2.ModelReadyResponse.FromString(message).ready is value
        assert service_pb2.ServerReadyResponse.FromString(message).ready is value
        assert service_pb2.ServerLiveResponse.FromString(message).live is value


@given(st.text(max_size=300), st.text(max_size=20), st.lists(st.text(max_size=20), max_size=4))
def test_server_metadata_as_clients_read_it(name, version, extensions):
    message = body(v2.server_metadata(name, version, extensions))
    metadata = service_pb2.ServerMetadataResponse.FromString(message)
    assert (metadata.name, metadata.version) == (name, version)
    assert list(metadata.extensions) == extensions


@pytest.mark.parametrize("status", list(v2.Health))
def test_health_as_clients_read_it(status):
    answer = health_pb2.HealthCheckResponse.FromString(body(v2.health(status)))
    assert health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == status.name
    theirs = health_pb2.DESCRIPTOR.services_by_name["Health"]
    assert f"/{theirs.full_name}/Check" == v2.HEALTH_CHECK


@given(st.text(max_size=100))
def test_the_service_that_a_health_check_asks_for(service):
    request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    assert v2.read_service(framed(request)) == service


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0\0", framed(b"") * 2, framed(b"x", compressed=1), framed(b"\x0a\x05a")]
)
def test_a_health_check_that_is_none(data):
    with pytest.raises(RefusedError):
        v2.read_service(data)

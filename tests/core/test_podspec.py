"""A pod template as this machine runs it: its command and address, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.cluster.local.podspec import launch
from fleet.cluster.local.template import read_pod
from fleet.deployment import read_deployment
from tests.core.deployments import ANYTHING, document
from tests.core.templates import ADDRESS, FOLDER, MAPS, PLAIN, SCRATCH, launched, refused, warnings

# Commands.


def test_local_command_replaces_the_command_and_keeps_the_args() -> None:
    annotations = {**PLAIN, "local.command": "python 'my server.py' --host=$(POD_IP)"}
    container = {"command": ["/image/run"], "args": ["--a", "b c"]}
    assert launched(container, annotations=annotations).argv == (
        "python",
        "my server.py",
        "--host=127.9.8.7",
        "--a",
        "b c",
    )


@pytest.mark.parametrize("text", ["", "  ", "python 'x"])
def test_a_local_command_that_is_none(text: str) -> None:
    message = refused({}, annotations={**PLAIN, "local.command": text})
    assert "ebbtide.dev/local.command" in message
    assert "quoted as in a shell" in message


def test_without_a_command_only_triton_is_known() -> None:
    assert launched({"args": ["--model-repository=/m"]}).argv[:2] == (
        "tritonserver",
        "--model-repository=/m",
    )
    assert launched({"args": ["/opt/bin/tritonserver", "--x"]}).argv[:2] == (
        "/opt/bin/tritonserver",
        "--x",
    )
    message = refused({"args": ["x"]}, annotations=PLAIN)
    assert "containers[0].command" in message
    assert "ebbtide.dev/local.command" in message


def test_triton_gets_its_own_address_and_ports_where_absent() -> None:
    assert launched({"command": ["tritonserver"]}).argv == (
        "tritonserver",
        "--http-address=127.9.8.7",
        "--grpc-address=127.9.8.7",
        "--metrics-address=127.9.8.7",
        "--http-port=8000",
        "--grpc-port=8001",
        "--metrics-port=8002",
    )
    given_ = ["--http-address=$(A)", "--grpc-address", "$(POD_IP)", "--metrics-port=8002"]
    env = [{"name": "A", "value": "1"}, {"name": "POD_IP", "value": "2"}]
    argv = launched({"command": ["tritonserver"], "args": given_, "env": env}).argv
    assert argv == (
        "tritonserver",
        "--http-address=1",
        "--grpc-address",
        "2",
        "--metrics-port=8002",
        "--metrics-address=2",
        "--http-port=8000",
        "--grpc-port=8001",
    )


def test_triton_gets_the_ports_that_ebbtide_calls() -> None:
    argv = launched({"command": ["tritonserver"]}, annotations={"port": "9000"}).argv
    assert "--http-port=9000" in argv
    message = refused({"command": ["tritonserver"], "args": ["--http-port", "9000"]})
    assert "--http-port: '9000': 8000, the port that ebbtide calls" in message


def test_a_wrapper_of_triton_gets_the_flags_and_a_shell_does_not() -> None:
    assert "--http-address=127.9.8.7" in launched({"command": ["./run-triton"]}).argv
    shell = {"command": ["/bin/sh", "-c", "exec tritonserver"]}
    assert launched(shell).argv == ("/bin/sh", "-c", "exec tritonserver")
    (message,) = warnings(shell)
    assert "two replicas will collide" in message


def test_a_server_that_is_not_told_its_address_gets_a_warning() -> None:
    (message,) = warnings({"command": ["serve", "--host", "0.0.0.0"]}, annotations=PLAIN)
    assert "cannot be told to bind its own address: two replicas will collide" in message
    assert "$(POD_IP)" in message
    (message,) = warnings({"command": ["serve", "$$(POD_IP)"]}, annotations=PLAIN)
    assert "collide" in message
    (message,) = warnings({"command": ["tritonserver", "--http-address=0.0.0.0"]})
    assert "--http-address: '0.0.0.0'" in message


@pytest.mark.parametrize(
    "container",
    [
        {"command": ["serve", "--host=$(POD_IP)"], "env": [ADDRESS]},
        {"command": ["serve"], "env": [{**ADDRESS, "name": "HOST"}]},
        {"command": ["serve"], "env": [ADDRESS, {"name": "BIND", "value": "$(POD_IP):80"}]},
    ],
)
def test_a_server_that_is_told_its_address_gets_none(container: dict[str, Any]) -> None:
    assert warnings(container, annotations=PLAIN) == []


def test_a_pod_ip_that_kubernetes_would_not_know_gets_a_warning() -> None:
    (message,) = warnings({"command": ["serve", "--host=$(POD_IP)"]}, annotations=PLAIN)
    assert "on Kubernetes only with a variable POD_IP" in message


# The rest of the pod.


def test_init_containers_and_sidecars_are_refused_with_what_to_do() -> None:
    message = refused(
        {"command": ["x"]}, annotations=PLAIN, pod={"initContainers": [{"name": "i"}]}
    )
    assert "init containers do not run on this machine" in message
    assert "ebbtide.dev/local.volume.NAME" in message
    two = {"containers": [{"name": "c", "command": ["x"]}, {"name": "side"}]}
    message = refused({}, annotations=PLAIN, pod=two)
    assert "'c, side': one container" in message


def test_grace_and_working_directory() -> None:
    started = launched({"command": ["x"]}, annotations=PLAIN)
    assert started.grace == 30
    assert started.cwd == FOLDER
    started = launched(
        {"command": ["x"], "workingDir": "/srv"},
        annotations=PLAIN,
        pod={"terminationGracePeriodSeconds": 0},
    )
    assert started.grace == 0
    assert started.cwd == Path("/srv")
    message = refused(
        {"command": ["x"]}, annotations=PLAIN, pod={"terminationGracePeriodSeconds": -1}
    )
    assert "terminationGracePeriodSeconds: '-1'" in message


def test_hooks_get_a_warning() -> None:
    container = {"command": ["x"], "env": [ADDRESS], "lifecycle": {"preStop": {}}}
    (message,) = warnings(container, annotations=PLAIN)
    assert "hooks are not run" in message


_PARTS = st.sampled_from(
    ["initContainers", "containers", "volumes", "terminationGracePeriodSeconds"]
)
_OF_CONTAINER = st.sampled_from(
    ["command", "args", "env", "envFrom", "volumeMounts", "workingDir", "lifecycle", "name"]
)


@settings(max_examples=80, deadline=None)
@given(
    container=st.dictionaries(
        _OF_CONTAINER,
        ANYTHING
        | st.lists(
            st.dictionaries(
                st.sampled_from(
                    ["name", "value", "valueFrom", "mountPath", "subPath", "configMapRef"]
                ),
                ANYTHING,
            ),
            max_size=2,
        ),
    ),
    pod=st.dictionaries(
        _PARTS,
        ANYTHING
        | st.lists(
            st.dictionaries(st.sampled_from(["name", "configMap", "emptyDir", "secret"]), ANYTHING),
            max_size=2,
        ),
    ),
    local=st.dictionaries(st.sampled_from(["local.command", "local.volume.v"]), st.text()),
)
def test_no_template_raises(
    container: dict[str, Any], pod: dict[str, Any], local: dict[str, str]
) -> None:
    whole = document({"model": "m", **local}, container=container)
    whole["spec"]["template"]["spec"].update(pod)
    registration = read_deployment(whole, source="f", created=0, version="")
    draft = registration.draft
    if draft is None:
        assert [each.key for each in registration.problems] == ["document"]
        return
    found = read_pod(whole, revision=draft, folder=FOLDER, config_maps=MAPS)
    if found.pod is not None:
        started = launch(found.pod, pod_name="p", address="a", scratch=SCRATCH, inherited={})
        assert started.argv
        assert all(path.parent in started.directories for path in started.files)

"""A pod template as this machine runs it: words, variables, volumes, and what is refused."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.cluster.local.expand import expand, relocate
from fleet.cluster.local.podspec import Launch, launch
from fleet.cluster.local.template import PodReading, read_pod
from fleet.cluster.local.volumes import ConfigMap
from fleet.deployment import read_deployment
from tests.core.test_annotations import _ANYTHING, document

FOLDER = Path("/here/manifests")
SCRATCH = Path("/scratch/d-1")
NOTHING: Mapping[tuple[str, str], ConfigMap] = {}


def config_map(**texts: str) -> ConfigMap:
    files = {key: text.encode() for key, text in texts.items()}
    return ConfigMap(files=MappingProxyType(files), texts=MappingProxyType(texts))


def reading(
    container: dict[str, Any],
    *,
    annotations: dict[str, str] | None = None,
    pod: dict[str, Any] | None = None,
    config_maps: Mapping[tuple[str, str], ConfigMap] = NOTHING,
) -> PodReading:
    whole = document({"model": "m", **(annotations or {})}, container=container)
    whole["spec"]["template"]["spec"].update(pod or {})
    whole["spec"]["template"]["metadata"] = {"labels": {"app": "a$(X)"}}
    registration = read_deployment(whole, source="f.yaml", created=0, version="")
    assert registration.draft is not None
    return read_pod(whole, revision=registration.draft, folder=FOLDER, config_maps=config_maps)


def launched(container: dict[str, Any], **kwargs: Any) -> Launch:
    found = reading(container, **kwargs)
    assert found.pod is not None, [str(each) for each in found.problems]
    return launch(
        found.pod,
        pod_name="d-1",
        address="127.9.8.7",
        scratch=SCRATCH,
        inherited={"PATH": "/bin", "HOME": "/root", "A": "inherited"},
    )


def refused(container: dict[str, Any], **kwargs: Any) -> str:
    found = reading(container, **kwargs)
    assert found.pod is None
    (problem,) = [each for each in found.problems if not each.warning]
    return str(problem)


def warnings(container: dict[str, Any], **kwargs: Any) -> list[str]:
    found = reading(container, **kwargs)
    assert found.pod is not None
    assert all(each.warning for each in found.problems)
    return [str(each) for each in found.problems]


PLAIN = {"runtime": "plain", "allow": "all", "port": "80"}


def words(*command: str, env: list[dict[str, Any]] | None = None, **kwargs: Any) -> list[str]:
    """The words of a plain server's command after launch."""
    container = {"command": list(command), "env": env or []}
    return list(launched(container, annotations={**PLAIN, **kwargs}).argv)


# $(VAR).


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)", "1"),
        ("x$(A)$(B)y", "x12y"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(C)", "$(C)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$(A$(B)", "$(A$(B)"),
        ("$()", "$()"),
        ("$( A)", "$( A)"),
        ("$$", "$"),
        ("cost: 5$", "cost: 5$"),
        ("$(EMPTY)|", "|"),
        ("$(LOOP)", "$(A)"),
    ],
)
def test_expansion_as_in_kubernetes(text: str, result: str) -> None:
    assert expand(text, {"A": "1", "B": "2", "EMPTY": "", "LOOP": "$(A)"}) == result


def test_env_refers_to_earlier_env_only() -> None:
    env = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)$(C)"},
        {"name": "C", "value": "3"},
        {"name": "A", "value": "$(A)$(B)"},
        {"name": "E"},
    ]
    started = launched({"command": ["x", "$(B) $(A) $(E)"], "env": env}, annotations=PLAIN)
    assert started.argv == ("x", "1$(C) 11$(C) ")
    assert dict(started.env) == {
        "PATH": "/bin",
        "HOME": "/root",
        "POD_IP": "127.9.8.7",
        "A": "11$(C)",
        "B": "1$(C)",
        "C": "3",
        "E": "",
    }


def test_inherited_variables_are_there_but_not_expanded() -> None:
    started = launched({"command": ["x", "$(HOME)"]}, annotations=PLAIN)
    assert started.argv == ("x", "$(HOME)")
    assert started.env["HOME"] == "/root"


def test_the_pod_ip_is_always_there_and_may_be_replaced() -> None:
    assert words("x", "--host=$(POD_IP)") == ["x", "--host=127.9.8.7"]
    assert words("x", "$(POD_IP)", env=[{"name": "POD_IP", "value": "::"}]) == ["x", "::"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "d-1"),
        ("metadata.namespace", "n"),
        ("status.podIP", "127.9.8.7"),
        ("status.podIPs", "127.9.8.7"),
        ("status.hostIP", "127.0.0.1"),
        ("status.hostIPs", "127.0.0.1"),
        ("spec.nodeName", "localhost"),
        ("spec.serviceAccountName", "default"),
        ("metadata.labels['app']", "a$(X)"),
        ("metadata.labels['none']", ""),
    ],
)
def test_the_downward_api(path: str, value: str) -> None:
    env = [
        {"name": "X", "value": "no"},
        {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": path}}},
    ]
    assert words("x", "$(F)", env=env) == ["x", value]


def test_an_unknown_field_is_refused_with_those_there_are() -> None:
    env = [{"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]
    message = refused({"command": ["x"], "env": env}, annotations=PLAIN)
    assert "env[0].valueFrom.fieldRef.fieldPath: 'metadata.uid'" in message
    assert "status.podIP" in message


MAPS = {
    ("n", "c"): config_map(KEY="a$(POD_IP)", other="o"),
    ("elsewhere", "e"): config_map(KEY="no"),
}


def test_variables_from_a_config_map_are_taken_as_they_are() -> None:
    container = {
        "command": ["x", "$(P_KEY)|$(K)|$(other)|$(NONE)"],
        "envFrom": [
            {"prefix": "P_", "configMapRef": {"name": "c"}},
            {"configMapRef": {"name": "c"}},
            {"configMapRef": {"name": "none", "optional": True}},
            {"secretRef": {"name": "s", "optional": True}},
        ],
        "env": [
            {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "KEY"}}},
            {"name": "other", "value": "over"},
            {
                "name": "NONE",
                "valueFrom": {"configMapKeyRef": {"name": "c", "key": "n", "optional": True}},
            },
            {
                "name": "SECRET",
                "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}},
            },
        ],
    }
    started = launched(container, annotations=PLAIN, config_maps=MAPS)
    assert started.argv[1] == "a$(POD_IP)|a$(POD_IP)|over|$(NONE)"
    assert {"NONE", "SECRET"}.isdisjoint(started.env)


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"envFrom": [{"secretRef": {"name": "s"}}]}, "secrets are not read"),
        ({"envFrom": [{"configMapRef": {"name": "e"}}]}, "a ConfigMap in the same namespace"),
        ({"envFrom": [{}]}, "a configMapRef"),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            "secrets are not read",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}]},
            "a ConfigMap in the same namespace",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]},
            "a key of its data: KEY, other",
        ),
        ({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {}}}]}, "a fieldRef"),
        ({"env": [{"name": "A=B", "value": "c"}]}, "printable ASCII without ="),
        ({"env": [{"value": "c"}]}, "printable ASCII without ="),
        ({"env": [{"name": "A", "value": 3}]}, "need quotes"),
        ({"env": [{"name": "A", "value": "3", "valueFrom": {"fieldRef": {}}}]}, "either value or"),
    ],
)
def test_variables_that_cannot_be_known_are_refused(
    container: dict[str, Any], message: str
) -> None:
    container = {"command": ["x"], **container}
    assert message in refused(container, annotations=PLAIN, config_maps=MAPS)


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


ADDRESS = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


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


# Volumes.


def volumes(*found: dict[str, Any]) -> dict[str, Any]:
    return {"volumes": list(found)}


def mounts(*found: tuple[str, str] | tuple[str, str, str]) -> dict[str, Any]:
    return {
        "volumeMounts": [
            {"name": name, "mountPath": path, **({"subPath": below[0]} if below else {})}
            for name, path, *below in found
        ]
    }


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("/models", "/L"),
        ("/models/", "/L/"),
        ("/models/a/b", "/L/a/b"),
        ("--repository=/models", "--repository=/L"),
        ("/models:/models/x", "/L:/L/x"),
        ("/models/cache/y", "/C/y"),
        ("/models/cached", "/L/cached"),
        ("file:///models/x", "file:///L/x"),
        ('{"path": "/models"}', '{"path": "/L"}'),
        ("a,/models,b", "a,/L,b"),
        ("/models2", "/models2"),
        ("/models-x /models.x /models_x", "/models-x /models.x /models_x"),
        ("/data/models", "/data/models"),
        ("models", "models"),
        ("http://models/x", "http://models/x"),
        ("./models", "./models"),
        ("~/models", "~/models"),
        ("x//models", "x//models"),
    ],
)
def test_a_mount_path_is_replaced_at_component_borders(text: str, result: str) -> None:
    assert relocate(text, {"/models": "/L", "/models/cache": "/C"}) == result


def test_a_local_volume_is_replaced_in_command_args_and_env_alone() -> None:
    container = {
        "command": ["/models/bin/serve"],
        "args": ["$(ROOT)/x", "$(POD_IP)"],
        "env": [{"name": "ROOT", "value": "/models"}, {"name": "BOTH", "value": "/a:$(ROOT)"}],
        "workingDir": "/models/work",
        **mounts(("v", "/models/"), ("v", "/deep", "one/two")),
    }
    started = launched(
        container,
        annotations={**PLAIN, "local.volume.v": " ./folder "},
        pod=volumes({"name": "v", "persistentVolumeClaim": {"claimName": "c"}}),
    )
    here = "/here/manifests/folder"
    assert started.argv == (f"{here}/bin/serve", f"{here}/x", "127.9.8.7")
    assert started.env["ROOT"] == here
    assert started.env["BOTH"] == f"/a:{here}"
    assert started.env["PATH"] == "/bin"
    assert started.cwd == Path(here, "work")
    assert started.directories == (SCRATCH,)


def test_a_replaced_path_is_not_replaced_again() -> None:
    container = {
        "command": ["x", "$(R)"],
        "env": [{"name": "R", "value": "/here"}],
        **mounts(("v", "/here")),
    }
    started = launched(
        container,
        annotations={**PLAIN, "local.volume.v": "./v"},
        pod=volumes({"name": "v", "hostPath": {"path": "/h"}}),
    )
    assert started.argv == ("x", "/here/manifests/v")
    assert started.env["R"] == "/here/manifests/v"


def test_what_a_path_is_shows_after_expansion() -> None:
    started = launched(
        {
            "command": ["x", "$(ROOT)/v", "$(NONE)/v"],
            "env": [{"name": "ROOT", "value": "/srv"}, {"name": "NONE", "value": ""}],
            **mounts(("v", "/v")),
        },
        annotations={**PLAIN, "local.volume.v": "/here"},
        pod=volumes({"name": "v", "emptyDir": {}}),
    )
    assert started.argv == ("x", "/srv/v", "/here")


def test_a_sub_path_is_part_of_where_it_lies() -> None:
    started = launched(
        {"command": ["x", "/deep/y"], **mounts(("v", "/deep", "one/two"))},
        annotations={**PLAIN, "local.volume.v": "/abs"},
        pod=volumes({"name": "v", "emptyDir": {}}),
    )
    assert started.argv == ("x", "/abs/one/two/y")


def test_an_empty_dir_is_a_folder_of_each_replica() -> None:
    started = launched(
        {"command": ["x", "/tmp/cache/a", "/w"], **mounts(("s", "/tmp/cache"), ("s", "/w", "u"))},
        annotations=PLAIN,
        pod=volumes({"name": "s", "emptyDir": {"medium": "Memory"}}, {"name": "bare"}),
    )
    own = SCRATCH / "volumes"
    assert started.argv == ("x", f"{own}/s/a", f"{own}/s/u")
    assert started.directories == (SCRATCH, own / "bare", own / "s", own / "s" / "u")
    assert started.files == {}


def test_a_config_map_is_written_for_each_replica() -> None:
    started = launched(
        {"command": ["x", "/etc/c/KEY"], **mounts(("c", "/etc/c"))},
        annotations=PLAIN,
        pod=volumes({"name": "c", "configMap": {"name": "c", "defaultMode": 0o111}}),
        config_maps=MAPS,
    )
    own = SCRATCH / "volumes" / "c"
    assert started.argv == ("x", f"{own}/KEY")
    assert started.files == {own / "KEY": b"a$(POD_IP)", own / "other": b"o"}
    assert set(started.modes.values()) == {0o511}
    assert own in started.directories


def test_the_items_of_a_config_map_are_honoured() -> None:
    items = [{"key": "KEY", "path": "deep/k.txt", "mode": 0o755}]
    started = launched(
        {"command": ["x", "/etc/k"], **mounts(("c", "/etc/k", "deep/k.txt"))},
        annotations=PLAIN,
        pod=volumes({"name": "c", "configMap": {"name": "c", "items": items}}),
        config_maps=MAPS,
    )
    file = SCRATCH / "volumes" / "c" / "deep" / "k.txt"
    assert started.argv == ("x", str(file))
    assert started.files == {file: b"a$(POD_IP)"}
    assert started.modes == {file: 0o755}
    assert file.parent in started.directories
    assert file not in started.directories


def test_an_optional_config_map_may_be_missing() -> None:
    source = {"name": "none", "optional": True}
    started = launched(
        {"command": ["x"], **mounts(("c", "/c"))},
        annotations=PLAIN,
        pod=volumes({"name": "c", "configMap": source}),
    )
    assert SCRATCH / "volumes" / "c" in started.directories


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"secret": {"secretName": "s"}}, "ebbtide.dev/local.volume.v: ./folder"),
        ({"persistentVolumeClaim": {"claimName": "s"}}, "ebbtide.dev/local.volume.v: ./folder"),
        ({"hostPath": {"path": "/x"}}, "ebbtide.dev/local.volume.v: ./folder"),
        ({"configMap": {"name": "none"}}, "a ConfigMap in the same namespace"),
        ({"configMap": {"name": "c", "items": [{"key": "n", "path": "p"}]}}, "KEY, other"),
        ({"configMap": {"name": "c", "items": [{"key": "KEY", "path": "../p"}]}}, "without .."),
        ({"configMap": {"name": "c", "items": [{"key": "KEY", "path": "/p"}]}}, "a relative path"),
        ({"configMap": {"name": "c", "defaultMode": "x"}}, "a whole number from 0 to 511"),
    ],
)
def test_other_volumes_are_refused(volume: dict[str, Any], message: str) -> None:
    container = {"command": ["x"]}
    pod = volumes({"name": "v", **volume})
    assert message in refused(container, annotations=PLAIN, pod=pod, config_maps=MAPS)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (mounts(("w", "/w")), "the name of a volume of the pod: v"),
        (mounts(("v", "relative")), "an absolute path"),
        (mounts(("v", "/")), "an absolute path"),
        (mounts(("v", "/a/../b")), "an absolute path"),
        (mounts(("v", "/a", "../b")), "a relative path without .."),
        (mounts(("v", "/a", "/b")), "a relative path without .."),
        (mounts(("v", "/a"), ("v", "/a/")), "no other volume is mounted"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPathExpr": "$(X)"}]}, "subPath "),
    ],
)
def test_mounts_that_mean_nothing_are_refused(found: dict[str, Any], message: str) -> None:
    pod = volumes({"name": "v", "emptyDir": {}})
    assert message in refused({"command": ["x"], **found}, annotations=PLAIN, pod=pod)


@pytest.mark.parametrize("name", ["../v", "", "V", "a" * 64])
def test_the_name_of_a_volume_is_no_path(name: str) -> None:
    pod = volumes({"name": name, "emptyDir": {}})
    assert "volumes[0].name" in refused({"command": ["x"]}, annotations=PLAIN, pod=pod)


def test_a_local_volume_that_the_pod_has_not() -> None:
    pod = volumes({"name": "models", "emptyDir": {}})
    message = refused(
        {"command": ["x"]}, annotations={**PLAIN, "local.volume.model": "./m"}, pod=pod
    )
    assert "did you mean ebbtide.dev/local.volume.models?" in message


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
        _ANYTHING
        | st.lists(
            st.dictionaries(
                st.sampled_from(
                    ["name", "value", "valueFrom", "mountPath", "subPath", "configMapRef"]
                ),
                _ANYTHING,
            ),
            max_size=2,
        ),
    ),
    pod=st.dictionaries(
        _PARTS,
        _ANYTHING
        | st.lists(
            st.dictionaries(
                st.sampled_from(["name", "configMap", "emptyDir", "secret"]), _ANYTHING
            ),
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

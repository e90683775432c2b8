"""Volumes and mounts on this machine: where their paths lead, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from fleet.cluster.local.expand import relocate
from tests.core.templates import MAPS, PLAIN, SCRATCH, launched, mounts, refused, volumes


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


def test_a_mount_of_a_volume_that_is_refused_is_not_a_second_fault() -> None:
    pod = volumes({"name": "v", "hostPath": {"path": "/x"}})
    told = refused({"command": ["x"], **mounts(("v", "/v"))}, annotations=PLAIN, pod=pod)
    assert "volumes[0].hostPath" in told
    assert "volumeMounts" not in told


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

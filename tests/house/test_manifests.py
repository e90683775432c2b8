"""Manifests as they lie in files and folders."""

import json
from pathlib import Path

import pytest

from fleet.cluster.local.manifests import Manifests, read_manifests
from fleet.cluster.local.podspec import launch
from fleet.model import WarmUp

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  annotations:
    ebbtide.dev/model: {model}
    {more}
spec:
  template:
    spec:
      containers:
        - name: c
          command: [tritonserver]
"""

# Each line merges the one before it ten times over.
MERGES = b"- &a0 {k: v}\n" + b"".join(
    b"- &a%d {<<: [%b]}\n" % (n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 10)
)


def deployment(name: str, model: str = "", more: str = "") -> str:
    return DEPLOYMENT.format(name=name, model=model or name, more=more)


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)


def names(manifests: Manifests) -> list[str]:
    return [found.revision.name.removeprefix("default/") for found in manifests.deployments]


def messages(manifests: Manifests) -> list[str]:
    return [str(problem) for problem in manifests.problems]


def test_a_folder_is_read_with_all_below_it_in_order(tmp_path: Path) -> None:
    for folder in ("b", "a", ".hidden", "b/.git"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, z=deployment(f"{folder.strip('./').replace('/.', '-')}"))
    write(tmp_path, c=deployment("c1") + "---\n" + deployment("c2"))
    (tmp_path / "d.yml").write_text(deployment("d"))
    (tmp_path / ".e.yaml").write_text(deployment("e"))
    (tmp_path / "f.yaml.bak").write_text(deployment("f"))
    manifests = read_manifests([tmp_path])
    assert names(manifests) == ["a", "b", "c1", "c2", "d"]
    assert [found.revision.created for found in manifests.deployments] == [0, 1, 2, 3, 4]
    assert [str(file.relative_to(tmp_path)) for file in manifests.files] == [
        "a/z.yaml",
        "b/z.yaml",
        "c.yaml",
        "d.yml",
    ]
    assert manifests.problems == ()
    assert manifests.deployments[2].revision.source == str(tmp_path / "c.yaml")
    assert manifests.deployments[2].file == tmp_path / "c.yaml"


def test_a_file_given_twice_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, a=deployment("a"))
    manifests = read_manifests([tmp_path / "a.yaml", tmp_path])
    assert names(manifests) == ["a"]
    assert len(manifests.files) == 1


def test_json_and_lists_are_read(tmp_path: Path) -> None:
    write(tmp_path, a=deployment("a"))
    (found,) = read_manifests([tmp_path]).deployments
    item = {
        "metadata": {"name": "b", "annotations": {"ebbtide.dev/model": "b"}},
        "spec": {"template": {"spec": {"containers": [{"name": "c"}]}}},
    }
    whole = {"apiVersion": "apps/v1", "kind": "Deployment", **item}
    other = {**whole, "metadata": {**item["metadata"], "namespace": "other"}}
    (tmp_path / "b.json").write_text(json.dumps(whole))
    listed = {"apiVersion": "v1", "kind": "List", "items": [other, 3]}
    (tmp_path / "c.json").write_text(json.dumps(listed))
    typed = {"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [item]}
    manifests = read_manifests([tmp_path])
    assert [each.revision.name for each in manifests.deployments] == [
        "default/a",
        "default/b",
        "other/b",
    ]
    assert manifests.deployments[0] == found
    (tmp_path / "c.json").write_text(json.dumps(typed))
    (tmp_path / "b.json").unlink()
    assert names(read_manifests([tmp_path])) == ["a", "b"]


def test_what_is_no_manifest_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text('{"broken": ')
    (tmp_path / "model" / "large.json").write_text('"apiVersion kind' + " " * 9 * 2**20)
    write(
        tmp_path,
        values="a: [1, 2\nbroken",
        service="apiVersion: v1\nkind: Service\nmetadata: {name: s}\n",
        words="- apiVersion\n- kind\n",
        other="apiVersion: 3\nkind: [x]\n",
        plain="apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: p}\nspec: 3\n",
    )
    manifests = read_manifests([tmp_path])
    assert (manifests.deployments, manifests.problems) == ((), ())
    assert manifests.broken == frozenset()


def test_a_file_named_is_read_whatever_it_holds(tmp_path: Path) -> None:
    write(tmp_path, values="a: [1, 2\nbroken")
    manifests = read_manifests([tmp_path / "values.yaml", tmp_path / "none.yaml"])
    first, second = messages(manifests)
    assert first.startswith(f"{tmp_path}/values.yaml:")
    assert "is not YAML" in first
    assert second == f"{tmp_path}/none.yaml: file: cannot be read: No such file or directory"
    assert manifests.broken == {tmp_path / "values.yaml", tmp_path / "none.yaml"}


def test_broken_yaml_is_told_with_its_line_and_loses_nothing_before_it(tmp_path: Path) -> None:
    good = deployment("good")
    line = good.count("\n") + 3
    write(tmp_path, a=f"{good}---\nkind: Deployment\nx: [1\n---\n", b=deployment("b"))
    manifests = read_manifests([tmp_path])
    assert names(manifests) == ["good", "b"]
    (message,) = messages(manifests)
    assert message.startswith((f"{tmp_path}/a.yaml:{line}: ", f"{tmp_path}/a.yaml:{line + 1}: "))
    assert manifests.broken == {tmp_path / "a.yaml"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: &a [*a]", "nested at most"),
        (b"[" * 100_000, "nested more than"),
        (b"- " * 100_000, "nested more than"),
        (b"{a: " * 100_000, "nested more than"),
        (MERGES, "merges more than"),
        (b"a: \xff\xfe", "is not UTF-8 text"),
        (b"a: 1\nb: 2\na: 3", "the key 'a' stands here twice"),
        (b"a: !!int x", "cannot be taken"),
        (b"a: !!int ''", "cannot be taken"),
        (b"a: 1%s.5" % (b":1" * 300), "cannot be taken"),
        (b"a: !!bool x", "cannot be taken"),
        (b"a: !!timestamp x", "cannot be taken"),
        (b"a: !!python/object:os.system x", "could not determine a constructor"),
        (b"{[a]: b}", "unhashable"),
        (b"a: \0", ""),
        (b"a: %s" % (b"9" * 5000), ""),
    ],
)
def test_yaml_that_cannot_be_taken_is_a_problem(tmp_path: Path, text: bytes, message: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(text)
    manifests = read_manifests([file])
    (problem,) = messages(manifests)
    assert problem.startswith(str(file))
    assert message in problem
    assert manifests.broken == {file}


def test_json_that_cannot_be_taken_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for text, place in (('{\n"a": }', ":2: file: is not JSON"), ("[" * 100_000, "cannot be taken")):
        file.write_text(text)
        (problem,) = messages(read_manifests([file]))
        assert place in problem


def test_anchors_and_merges_work_and_dates_stay_text(tmp_path: Path) -> None:
    text = deployment("a", more="x/day: 2026-01-01\n    <<: {ebbtide.dev/slots: '3'}")
    write(tmp_path, a=text)
    (found,) = read_manifests([tmp_path]).deployments
    assert found.revision.policy.slots == 3


def test_the_creation_timestamp_says_who_is_elder(tmp_path: Path) -> None:
    stamped = deployment("a").replace(
        "  name: a", "  name: a\n  creationTimestamp: 2026-01-01T00:00:00Z"
    )
    strange = deployment("b").replace("  name: b", "  name: b\n  creationTimestamp: soon")
    write(tmp_path, a=stamped, b=strange)
    first, second = read_manifests([tmp_path]).deployments
    assert first.revision.created == 1767225600.0
    assert second.revision.created == 1.0


def test_the_same_deployment_twice_is_refused_and_the_first_stays(tmp_path: Path) -> None:
    write(tmp_path, a=deployment("a"), b=deployment("a", model="other"))
    manifests = read_manifests([tmp_path])
    assert [each.revision.model for each in manifests.deployments] == ["a"]
    (message,) = messages(manifests)
    assert f"{tmp_path}/b.yaml default/a: metadata.name" in message
    assert f"{tmp_path}/a.yaml has it already" in message


def test_a_wrong_one_is_refused_alone_with_all_that_is_wrong(tmp_path: Path) -> None:
    bad = (
        deployment("bad", more="ebbtide.dev/slots: none") + "      volumes: [{name: v, nfs: {}}]\n"
    )
    write(tmp_path, a=bad, b=deployment("b"))
    manifests = read_manifests([tmp_path])
    assert names(manifests) == ["b"]
    first, second = messages(manifests)
    assert f"{tmp_path}/a.yaml default/bad: ebbtide.dev/slots: 'none'" in first
    assert "ebbtide.dev/local.volume.v" in second
    assert manifests.refused == {"default/bad"}


def test_warnings_refuse_nothing(tmp_path: Path) -> None:
    keys = "ebbtide.dev/runtime: plain\n    ebbtide.dev/port: '80'"
    write(tmp_path, a=deployment("a", more=keys).replace("tritonserver", "serve"))
    manifests = read_manifests([tmp_path])
    assert names(manifests) == ["a"]
    assert len(manifests.problems) == 2
    assert all(problem.warning for problem in manifests.problems)
    assert manifests.refused == frozenset()


def test_another_kind_with_our_annotation_is_told(tmp_path: Path) -> None:
    write(tmp_path, a=deployment("a").replace("kind: Deployment", "kind: StatefulSet"))
    (message,) = messages(read_manifests([tmp_path]))
    assert "StatefulSet default/a: kind: 'StatefulSet': Deployment" in message


CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {text: "ä"}
binaryData: {raw: AP8=}
"""
MOUNTED = """\
          volumeMounts: [{name: c, mountPath: /c}]
      volumes: [{name: c, configMap: {name: c}}]
"""


def test_config_maps_of_the_same_manifests_are_there(tmp_path: Path) -> None:
    write(tmp_path, a=deployment("a") + MOUNTED, b=CONFIG)
    (found,) = read_manifests([tmp_path]).deployments
    started = launch(
        found.pod, pod_name="a-1", address="127.1.1.1", scratch=Path("/s"), inherited={}
    )
    own = Path("/s/volumes/c")
    assert started.files == {own / "text": "ä".encode(), own / "raw": b"\0\xff"}


def test_dates_in_a_config_map_stay_as_they_are_written(tmp_path: Path) -> None:
    odd = CONFIG.replace('{text: "ä"}', "{date: 2026-1-1T1:00:00Z, no: 2026-13-45, 1: =}")
    write(tmp_path, a=deployment("a") + MOUNTED, b=odd.replace("binaryData: {raw: AP8=}\n", ""))
    (found,) = read_manifests([tmp_path]).deployments
    (volume,) = found.pod.volumes
    assert volume.files == {"date": b"2026-1-1T1:00:00Z", "false": b"2026-13-45", "1": b"="}


def test_of_two_config_maps_of_one_name_the_first_stays(tmp_path: Path) -> None:
    write(tmp_path, a=deployment("a") + MOUNTED, b=CONFIG, c=CONFIG.replace("ä", "other"))
    manifests = read_manifests([tmp_path])
    (found,) = manifests.deployments
    assert found.pod.volumes[0].files["text"] == "ä".encode()
    (message,) = messages(manifests)
    assert f"{tmp_path}/c.yaml ConfigMap default/c: metadata.name" in message


def test_config_maps_that_are_wrong_are_told(tmp_path: Path) -> None:
    bad = CONFIG.replace("AP8=", "'*'").replace("text:", "..:")
    write(tmp_path, a=bad, b=CONFIG)
    found = messages(read_manifests([tmp_path]))
    assert len(found) == 3
    assert "ConfigMap default/c: data...: 'ä': a key of letters" in found[0]
    assert "binaryData.raw: '*': base64" in found[1]
    assert "a ConfigMap once" in found[2]


def test_paths_are_relative_to_the_manifest_and_must_be_there(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    (inner / "models").mkdir(parents=True)
    keys = "ebbtide.dev/warm-up: ./first.json\n    ebbtide.dev/local.volume.v: ./models"
    pod = (
        "          args: [--model-repository=/models]\n"
        "          volumeMounts: [{name: v, mountPath: /models}]\n"
        "      volumes: [{name: v, nfs: {}}]\n"
    )
    write(inner, a=deployment("a", more=keys) + pod)
    missing = read_manifests([inner])
    assert missing.deployments == ()
    (message,) = messages(missing)
    # A long value is cut in a message.
    assert f"ebbtide.dev/warm-up: '{str(inner)[:40]}" in message
    assert "auto, none, or a file that is there" in message
    (inner / "first.json").write_text("{}")
    (found,) = read_manifests([inner]).deployments
    assert found.revision.policy.warm_up is WarmUp.FILE
    assert found.revision.policy.warm_up_file == f"{inner}/first.json"
    started = launch(
        found.pod, pod_name="a-1", address="127.1.1.1", scratch=Path("/s"), inherited={}
    )
    assert started.argv[1] == f"--model-repository={inner}/models"
    assert started.cwd == inner
    (inner / "models").rmdir()
    (message,) = messages(read_manifests([inner]))
    assert "ebbtide.dev/local.volume.v" in message
    assert "a folder that is there" in message


def test_paths_are_absolute_even_if_the_manifest_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first.json").write_text("{}")
    write(tmp_path, a=deployment("a", more="ebbtide.dev/warm-up: ./first.json"))
    monkeypatch.chdir(tmp_path)
    (found,) = read_manifests([Path("a.yaml")]).deployments
    assert found.revision.policy.warm_up_file == f"{tmp_path}/first.json"
    assert found.pod.folder == tmp_path
    assert found.revision.source == "a.yaml"


def test_a_working_directory_of_the_image_falls_back_to_the_manifests_folder(
    tmp_path: Path,
) -> None:
    write(tmp_path, a=deployment("a") + "          workingDir: /no/such/folder\n")
    manifests = read_manifests([tmp_path])
    (found,) = manifests.deployments
    assert found.pod.working_dir is None
    (problem,) = manifests.problems
    assert problem.warning
    assert "/no/such/folder" in str(problem)
    inside = "          workingDir: /v/w\n          volumeMounts: [{name: v, mountPath: /v}]\n"
    write(tmp_path, a=deployment("a") + inside + "      volumes: [{name: v, emptyDir: {}}]\n")
    manifests = read_manifests([tmp_path])
    assert manifests.problems == ()
    assert manifests.deployments[0].pod.working_dir == "/v/w"


def test_the_examples_have_no_problems() -> None:
    manifests = read_manifests([Path(__file__).parents[2] / "examples" / "quickstart"])
    assert manifests.deployments
    assert manifests.problems == ()

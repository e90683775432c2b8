"""`helm install`, `upgrade` and `uninstall` on a real API server; and the chart's Redis, run."""

import base64
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.core.tokens import read_tokens
from tests.kube.admin import Admin, RefusedError
from tests.kube.chart import CHART, HelmError, helm, render
from tests.kube.objects import deployment
from tests.kube.plane import ControlPlane, free_port

OF_THE_CLUSTER = (
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
)


@pytest.fixture
def run_helm(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Callable[..., str]:
    def run(verb: str, *arguments: str, program: str = "helm", **values: Any) -> str:
        file = tmp_path / "values.json"
        file.write_text(json.dumps(values))
        chart = [str(CHART), "--values", str(file)] if verb in ("install", "upgrade") else []
        where = ["--kubeconfig", str(control_plane.kubeconfig), "--namespace", namespace]
        return helm(verb, "tide", *chart, *arguments, *where, program=program)

    return run


def secret(admin: Admin, namespace: str, name: str) -> dict[str, str]:
    found = admin.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")["data"]
    return {key: base64.b64decode(value).decode() for key, value in found.items()}


def belonging(admin: Admin, namespace: str) -> set[str]:
    """What of the whole cluster is this release's."""
    return {
        each["metadata"]["name"]
        for path in OF_THE_CLUSTER
        for each in admin.get(path)["items"]
        if each["metadata"]["name"].startswith(f"{namespace}-")
    }


@pytest.mark.parametrize("program", ["helm", "helm3"])
def test_installed_upgraded_and_gone(
    control_plane: ControlPlane, namespace: str, run_helm: Callable[..., str], program: str
) -> None:
    admin = control_plane.admin
    told = run_helm("install", program=program, redis={"image": {"tag": "slip"}})
    assert "port-forward svc/tide-ebbtide 8080:80" in told
    made = {name: secret(admin, namespace, f"tide-ebbtide-{name}") for name in ("admin", "redis")}
    assert len(made["admin"]["tokens"]) >= 32
    assert read_tokens(made["admin"]["tokens"], source="the Secret")
    assert made["redis"]["password"].isalnum()
    assert made["admin"]["tokens"] != made["redis"]["password"]
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    before = admin.get(f"{deployments}/tide-ebbtide-gateway")
    assert belonging(admin, namespace)
    admin.until(f"/api/v1/namespaces/{namespace}/pods/tide-ebbtide-redis-0", bool)

    run_helm("upgrade", program=program, settings={"tick": "5s"}, gateway={"replicas": 3})
    after = admin.get(f"{deployments}/tide-ebbtide-gateway")
    assert after["spec"]["replicas"] == 3
    assert after["spec"]["template"] != before["spec"]["template"]
    assert after["spec"]["selector"] == before["spec"]["selector"]
    # One that never got ready is replaced too: its controller would else wait until it is.
    redis = f"/api/v1/namespaces/{namespace}/pods/tide-ebbtide-redis-0"
    admin.until(redis, lambda pod: not pod["spec"]["containers"][0]["image"].endswith(":slip"))
    for name, kept in made.items():
        assert secret(admin, namespace, f"tide-ebbtide-{name}") == kept, "made once, and kept"

    run_helm("uninstall", program=program)
    assert admin.get(deployments)["items"] == []
    assert belonging(admin, namespace) == set()
    with pytest.raises(RefusedError, match="404"):
        secret(admin, namespace, "tide-ebbtide-admin")


def test_a_release_of_helm_3_is_taken_over_by_helm_4(
    control_plane: ControlPlane, namespace: str, run_helm: Callable[..., str]
) -> None:
    admin = control_plane.admin
    run_helm("install", program="helm3")
    kept = secret(admin, namespace, "tide-ebbtide-redis")
    run_helm("upgrade", program="helm", settings={"tick": "5s"})
    assert secret(admin, namespace, "tide-ebbtide-redis") == kept
    run_helm("uninstall", program="helm")
    assert belonging(admin, namespace) == set()


def test_autoscaling_that_is_switched_on_begins_with_the_gateways_there_are(
    control_plane: ControlPlane, namespace: str, run_helm: Callable[..., str]
) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/tide-ebbtide-gateway"
    run_helm("install", gateway={"replicas": 3})
    run_helm("upgrade", gateway={"replicas": 3, "autoscaling": {"enabled": True}})
    assert control_plane.admin.get(path)["spec"]["replicas"] == 3
    run_helm("uninstall")


def test_a_second_release_in_the_namespace_is_refused(
    control_plane: ControlPlane, namespace: str, run_helm: Callable[..., str]
) -> None:
    # Not one of a chart whose name only begins like ours.
    models = deployment("models", namespace, annotations={"model": "m"})
    labels = {"helm.sh/chart": "ebbtide-models-1.0.0", "app.kubernetes.io/instance": "models"}
    models["metadata"]["labels"] = labels
    control_plane.admin.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", models)
    run_helm("install")
    where = ["--kubeconfig", str(control_plane.kubeconfig), "--namespace", namespace]
    with pytest.raises(HelmError, match='the release "tide" is in the namespace'):
        helm("install", "other", str(CHART), *where)
    run_helm("uninstall")


def test_an_upgrade_with_wrong_values_changes_nothing(
    control_plane: ControlPlane, namespace: str, run_helm: Callable[..., str]
) -> None:
    run_helm("install")
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/tide-ebbtide-gateway"
    before = control_plane.admin.get(path)["spec"]
    with pytest.raises(HelmError, match="min_residence"):
        run_helm("upgrade", settings={"min_residence": "5s"})
    assert control_plane.admin.get(path)["spec"] == before
    run_helm("uninstall")


def test_who_has_rights_in_namespaces_alone_can_install(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    """With `namespaces` and without the policies nothing of the whole cluster is touched."""
    admin = control_plane.admin
    account = {"metadata": {"name": "owner"}}
    admin.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
    admin.post(
        rbac,
        {
            "metadata": {"name": "owner"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                # What tenants are usually given; and nobody grants more than he has.
                "name": "admin",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "owner", "namespace": namespace}],
        },
    )
    token = control_plane.account_token(namespace, "owner")
    kubeconfig = control_plane.kubeconfig_for(token, name="owner")
    file = tmp_path / "values.json"
    example = CHART.parents[1] / "examples" / "kubernetes" / "values-namespaces.yaml"
    values = {**yaml.safe_load(example.read_text()), "namespaces": [namespace]}
    file.write_text(json.dumps(values))
    where = ["--kubeconfig", str(kubeconfig), "--namespace", namespace]
    helm("install", "tide", str(CHART), "--values", str(file), *where)
    helm("uninstall", "tide", *where)
    file.write_text(json.dumps({}))
    with pytest.raises(HelmError, match="forbidden"):
        helm("install", "tide", str(CHART), "--values", str(file), *where)


def redis_of(folder: Path, *, port: int) -> tuple[list[str], list[str]]:
    """How the chart starts Redis and asks whether it is ready, with this machine's paths."""
    documents = render(folder=folder)
    (configured,) = (
        each
        for each in documents
        if each["kind"] == "ConfigMap" and each["metadata"]["name"].endswith("-redis")
    )
    data = folder / "data"
    data.mkdir()
    conf = configured["data"]["redis.conf"].replace("/data", str(data))
    conf = conf.replace("port 6379", f"port {port}").replace("bind * -::*", "bind 127.0.0.1")
    (folder / "redis.conf").write_text(conf)
    (stateful,) = (each for each in documents if each["kind"] == "StatefulSet")
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    started = [*container["command"], *container["args"]]
    started[-1] = started[-1].replace("/etc/ebbtide/redis.conf", str(folder / "redis.conf"))
    asked = container["readinessProbe"]["exec"]["command"]
    asked[-1] = asked[-1].replace("redis-cli", f"redis-cli -p {port}")
    return started, asked


def test_its_redis_lets_in_the_user_of_the_docs_alone(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "redis.md").read_text()
    (documented,) = re.findall(r"^user ebbtide on >PASSWORD (.*)$", page, re.MULTILINE)
    for prefix in ("ebbtide:", "mine:"):
        settings = {} if prefix == "ebbtide:" else {"redis_prefix": prefix}
        documents = render(folder=tmp_path, values={"settings": settings})
        (stateful,) = (each for each in documents if each["kind"] == "StatefulSet")
        (container,) = stateful["spec"]["template"]["spec"]["containers"]
        given = documented.replace("ebbtide:", prefix)
        assert f"user ebbtide on >$REDIS_PASSWORD {given}\n" in container["args"][0]
        assert "user default off\n" in container["args"][0]


def test_its_redis_wants_the_password_and_keeps_what_it_was_told(tmp_path: Path) -> None:
    assert shutil.which("redis-server"), "apt-get install redis-server"
    port = free_port()
    started, asked = redis_of(tmp_path, port=port)
    # As it comes from a file that was made with an editor.
    environ = {**os.environ, "REDIS_PASSWORD": "correcthorse\n"}

    def ask(*words: str, user: str = "ebbtide", password: str = "correcthorse") -> str:
        command = ["redis-cli", "-p", str(port), "--user", user, *words]
        auth = {**os.environ, "REDISCLI_AUTH": password}
        done = subprocess.run(command, env=auth, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    for told in ("", "42"):
        with (tmp_path / "log").open("ab") as log:
            redis = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *started], env=environ, stdout=log, stderr=log
            )
        try:
            end = time.monotonic() + 20
            while subprocess.run(asked, env=environ, check=False).returncode:
                assert time.monotonic() < end, (tmp_path / "log").read_text()
                time.sleep(0.02)
            wrong = {**environ, "REDIS_PASSWORD": "wrong"}
            assert subprocess.run(asked, env=wrong, capture_output=True, check=False).returncode
            journal = ("ebbtide:journal", "+", "-")
            for user, password in (("default", "correcthorse"), ("ebbtide", "other")):
                said = ask("xrevrange", *journal, user=user, password=password)
                assert "AUTH failed" in said
            assert ask("xrevrange", *journal).strip().endswith(told)
            assert "-" in ask("xadd", "ebbtide:journal", "*", "kept", "42")
            for beyond in (("xadd", "other", "*", "a", "b"), ("flushall",), ("config", "get", "*")):
                assert "NOPERM" in ask(*beyond)
            assert "correcthorse" not in Path(f"/proc/{redis.pid}/cmdline").read_text()
            assert "redis-server" in Path(f"/proc/{redis.pid}/cmdline").read_text()
        finally:
            redis.terminate()
            assert redis.wait(20) == 0

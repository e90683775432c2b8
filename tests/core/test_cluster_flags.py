"""What the flags of a cluster's process come to: hosts, who it is, what overrules what."""

import argparse

import pytest

from ebbtide.kubernetes.flags import account_flags, listening_flags, options_of, place_of
from ebbtide.kubernetes.place import Place
from fleet.errors import SettingError

REDIS = {"EBBTIDE_REDIS_URL": "redis://box"}


def parsed(*words, requests=True):
    parser = argparse.ArgumentParser(exit_on_error=False)
    account_flags(parser)
    listening_flags(parser, requests=requests)
    return parser.parse_args(words)


def options(*words, environ=REDIS, pod=True):
    return options_of(parsed(*words), environ, pod=lambda: pod)


def place(tmp_path, *words, pod=False, **environ):
    return place_of(parsed(*words), {"HOME": str(tmp_path), **environ}, pod=lambda: pod)


def kubeconfig(path):
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    return str(path)


def test_in_a_pod_it_listens_everywhere_and_elsewhere_here():
    found = options()
    assert (found.host, found.port, found.admin_host, found.admin_port) == (
        "0.0.0.0",
        8080,
        "0.0.0.0",
        8081,
    )
    found = options(environ={**REDIS, "POD_IP": "10.1.0.9"})
    assert (found.host, found.admin_host) == ("0.0.0.0", "0.0.0.0")
    # A cluster of IPv6 alone: nobody would come by an address of the other family.
    found = options(environ={**REDIS, "POD_IP": "fd00::9"})
    assert (found.host, found.admin_host) == ("::", "::")
    assert options("--host", "10.0.0.7", "--admin-host", "127.0.0.1").host == "10.0.0.7"


def test_outside_it_listens_on_this_machine(tmp_path):
    file = kubeconfig(tmp_path / "config")
    found = options("--kubeconfig", file, pod=False)
    assert (found.host, found.admin_host) == ("127.0.0.1", "127.0.0.1")


def test_flags_win_over_settings():
    environ = {"EBBTIDE_REDIS_URL": "redis://one", "EBBTIDE_NAMESPACES": "a,b"}
    found = options(
        "--redis", "redis://two", *("--namespace", "c"), *("--namespace", "d"), environ=environ
    )
    assert (found.settings.redis_url, found.settings.namespaces) == ("redis://two", "c,d")
    # So SIGHUP reads the same again.
    assert found.environ["EBBTIDE_NAMESPACES"] == "c,d"
    assert options(environ=environ).settings.namespaces == "a,b"


def test_without_a_redis_it_says_how_one_is_named():
    with pytest.raises(
        SettingError, match=r"no Redis is named.*\n.*--redis redis://HOST.*EBBTIDE_REDIS_URL"
    ):
        options(environ={})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--redis", "me:secret@box"), "argument --redis: expected redis://"),
        # An empty variable of a shell would widen what is looked at to all namespaces.
        (("--namespace", ""), "argument --namespace: expected a value"),
        (("--namespace", "a", "--namespace", " "), "argument --namespace: expected a value"),
        (("--redis", ""), "argument --redis: expected a value"),
        (("--kubeconfig", ""), "argument --kubeconfig: expected a value"),
        (("--context", ""), "argument --context: expected a value"),
        (("--namespace", "Team A"), "argument --namespace: expected the name of a namespace"),
        (("--admin-port", "65536"), "argument --admin-port: expected"),
    ],
)
def test_a_wrong_flag_is_told_and_a_password_is_not(words, said):
    with pytest.raises(argparse.ArgumentError) as caught:
        parsed(*words)
    assert str(caught.value).startswith(said)
    assert "secret" not in str(caught.value)


def test_in_a_pod_it_is_its_service_account_unless_told_otherwise(tmp_path):
    own = kubeconfig(tmp_path / ".kube" / "config")
    assert place(tmp_path, pod=True) == Place(pod=True, kubeconfig=None, context=None)
    assert place(tmp_path, "--kubeconfig", "other", pod=True).kubeconfig == "other"
    assert place(tmp_path, "--context", "far", pod=True) == Place(
        pod=True, kubeconfig=own, context="far"
    )


def test_elsewhere_it_is_whom_kubectl_takes(tmp_path):
    own = kubeconfig(tmp_path / ".kube" / "config")
    one, two = (kubeconfig(tmp_path / name) for name in ("one", "two"))
    assert place(tmp_path).kubeconfig == own
    assert place(tmp_path, KUBECONFIG=one).kubeconfig == one
    assert (
        place(tmp_path, KUBECONFIG=f"{one}:{tmp_path / 'gone'}:{two}").kubeconfig == f"{one}:{two}"
    )
    assert place(tmp_path, "--kubeconfig", two, KUBECONFIG=one).kubeconfig == two


@pytest.mark.parametrize(
    ("environ", "said"),
    [({}, ".kube/config is not there"), ({"KUBECONFIG": "/gone"}, "KUBECONFIG names /gone")],
)
def test_where_kubectl_knows_no_cluster_it_says_so(tmp_path, environ, said):
    with pytest.raises(SettingError, match=f"no cluster is known.*{said}.*\n--kubeconfig FILE"):
        place(tmp_path, **environ)

"""Who a gateway is, in a pod and outside."""

from fleet.leases.identity import identity, own_namespace
from fleet.leases.membership import pod_of

POD = {"POD_NAMESPACE": "space", "POD_NAME": "gw-1", "POD_UID": "u1"}


def who(namespace="space", environ=None, account="space"):
    return identity(namespace, environ or {}, account, host="box", admin_port=8081, process="p1")


def test_outside_it_is_host_and_admin_port():
    found = who(environ=POD, account=None)
    assert (found.name, found.pod_uid, found.holder) == ("box:8081", "", "box:8081_p1")


def test_in_a_pod_it_is_the_pod():
    found = who(environ=POD)
    assert (found.name, found.pod_uid) == ("space/gw-1", "u1")
    assert pod_of(found.name, "space") == "gw-1"


def test_a_pod_says_in_which_of_its_containers_it_runs():
    assert who(environ={**POD, "POD_CONTAINER": "gateway"}).container == "gateway"
    assert who(environ=POD).container == ""


def test_a_pod_that_says_nothing_of_itself_goes_by_account_and_host_name():
    found = who()
    assert (found.name, found.pod_uid) == ("space/box", "")


def test_a_pod_elsewhere_owns_nothing_here():
    found = who("ebbtide", POD)
    assert (found.name, found.namespace, found.pod_uid) == ("space/gw-1", "ebbtide", "")
    assert pod_of(found.name, "ebbtide") is None


def test_ebbtides_own_namespace():
    assert own_namespace("given", POD, "account") == "given"
    assert own_namespace("", POD, "account") == "space"
    assert own_namespace("", {}, "account") == "account"
    assert own_namespace("", {}, None) == "ebbtide"

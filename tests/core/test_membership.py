"""Which gateways are members: the rules one by one."""

import pytest

from fleet.leases.membership import GRACE, NAMED, gone, lease_name, observe, pod_of
from fleet.leases.record import LASTS
from fleet.names import GatewayName

SPACE = "ebbtide"
POD, OUTSIDE = GatewayName("ebbtide/gw-1"), GatewayName("box:8081")


def lease(name=POD, *, holder="p1", renewed="1", **spec):
    annotations = {} if name is None else {NAMED: name}
    return {
        "metadata": {"name": "one", "annotations": annotations},
        "spec": {"holderIdentity": holder, "renewTime": renewed, **spec},
    }


def sighting(raw, at=0.0):
    (found,) = observe({}, [raw], at).values()
    return found


def is_gone(found, now, *, ended=(), since=0.0):
    return gone(found, SPACE, ended=ended, since=since, now=now)


def test_names_of_leases_are_names_that_objects_may_have():
    assert lease_name(POD, SPACE) == "ebbtide-gateway-pod-gw-1"
    odd = GatewayName("Ein Rechner:1" * 50), GatewayName(f"{SPACE}/{'long-' * 50}")
    elsewhere = GatewayName("elsewhere/gw-1")
    names = (POD, OUTSIDE, elsewhere, *odd)
    assert len({lease_name(name, SPACE) for name in names}) == len(names)
    for name in names:
        made = lease_name(name, SPACE)
        assert len(made) <= 63
        assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize(
    ("name", "pod"),
    [
        (POD, "gw-1"),
        (OUTSIDE, None),
        (GatewayName("elsewhere/gw-1"), None),
        (GatewayName("ebbtide/"), None),
        (GatewayName("lease x"), None),
    ],
)
def test_who_is_in_a_pod_that_can_be_looked_at(name, pod):
    assert pod_of(name, SPACE) == pod


def test_a_gateway_in_a_pod_is_there_until_its_pod_is_gone():
    found = sighting(lease())
    assert not is_gone(found, 1e9)
    assert not is_gone(found, 1e9, ended={"gw-2"})
    assert is_gone(found, 1.0, ended={"gw-1"})


def test_one_outside_is_gone_a_while_after_its_lease_has_expired():
    found = sighting(lease(OUTSIDE), at=100.0)
    assert not found.fresh(100.0 + LASTS)
    assert not is_gone(found, 100.0 + LASTS + GRACE - 0.01)
    assert is_gone(found, 100.0 + LASTS + GRACE)
    assert is_gone(found, 200.0, ended={"gw-1"})


def test_time_in_which_nothing_could_be_read_proves_nothing():
    found = sighting(lease(OUTSIDE), at=100.0)
    assert not is_gone(found, 500.0, since=490.0)
    assert not is_gone(found, 490.0 + GRACE - 0.01, since=490.0)
    assert is_gone(found, 490.0 + GRACE, since=490.0)


def test_what_is_renewed_is_seen_anew_and_what_is_not_keeps_its_time():
    before = observe({}, [lease(OUTSIDE)], 10.0)
    same = observe(before, [lease(OUTSIDE)], 20.0)
    assert same[OUTSIDE].seen_at == 10.0
    assert observe(same, [lease(OUTSIDE, renewed="2")], 30.0)[OUTSIDE].seen_at == 30.0


def test_the_next_process_of_that_name_takes_its_place_at_once():
    before = observe({}, [lease(OUTSIDE)], 10.0)
    after = observe(before, [lease(OUTSIDE, holder="p2")], 60.0)
    assert list(after) == [OUTSIDE]
    assert not is_gone(after[OUTSIDE], 60.0)


def test_who_has_given_up_the_lease_is_no_member():
    assert observe({}, [lease(holder=""), lease(OUTSIDE)], 0.0).keys() == {OUTSIDE}


def test_a_lease_that_names_nobody_is_somebody_unheard_until_it_expires():
    found = sighting(lease(None))
    assert found.name == "lease one"
    assert not is_gone(found, LASTS + GRACE - 0.01)
    assert is_gone(found, LASTS + GRACE)


def test_its_own_duration_counts_within_reason():
    assert not is_gone(sighting(lease(OUTSIDE, leaseDurationSeconds=60)), 60.0)
    assert is_gone(sighting(lease(OUTSIDE, leaseDurationSeconds=10**9)), LASTS + GRACE)

"""What `ebbtide doctor` says of the time that a gateway has to end what it holds."""

from dataclasses import replace

import pytest

from ebbtide.doctoring.facts import Level, Section
from ebbtide.doctoring.rollouts import gateway_grace
from fleet.model import Policy
from tests.core.doctored import registered, said, template


@pytest.mark.parametrize(
    ("grace", "timeout", "told"),
    [(None, 3600.0, False), (600.0, 3600.0, True), (600.0, 600.0, False), (0.0, 1.0, True)],
)
def test_a_gateway_that_stops_sooner_than_a_request_may_end(grace, timeout, told):
    found = registered(
        policy=Policy(request_timeout=timeout),
        deployment=template(grace=3600, strategy={"type": "Recreate"}),
    )
    warnings = said(replace(found, gateway_grace=grace), Section.DEPLOYMENTS, Level.WARNING)
    assert len(warnings) == int(told)
    if told:
        assert warnings[0].startswith(f"a gateway that stops goes on for {grace:g} s, and a")


@pytest.mark.parametrize(
    ("containers", "grace"),
    [
        ([{"env": [{"name": "A", "value": "1"}, {"name": "EBBTIDE_SHUTDOWN_GRACE"}]}], None),
        ([{"env": [{"name": "EBBTIDE_SHUTDOWN_GRACE", "value": "90"}]}], 90.0),
        ([{}, {"env": None}, "x"], None),
        (None, None),
    ],
)
def test_how_long_gateways_go_on_is_read_from_their_environment(containers, grace):
    deployment = {"spec": {"template": {"spec": {"containers": containers}}}}
    assert gateway_grace(deployment) == grace

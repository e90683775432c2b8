"""What `ebbtide doctor` says where it could not read."""

import pytest

from ebbtide.doctoring.facts import Level, Section
from ebbtide.doctoring.findings import exit_code, find
from fleet.model import Fleet
from tests.core.doctored import facts, said


def test_what_could_not_be_read_is_told_as_far_as_it_matters():
    unread = {"events": "403", "namespaces": "403", "namespace a": "404"}
    found = find(facts(unread=unread))
    assert {one.about: one.level for one in found if one.about in unread} == {
        "events": Level.WARNING,
        "namespaces": Level.NOTE,
        "namespace a": Level.WARNING,
    }
    assert exit_code(found) == 0


@pytest.mark.parametrize("what", ["deployments", "replicasets", "pods"])
def test_who_may_not_look_at_models_is_not_told_that_all_is_well(what):
    found = find(facts(unread={what: "403"}))
    assert exit_code(found) == 1
    (one,) = [one for one in found if one.about == what]
    assert "--namespace" in one.advice


def test_what_was_not_read_is_not_said_to_be_missing():
    found = facts(fleet=Fleet(), unread={"nodes": "403", "deployments": "403"})
    assert said(found, Section.GPUS) == ["not counted: nodes could not be read"]
    assert said(found, Section.DEPLOYMENTS) == ["not looked at: deployments could not be read"]


def test_a_namespace_of_its_own_that_is_not_there_is_told():
    (missing,) = said(facts(homeless=True), Section.CLUSTER, Level.WARNING, Level.ERROR)
    assert missing.startswith("there is no namespace ebbtide: gateways")
    assert said(facts(), Section.CLUSTER, Level.WARNING, Level.ERROR) == []

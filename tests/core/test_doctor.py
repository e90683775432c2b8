"""What `ebbtide doctor` makes of what it has found, as tables."""

import json
from dataclasses import replace

import pytest

from ebbtide.doctoring.facts import Level, Monitor, Monitors, Redis, Section
from ebbtide.doctoring.findings import exit_code, find
from ebbtide.doctoring.printing import as_json
from fleet.kubernetes.permissions import Component
from fleet.model import Fleet, GpuNode, GpuPool, Policy, Problem
from tests.core.doctored import (
    GATEWAYS,
    PATIENT,
    access,
    facts,
    registered,
    said,
    template,
)

_BAD = (Level.WARNING, Level.ERROR)


def test_where_all_is_well_every_section_says_so():
    found = find(facts())
    assert {one.section for one in found} == set(Section)
    assert all(one.level in (Level.FINE, Level.NOTE) for one in found)
    assert exit_code(found) == 0


def test_what_is_not_well_says_what_to_do():
    problem = Problem(source="", deployment="a/b", key="ebbtide.dev/slots", value="x", allowed="y")
    broken = replace(
        registered(
            deployment=template(annotations={"linkerd.io/inject": "enabled"}),
            second_writer="HorizontalPodAutoscaler scaler",
            fleet=Fleet(gpus=(GpuPool(name="gpu", total=1, free=0),), problems=(problem,)),
        ),
        access=access(lacks={("deployments", "list")}),
        redis=Redis(where="redis://box", trouble="connection refused"),
        unread={"nodes": "403"},
    )
    bad = [one for one in find(broken) if one.level in _BAD]
    assert len(bad) == 9
    assert [one.what for one in bad if not one.advice] == ["ebbtide.dev/slots: 'x': y"]
    assert exit_code(find(broken)) == 1


# Permissions.


def test_each_lack_is_told_with_what_it_is_for():
    (one,) = said(
        facts(access=access(lacks={("deployments/scale", "patch")})[:20]),
        Section.PERMISSIONS,
        *_BAD,
    )
    assert one == (
        "you, in place of the gateway, may not patch deployments/scale.apps: wakes a sleeping model"
    )


@pytest.mark.parametrize(
    ("lack", "level"),
    [
        (("pods", "watch"), Level.ERROR),
        (("leases", "update"), Level.ERROR),
        (("nodes", "list"), Level.WARNING),
        (("events", "create"), Level.WARNING),
        (("scaledobjects", "watch"), Level.WARNING),
    ],
)
def test_a_lack_is_an_error_where_nothing_works_without(lack, level):
    found = find(facts(access=access(lacks={lack})))
    lacking = [one for one in found if one.section is Section.PERMISSIONS and one.level in _BAD]
    assert {one.level for one in lacking} == {level}


def test_accounts_are_named_and_what_could_not_be_asked_is_not_a_lack():
    own = [one for one in access(subject=GATEWAYS) if one.permission.component is Component.GATEWAY]
    (fine,) = said(facts(access=own), Section.PERMISSIONS, Level.FINE)
    assert fine.startswith(f"the gateway's account ebbtide/ebbtide-gateway may do all {len(own)}")
    unknown = said(facts(access=access(unknown=True)), Section.PERMISSIONS, Level.WARNING)
    assert len(unknown) == 2
    assert "could not be asked for: no answer in time" in unknown[0]
    assert exit_code(find(facts(access=access(unknown=True)))) == 0


def test_what_is_lacking_for_one_use_is_one_finding():
    lacks = {("pods", "list"), ("pods", "watch"), ("pods", "patch")}
    gateway, *autoscaler = said(facts(access=access(lacks=lacks)), Section.PERMISSIONS, *_BAD)
    assert "may not list or watch pods: the replicas" in gateway
    assert len(autoscaler) == 2


# GPUs, measurements, Redis.


def test_gpus_are_told_by_class_and_node():
    nodes = (
        GpuNode(name="n1", gpu_class="A100", total=4, free=0),
        GpuNode(name="n2", gpu_class="A100", total=4, free=3),
        GpuNode(name="n3", gpu_class="mig-1g.10gb", total=7, free=7),
    )
    pools = (
        GpuPool(name="A100", total=8, free=3, elastic=8),
        GpuPool(name="mig-1g.10gb", total=7, free=7),
    )
    assert said(facts(fleet=Fleet(gpus=pools, nodes=nodes)), Section.GPUS, Level.FINE) == [
        "A100: 3 of 8 free, up to 8 more can be asked for (n1 0 of 4, n2 3 of 4)",
        "mig-1g.10gb: 7 of 7 free (n3 7 of 7)",
    ]


def test_no_gpus_are_an_error_once_somebody_asks_for_one():
    nobody = find(facts(fleet=Fleet()))
    assert exit_code(nobody) == 0
    assert "nvidia.com/gpu" in next(one.advice for one in nobody if one.section is Section.GPUS)
    # A pool there is all the same, since it is asked for.
    none = Fleet(gpus=(GpuPool(name="gpu", total=0, free=0),))
    asked = registered(fleet=none)
    assert said(asked, Section.GPUS, Level.ERROR) == [
        "no node offers GPUs, and default/demo ask for some"
    ]
    assert said(asked, Section.GPUS, Level.FINE) == []
    assert said(registered(fleet=Fleet(), gpus=0), Section.GPUS, Level.ERROR) == []


@pytest.mark.parametrize(
    ("pool", "changes"),
    [
        ({"elastic": 4}, {}),
        ({"grows": True}, {}),
        ({}, {"namespaces": ("team-a",)}),
        ({}, {"unread": {"nodes": "forbidden"}}),
    ],
)
def test_gpus_that_may_come_or_may_not_be_seen_are_none_that_are_lacking(pool, changes):
    none = Fleet(gpus=(GpuPool(name="gpu", total=0, free=0, **pool),))
    found = replace(registered(fleet=none), **changes)
    assert said(found, Section.GPUS, Level.ERROR) == []


def test_what_is_wrong_with_the_budget_is_told_with_the_gpus():
    problem = Problem(
        source="EBBTIDE_GPU_BUDGET", deployment="", key="gpu", value="present", allowed="a number"
    )
    found = facts(fleet=Fleet(gpus=facts().fleet.gpus, problems=(problem,)))
    assert said(found, Section.GPUS, Level.ERROR) == [
        "EBBTIDE_GPU_BUDGET: gpu: 'present': a number"
    ]


def test_what_measures_gpus_is_named_where_it_is_found():
    found = facts(
        monitors=[
            Monitor(kind=Monitors.DCGM, where=f"service gpu/dcgm-{number}") for number in range(5)
        ]
    )
    fine = said(found, Section.MONITORS, Level.FINE)
    assert fine == [
        "DCGM exporter: service gpu/dcgm-0, service gpu/dcgm-1, service gpu/dcgm-2 and 2 more"
    ]
    assert said(found, Section.MONITORS, Level.NOTE)[0].startswith("Prometheus: none found")
    unread = facts(unread={"Prometheus": "403", "DCGM exporter": "403"})
    assert said(unread, Section.MONITORS) == [
        "DCGM exporter: not looked for: 403",
        "Prometheus: not looked for: 403",
    ]
    assert said(unread, Section.CLUSTER) == []


@pytest.mark.parametrize(
    ("redis", "level", "words"),
    [
        (Redis(where=""), Level.NOTE, "none is named"),
        (Redis(where="redis://box", trouble="refused"), Level.ERROR, "does not answer: refused"),
        (
            Redis(where="redis://box", denied={"XADD": "NOPERM"}),
            Level.ERROR,
            "refuses XADD: NOPERM",
        ),
        (Redis(where="redis://box", version="8.2.0"), Level.FINE, "Redis 8.2.0"),
    ],
)
def test_redis_is_told_as_it_answers(redis, level, words):
    (one,) = said(facts(redis=redis), Section.REDIS, *Level)
    assert words in one
    assert {o.level for o in find(facts(redis=redis)) if o.section is Section.REDIS} == {level}


# Deployments.


def test_a_registered_deployment_is_told_with_its_models():
    found = registered(policy=PATIENT, deployment=template(grace=60, strategy={"type": "Recreate"}))
    assert said(found, Section.DEPLOYMENTS) == []
    assert said(found, Section.DEPLOYMENTS, Level.FINE) == ["registered as demo: triton, 1 GPU gpu"]


def test_a_refused_one_is_told_with_the_reason_and_a_doubtful_one_warns():
    problems = (
        Problem(source="", deployment="a/b", key="ebbtide.dev/slots", value="many", allowed="1"),
        Problem(source="", deployment="a/c", key="x", value="", allowed="z", warning=True),
    )
    found = facts(fleet=Fleet(gpus=facts().fleet.gpus, problems=problems))
    assert said(found, Section.DEPLOYMENTS, Level.ERROR) == ["ebbtide.dev/slots: 'many': 1"]
    assert said(found, Section.DEPLOYMENTS, Level.WARNING) == ["x: z"]
    assert json.loads(as_json(found, find(found)))["refused"] == ["a/b"]


@pytest.mark.parametrize(
    ("grace", "timeout", "told"),
    [(None, 600.0, True), (None, 30.0, False), (600, 600.0, False), (599, 600.0, True)],
)
def test_a_grace_period_shorter_than_a_request_may_take(grace, timeout, told):
    found = registered(
        policy=Policy(request_timeout=timeout),
        deployment=template(grace=grace, strategy={"type": "Recreate"}),
    )
    warnings = said(found, Section.DEPLOYMENTS, Level.WARNING)
    assert len(warnings) == int(told)
    if told:
        assert warnings[0].startswith(f"terminationGracePeriodSeconds is {grace or 30}")


@pytest.mark.parametrize(
    ("strategy", "replicas", "free", "gpus", "told"),
    [
        (None, 1, 0, 1, "starts 1 more"),
        (None, 0, 0, 1, "starts 1 more"),
        ({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0}}, 1, 0, 1, None),
        ({"rollingUpdate": {"maxSurge": "50%"}}, 5, 0, 1, "starts 3 more"),
        ({"rollingUpdate": {"maxSurge": 2}}, 1, 0, 1, "starts 2 more"),
        ({"rollingUpdate": {"maxSurge": "0%"}}, 1, 0, 1, None),
        ({"type": "Recreate"}, 1, 0, 1, None),
        (None, 1, 1, 1, None),
        (None, 1, 1, 2, "starts 1 more"),
        (None, 1, 0, 0, None),
    ],
)
def test_a_rollout_that_would_wait_for_a_gpu(strategy, replicas, free, gpus, told):
    found = registered(
        policy=PATIENT,
        replicas=replicas,
        gpus=gpus,
        deployment=template(grace=60, strategy=strategy),
        fleet=Fleet(gpus=(GpuPool(name="gpu", total=4, free=free),)),
    )
    warnings = said(found, Section.DEPLOYMENTS, Level.WARNING)
    assert len(warnings) == (told is not None)
    if told:
        assert told in warnings[0]


def test_where_no_gpu_is_known_of_no_rollout_is_said_to_wait():
    nobody = Fleet(gpus=(GpuPool(name="gpu", total=0, free=0),))
    found = registered(policy=PATIENT, deployment=template(grace=60), fleet=nobody)
    assert said(found, Section.DEPLOYMENTS, Level.WARNING) == []


def test_where_nodes_can_be_added_a_rollout_need_not_wait():
    full = Fleet(gpus=(GpuPool(name="gpu", total=4, free=0, elastic=4),))
    found = registered(policy=PATIENT, deployment=template(grace=60), fleet=full)
    assert said(found, Section.DEPLOYMENTS, Level.WARNING) == []


@pytest.mark.parametrize(
    ("metadata", "space", "told"),
    [
        ({"annotations": {"sidecar.istio.io/inject": "true"}}, {}, "its pods have sidecar.istio"),
        ({"labels": {"sidecar.istio.io/inject": "true"}}, {}, "Istio"),
        ({"labels": {"sidecar.istio.io/inject": "false"}}, {}, None),
        (
            {},
            {"labels": {"istio-injection": "enabled"}},
            "its namespace has istio-injection=enabled",
        ),
        ({}, {"labels": {"istio-injection": "disabled"}}, None),
        (
            {"labels": {"sidecar.istio.io/inject": "false"}},
            {"labels": {"istio-injection": "enabled"}},
            None,
        ),
        (
            {"annotations": {"traffic.sidecar.istio.io/excludeInboundPorts": "8000"}},
            {"labels": {"istio-injection": "enabled"}},
            None,
        ),
        ({}, {"annotations": {"linkerd.io/inject": "enabled"}}, "Linkerd"),
        ({"annotations": {"linkerd.io/inject": "ingress"}}, {}, "Linkerd"),
        ({}, {}, None),
    ],
)
def test_a_mesh_before_its_pods(metadata, space, told):
    found = registered(
        policy=PATIENT,
        deployment=template(grace=60, strategy={"type": "Recreate"}, **metadata),
        space={"metadata": space},
    )
    warnings = said(found, Section.DEPLOYMENTS, Level.WARNING)
    assert len(warnings) == (told is not None)
    if told:
        assert told in warnings[0]


def test_an_ambient_mesh_is_only_noted():
    found = registered(
        policy=PATIENT,
        deployment=template(grace=60, strategy={"type": "Recreate"}),
        space={"metadata": {"labels": {"istio.io/dataplane-mode": "ambient"}}},
    )
    assert said(found, Section.DEPLOYMENTS, Level.WARNING) == []
    (note,) = said(found, Section.DEPLOYMENTS, Level.NOTE)
    assert "Istio" in note


def test_an_account_of_the_charts_is_told_which_one_it_could_not_ask_for():
    own = tuple(
        one for one in access(subject=GATEWAYS) if one.permission.component is Component.GATEWAY
    )
    (note,) = said(facts(access=own), Section.PERMISSIONS)
    assert note.startswith("what the autoscaler's account may do is not asked")


def test_where_no_account_is_known_it_is_told_where_it_was_looked_for():
    (note,) = said(facts(), Section.PERMISSIONS, Level.NOTE)
    assert "known in ebbtide" in note
    assert said(facts(access=access(subject=GATEWAYS)), Section.PERMISSIONS, Level.NOTE) == []


@pytest.mark.parametrize(
    ("resource", "about", "value"),
    [("nodes", "nodes", "EBBTIDE_GPU_BUDGET"), ("scaledobjects", "scaledobjects.keda.sh", "rbac")],
)
def test_what_the_chart_leaves_out_is_no_fault(resource, about, value):
    lacking = access(lacks={(resource, "list"), (resource, "watch")}, subject=GATEWAYS)
    for namespaces, level in (((), Level.WARNING), (("a",), Level.NOTE)):
        found = find(facts(access=lacking, namespaces=namespaces))
        told = [one for one in found if one.about == about]
        assert {one.level for one in told} == {level}
    assert value in told[0].advice


@pytest.mark.parametrize("odd", [{"spec": None}, {"spec": {"template": "x", "strategy": 3}}, {}])
def test_an_odd_object_stops_nothing(odd):
    assert find(registered(deployment=odd, space={"metadata": []}))


def test_a_second_writer_is_told():
    found = registered(second_writer="HorizontalPodAutoscaler scaler")
    (warning,) = said(found, Section.DEPLOYMENTS, Level.WARNING)
    assert warning.startswith("somebody else scales it: HorizontalPodAutoscaler scaler;")


def test_nothing_registered_is_said():
    assert said(facts(), Section.DEPLOYMENTS, Level.NOTE) == [
        "no Deployment has the annotation ebbtide.dev/model"
    ]


# Room.

_NODES = tuple(GpuNode(name=name, gpu_class="gpu", total=2, free=0) for name in ("one", "two"))


@pytest.mark.parametrize(
    ("fleet", "changes", "most"),
    [
        (Fleet(gpus=(GpuPool(name="gpu", total=4, free=0),)), {"gpus": 4}, None),
        (Fleet(gpus=(GpuPool(name="gpu", total=4, free=0),)), {"gpus": 5}, 4),
        (Fleet(gpus=(GpuPool(name="gpu", total=4, free=0),), nodes=_NODES), {"gpus": 2}, None),
        (Fleet(gpus=(GpuPool(name="gpu", total=4, free=0),), nodes=_NODES), {"gpus": 3}, 2),
        (
            Fleet(gpus=(GpuPool(name="gpu", total=4, free=0),), nodes=_NODES),
            {"gpus": 1, "nodes": frozenset({"three"})},
            0,
        ),
        (
            Fleet(gpus=(GpuPool(name="gpu", total=4, free=0, elastic=1),), nodes=_NODES),
            {"gpus": 3},
            None,
        ),
        (
            Fleet(gpus=(GpuPool(name="gpu", total=4, free=0, grows=True),), nodes=_NODES),
            {"gpus": 3},
            None,
        ),
        (Fleet(gpus=(GpuPool(name="gpu", total=4, free=0),)), {"gpus": 0}, None),
    ],
)
def test_a_pod_that_fits_on_no_node_is_told_of(fleet, changes, most):
    found = said(registered(policy=PATIENT, fleet=fleet, **changes), Section.DEPLOYMENTS)
    told = [one for one in found if "requests to it are refused" in one]
    assert len(told) == (most is not None)
    assert all(f"has more than {most}:" in one for one in told)

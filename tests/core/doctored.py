"""What a doctor has found, for tests: all is well but for what they change."""

from dataclasses import replace

from ebbtide.doctoring.facts import Access, Facts, Level, Redis, Subject
from ebbtide.doctoring.findings import find
from fleet.kubernetes.permissions import PERMISSIONS, Scope
from fleet.model import Fleet, GpuPool, Policy
from tests.fakes.cluster import revision

NOBODY = Subject(name="")
GATEWAYS = Subject(name="ebbtide/ebbtide-gateway")


def access(*, lacks=(), subject=NOBODY, unknown=False):
    return tuple(
        Access(
            permission=one,
            namespace="ebbtide" if one.scope is Scope.OWN else "",
            subject=subject,
            allowed=None if unknown else (one.resource, one.verb) not in lacks,
            why="no answer in time" if unknown else "",
        )
        for one in PERMISSIONS
    )


def facts(**changes):
    made = Facts(
        server="https://api:6443",
        version="v1.36.3",
        namespaces=(),
        own="ebbtide",
        fleet=Fleet(gpus=(GpuPool(name="A100", total=4, free=2),)),
        deployments={},
        spaces={},
        access=access(),
        monitors=(),
        redis=Redis(where="redis://box:6379", version="8.2.0"),
    )
    return replace(made, **changes)


def registered(*, deployment=None, space=None, fleet=None, **changes):
    one = revision("demo", **changes)
    fleet = fleet or Fleet(gpus=(GpuPool(name="gpu", total=4, free=2),))
    return facts(
        fleet=replace(fleet, revisions={one.name: one}),
        deployments={} if deployment is None else {one.name: deployment},
        spaces={} if space is None else {"default": space},
    )


def said(found, section, *levels):
    wanted = levels or (Level.NOTE, Level.WARNING, Level.ERROR)
    return [one.what for one in find(found) if one.section is section and one.level in wanted]


def template(*, grace=None, strategy=None, **metadata):
    spec = {} if grace is None else {"terminationGracePeriodSeconds": grace}
    made = {"spec": {"template": {"metadata": metadata, "spec": spec}}}
    if strategy is not None:
        made["spec"]["strategy"] = strategy
    return made


PATIENT = Policy(request_timeout=30.0)

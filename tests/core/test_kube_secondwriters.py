"""Who else scales a Deployment: what counts, what does not, and when it is forgotten."""

from typing import Any

import pytest
from hypothesis import given

from fleet.cluster.kubernetes.objects import Kind, trim
from fleet.cluster.kubernetes.secondwriters import HOUR, MANAGER, SecondWriters, target_of
from fleet.cluster.kubernetes.snapshot import Reader
from fleet.kubernetes.objects import Object, key_of
from fleet.names import RevisionName
from tests.core.anyjson import JSON, mangled
from tests.core.test_kube_snapshot import DEMO, OFFSET, read
from tests.fakes.kubeobjects import deployment, metadata

ARGO = "argocd-controller"


def owned(*managers: str, replicas: int = 1, time: str = "") -> Object:
    """A Deployment whose `spec.replicas` these have set."""
    made = deployment(replicas=replicas)
    made["metadata"]["managedFields"] += [
        {
            "manager": manager,
            "operation": "Update",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
            **({"time": time} if time else {"subresource": "scale"}),
        }
        for manager in managers
    ]
    return made


class Story:
    """What happens to one Deployment, a minute between any two."""

    def __init__(self) -> None:
        self.writers = SecondWriters()
        self.now = 1000.0
        self._replicas = 0

    def write(self, *managers: str, after: float = 60.0) -> "Story":
        self.now += after
        self._replicas += 1
        self.writers.see(DEMO, owned(*managers, replicas=self._replicas), now=self.now)
        return self

    def idle(self, seconds: float) -> "Story":
        self.now += seconds
        return self

    @property
    def said(self) -> str:
        return self.writers.of(DEMO, now=self.now)


def test_whoever_undoes_us_twice_within_an_hour_counts() -> None:
    story = Story().write("kubectl").write(MANAGER).write(ARGO)
    assert story.said == ""
    story.write(MANAGER).write(ARGO)
    assert story.said == f"{ARGO} has changed spec.replicas after ebbtide twice within an hour"


def test_the_creator_does_not_count_however_often_it_applies() -> None:
    story = Story()
    for _ in range(5):
        story.write("kubectl-client-side-apply")
    assert story.said == ""


def test_one_scale_by_hand_does_not_count() -> None:
    assert Story().write(MANAGER).write("kubectl").idle(60).said == ""


def test_several_changes_after_one_write_of_ours_are_one() -> None:
    assert Story().write(MANAGER).write(ARGO).write(ARGO).write(ARGO).said == ""


def test_two_different_ones_are_once_each() -> None:
    assert Story().write(MANAGER).write("kubectl").write(MANAGER).write(ARGO).said == ""


def test_twice_in_more_than_an_hour_does_not_count() -> None:
    assert Story().write(MANAGER).write(ARGO).write(MANAGER, after=HOUR).write(ARGO).said == ""
    assert Story().write(MANAGER).write(ARGO).write(MANAGER).write(ARGO, after=HOUR - 61).said


def test_managers_that_call_themselves_anew_each_time_do_not_pile_up() -> None:
    story = Story()
    for number in range(300):
        story.write(MANAGER).write(f"made-up-{number}")
    assert story.said == ""
    assert len(story.writers._tracks[DEMO].changes) <= HOUR / 120


def test_it_is_forgotten_after_an_hour_without() -> None:
    story = Story().write(MANAGER).write(ARGO).write(MANAGER).write(ARGO)
    due = story.writers.due(DEMO, now=story.now)
    assert due == story.now + HOUR
    assert story.idle(HOUR - 1).said
    assert story.idle(1).said == ""
    assert story.writers.due(DEMO, now=story.now) is None


def test_it_lasts_while_it_goes_on_and_we_hold_still() -> None:
    story = Story().write(MANAGER).write(ARGO).write(MANAGER).write(ARGO)
    story.write(ARGO, after=HOUR - 1)
    assert story.idle(HOUR - 1).said


def test_seeing_the_same_again_is_no_change() -> None:
    writers, seen = SecondWriters(), owned(ARGO)
    writers.see(DEMO, owned(MANAGER), now=0)
    for now in range(5):
        writers.see(DEMO, seen, now=now)
    assert writers.of(DEMO, now=5) == ""


def test_seeing_the_same_again_makes_it_last_no_longer() -> None:
    story = Story().write(MANAGER).write(ARGO).write(MANAGER).write(ARGO)
    due = story.writers.due(DEMO, now=story.now)
    story.writers.see(DEMO, owned(ARGO, replicas=4), now=story.now + HOUR - 1)
    assert story.writers.due(DEMO, now=story.now) == due


def test_an_apply_of_our_own_number_changes_nothing() -> None:
    story = Story().write(MANAGER).write(MANAGER, ARGO).write(MANAGER).write(MANAGER, ARGO)
    assert story.said == ""


def test_who_takes_our_name_away_and_leaves_none_counts_too() -> None:
    story = Story().write(MANAGER).write().write(MANAGER).write()
    assert story.said.startswith("a client that the API server does not name has changed")
    assert Story().write().write().write(MANAGER).write().write().said == ""


def test_a_deployment_that_is_made_anew_begins_anew() -> None:
    story = Story().write(MANAGER).write(ARGO)
    story.writers.gone(DEMO)
    assert story.write(MANAGER).write(ARGO).said == ""


def test_so_does_one_whose_end_and_beginning_are_read_together() -> None:
    """As after a watch that was away, or a cluster that is read in one go."""
    reader, now = Reader(offset=lambda: OFFSET), 1000.0
    for made in range(3):
        for manager in ("kubectl-create", MANAGER):
            raw = owned(manager, replicas=1 + made)
            raw["metadata"]["uid"] = f"made-{made}"
            kept = trim(Kind.DEPLOYMENT, raw)
            reader.take(Kind.DEPLOYMENT, {key_of(raw): kept} if kept else {}, now=now)
            now += 60
    assert reader.read(now=now).revisions[DEMO].second_writer == ""


def scaler(called: str = "scaler", **ref: Any) -> Object:
    return {"metadata": metadata(called), "spec": {"scaleTargetRef": {"name": "demo", **ref}}}


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ({"kind": "Deployment", "apiVersion": "apps/v1"}, True),
        ({}, True),
        ({"kind": "StatefulSet", "apiVersion": "apps/v1"}, False),
        ({"kind": "Deployment", "apiVersion": "example.com/v1"}, False),
        ({"name": ""}, False),
    ],
)
def test_what_targets_the_deployment(ref: dict[str, str], expected: bool) -> None:
    target = (RevisionName("default/demo"), "ScaledObject scaler") if expected else None
    assert target_of(scaler(**ref), "ScaledObject") == target


@given(JSON)
def test_nothing_raises(value: Any) -> None:
    target_of({"metadata": value, "spec": value}, "x")
    target_of(scaler(name=value), "x")


@given(mangled(owned(MANAGER, ARGO), times=6))
def test_no_deployment_makes_it_raise(raw: Object) -> None:
    writers = SecondWriters()
    for each in (raw, owned(MANAGER), raw):
        writers.see(DEMO, each, now=0)
        writers.of(DEMO, now=0)


def test_an_hpa_or_a_scaled_object_counts_at_once_and_as_long_as_it_is_there() -> None:
    fleet = read([deployment()], autoscalers=[scaler("a", kind="Deployment")])
    assert fleet.revisions[DEMO].second_writer == "HorizontalPodAutoscaler a targets it"
    both = read(
        [deployment()],
        autoscalers=[scaler("keda-hpa-b", kind="Deployment")],
        scaled_objects=[scaler("b")],
    )
    assert both.revisions[DEMO].second_writer == (
        "HorizontalPodAutoscaler keda-hpa-b, ScaledObject b targets it"
    )
    assert read([deployment()], autoscalers=[]).revisions[DEMO].second_writer == ""


def test_it_is_in_the_snapshot_and_leaves_it_again() -> None:
    reader = Reader(offset=lambda: OFFSET)

    def seen(raw: Object, now: float) -> str:
        kept = trim(Kind.DEPLOYMENT, raw)
        assert kept is not None
        reader.take(Kind.DEPLOYMENT, {key_of(kept): kept}, now=now)
        return reader.read(now=now).revisions[DEMO].second_writer

    for now, manager in enumerate([MANAGER, ARGO, MANAGER]):
        assert seen(owned(manager), now) == ""
    assert ARGO in seen(owned(ARGO), 10)
    scalers = {("default", "scaler"): scaler(kind="Deployment")}
    reader.take(Kind.AUTOSCALER, scalers, now=11)
    assert "scaler targets it" in reader.read(now=11).revisions[DEMO].second_writer
    reader.take(Kind.AUTOSCALER, {}, now=12)
    assert ARGO in reader.read(now=12).revisions[DEMO].second_writer
    assert reader.due == 10 + HOUR
    assert reader.read(now=10 + HOUR).revisions[DEMO].second_writer == ""

"""What manifests read anew change: counts, versions, and what goes on although it is broken."""

import itertools
from dataclasses import replace
from pathlib import Path

from fleet.cluster.local.addresses import Addresses
from fleet.cluster.local.backoff import STEADY, Backoff
from fleet.cluster.local.gpus import visible
from fleet.cluster.local.manifests import LocalDeployment, Manifests
from fleet.cluster.local.podspec import PodSpec
from fleet.cluster.local.takeover import Taken, take_over
from fleet.model import Drain, Policy, Problem, Revision, RuntimeName, Served
from fleet.names import ModelName, RevisionName
from tests.fakes import cluster as fakes

FILE = Path("/m/a.yaml")
PROBLEM = Problem(source="a.yaml", deployment="a", key="k", value="v", allowed="w")


def deployment(name: str = "a", *, model: str = "", file: Path = FILE, **changes: object):
    models = (Served(name=ModelName(model or name), served=name),)
    wanted = fakes.revision(name, models=models, runtime=RuntimeName.PLAIN, replicas=1, version="")
    pod = PodSpec(namespace="n", container="c", command=("x",), args=(), folder=file.parent)
    return LocalDeployment(
        revision=replace(wanted, name=RevisionName(name), **changes), pod=pod, file=file
    )


def manifests(*deployments: LocalDeployment, **changes: object) -> Manifests:
    made = Manifests(deployments=deployments, problems=(), files=(FILE,))
    return replace(made, **changes)  # type: ignore[arg-type]


VERSIONS = itertools.count(1)


def after(before: Taken | None, read: Manifests, *, wall: float = 100.0) -> Taken:
    current = before.deployments if before else {}
    return take_over(current, read, wall=wall, version=lambda: f"v{next(VERSIONS)}")


def revision(taken: Taken, name: str = "a") -> Revision:
    return taken.deployments[RevisionName(name)].revision


def test_replicas_and_drain_are_kept_when_a_policy_changes_and_the_version_moves_on() -> None:
    first = after(None, manifests(deployment(replicas=2)))
    scaled = replace(revision(first), replicas=5, drain=Drain(number=1, replicas=frozenset()))
    live = {scaled.name: replace(deployment(), revision=scaled)}
    changed = deployment(replicas=1, policy=Policy(keep_alive=9.0))
    second = take_over(live, manifests(changed), wall=200.0, version=lambda: "next")
    assert revision(second) == replace(scaled, policy=Policy(keep_alive=9.0), version="next")


def test_what_did_not_change_keeps_its_version() -> None:
    first = after(None, manifests(deployment()))
    second = after(first, manifests(deployment(replicas=7)))
    assert second == first


def test_one_that_is_no_longer_written_is_gone_and_counts_as_new_when_it_comes_back() -> None:
    first = after(None, manifests(deployment(replicas=1)))
    gone = after(first, manifests())
    assert gone.deployments == {}
    assert revision(after(gone, manifests(deployment(replicas=3)))).replicas == 3


def test_one_that_became_wrong_or_unreadable_goes_on_and_its_problem_is_shown() -> None:
    first = after(None, manifests(deployment()))
    for broken in (
        manifests(refused=frozenset({RevisionName("a")}), problems=(PROBLEM,)),
        manifests(broken=frozenset({FILE}), problems=(PROBLEM,)),
        manifests(broken=frozenset({FILE.parent}), problems=(PROBLEM,)),
    ):
        assert after(first, broken).deployments == first.deployments
        assert after(first, broken).problems == (PROBLEM,)
    elsewhere = manifests(broken=frozenset({Path("/m/b.yaml")}))
    assert after(first, elsewhere).deployments == {}


def test_the_elder_keeps_a_name_whatever_comes_first_in_the_files() -> None:
    first = after(None, manifests(deployment("z")))
    second = after(first, manifests(deployment("a", model="z"), deployment("z")), wall=200.0)
    assert list(second.deployments) == ["z"]
    assert [problem.deployment for problem in second.problems] == ["a"]


def test_within_one_reading_the_first_written_is_the_elder() -> None:
    taken = after(None, manifests(deployment("b", model="m"), deployment("a", model="m")))
    assert list(taken.deployments) == ["b"]


def test_one_that_runs_and_now_claims_an_elders_name_stays_as_it_was() -> None:
    first = after(None, manifests(deployment("a"), deployment("b")))
    second = after(first, manifests(deployment("a"), deployment("b", model="a")))
    assert second.deployments == first.deployments
    assert [problem.deployment for problem in second.problems] == ["b"]


def test_back_off_doubles_up_to_a_minute_and_begins_anew_after_a_steady_run() -> None:
    backoff, waits = Backoff(template="t"), []
    for _ in range(8):
        backoff = backoff.after(template="t", open_for=1.0)
        waits.append(backoff.seconds)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.after(template="t", open_for=STEADY).seconds == 1
    assert backoff.after(template="other", open_for=0.0).seconds == 1


def test_addresses_differ_within_a_run_and_between_processes() -> None:
    runs = [Addresses(pid) for pid in range(1000, 1010)]
    given = [run.take(free=lambda _: True) for run in runs for _ in range(600)]
    assert len(set(given)) == len(given)
    assert all(64 <= int(address.split(".")[1]) < 128 for address in given)
    assert not {address.rsplit(".", 1)[1] for address in given} & {"0", "255"}


def test_taken_addresses_are_passed_over_but_not_for_ever() -> None:
    first = Addresses(7).take(free=lambda _: True)
    assert Addresses(7).take(free=lambda address: address != first) != first
    assert Addresses(7).take(free=lambda _: False)


def test_cuda_visible_devices_chooses_and_orders_gpus() -> None:
    rows = [("0", "GPU-a"), ("1", "GPU-b"), ("2", "GPU-c")]
    assert visible(rows, None) == ("GPU-a", "GPU-b", "GPU-c")
    assert visible(rows, "2, GPU-a") == ("GPU-c", "GPU-a")
    assert visible(rows, "") == ()

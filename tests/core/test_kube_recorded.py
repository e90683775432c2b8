"""What a real cluster (Kubernetes 1.36, kubelet, containerd) showed of pods that do not run.

`recorded.jsonl` holds versions of its objects in the order in which they came, trimmed, with the
seconds since they were asked for; each case is one Deployment, set up as its name says.
"""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.cluster.kubernetes.objects import Kind, trim
from fleet.cluster.kubernetes.snapshot import Reader
from fleet.cluster.kubernetes.times import wall_seconds
from fleet.kubernetes.objects import Object, key_of
from fleet.model import Fleet, Phase, Replica
from fleet.names import RevisionName
from fleet.reasons import Reason
from tests.fakes.kubeobjects import deployment

BEGUN = 100.0
OFFSET = (wall_seconds("2026-11-21T19:56:04Z") or 0.0) - BEGUN
L, F, P, D = Phase.LOADING, Phase.FAILED, Phase.PENDING, Phase.DRAINING
STARTING, STOPPING = Reason.STARTING, Reason.STOPPING


@functools.cache
def rows() -> list[dict[str, Any]]:
    text = (Path(__file__).parent / "recorded.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


class Replay:
    """One case, version by version."""

    def __init__(self, case: str) -> None:
        self.name = RevisionName(f"{'tight' if case == 'quota' else 'default'}/{case}")
        self.reader = Reader(offset=lambda: OFFSET)
        self._rows = [row for row in rows() if row["case"] == case]
        self._kept: dict[Kind, dict[tuple[str, str], Object]] = {kind: {} for kind in Kind}
        for row in rows():
            if row["kind"] == "nodes":
                self._keep(row)
        if all(row["kind"] != "deployments" for row in self._rows):
            made = trim(Kind.DEPLOYMENT, deployment(case))
            assert made is not None
            self._kept[Kind.DEPLOYMENT][key_of(made)] = made

    def _keep(self, row: dict[str, Any]) -> None:
        self._kept[Kind(row["kind"])][key_of(row["object"])] = row["object"]

    def fleets(self) -> Iterator[tuple[float, Fleet]]:
        for row in self._rows:
            self._keep(row)
            now = BEGUN + row["t"]
            for kind, objects in self._kept.items():
                self.reader.take(kind, objects, now=now)
            yield now, self.reader.read(now=now)

    def end(self) -> Fleet:
        *_, (_, fleet) = self.fleets()
        return fleet

    def steps(self) -> list[tuple[int, Phase, Reason | None]]:
        """(run, phase, reason) of the one replica, each once."""
        seen: list[tuple[int, Phase, Reason | None]] = []
        for _, fleet in self.fleets():
            for replica in fleet.of(self.name):
                run = int(replica.name.partition("#")[2] or 0)
                step = (run, replica.phase, replica.reason)
                if seen[-1:] != [step]:
                    seen.append(step)
        return seen


@pytest.mark.parametrize(
    ("case", "steps"),
    [
        (
            "crash",
            [
                (0, L, STARTING),
                (0, F, Reason.EXITED),
                (1, L, STARTING),
                (1, F, Reason.EXITED),
            ],
        ),
        (
            "oom",
            [
                (0, L, STARTING),
                (0, F, Reason.OOM_KILLED),
                (1, L, STARTING),
                (1, F, Reason.OOM_KILLED),
            ],
        ),
        (
            "initfail",
            [(0, L, STARTING), (0, F, Reason.EXITED), (1, L, STARTING), (1, F, Reason.EXITED)],
        ),
        (
            "badcommand",
            [(0, L, STARTING)] + [(run, F, Reason.CANNOT_EXECUTE) for run in range(3)],
        ),
        ("badimage", [(0, L, STARTING), (0, F, Reason.INVALID_IMAGE_NAME)]),
        (
            "noimage",
            [(0, L, STARTING), (0, L, Reason.PULLING_IMAGE), (0, L, Reason.IMAGE_PULL_BACK_OFF)],
        ),
        ("neverpull", [(0, L, STARTING), (0, L, Reason.ERR_IMAGE_NEVER_PULL)]),
        ("nosecret", [(0, L, STARTING), (0, L, Reason.CREATE_CONTAINER_CONFIG_ERROR)]),
        ("nomount", [(0, L, STARTING), (0, L, Reason.FAILED_MOUNT)]),
        ("nogpu", [(0, P, Reason.NO_FREE_GPU)]),
        ("selector", [(0, P, Reason.UNSCHEDULABLE)]),
        ("gated", [(0, P, Reason.SCHEDULING_GATED)]),
        ("initok", [(0, L, STARTING)]),
        ("sidecar", [(0, L, STARTING)]),
        ("slowstop", [(0, L, STARTING), (0, D, STOPPING)]),
        ("final", [(0, L, STARTING), (0, D, STOPPING)]),
    ],
)
def test_what_a_pod_goes_through(case: str, steps: list[tuple[int, Phase, Reason]]) -> None:
    assert Replay(case).steps() == steps


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("crash", "exit code 3: cannot load weights"),
        ("crashlogs", "exit code 1: first"),
        ("oom", "OOMKilled, exit code 137"),
        ("initfail", "init container prepare: exit code 7: no weights"),
        ("badcommand", 'exec: "/nonexistent": stat /nonexistent: no such file or directory'),
        ("badimage", "invalid reference format: repository name (Case) must be lowercase"),
        ("noimage", 'ImagePullBackOff: Back-off pulling image "registry.invalid/none:1"'),
        ("neverpull", "is not present with pull policy of Never"),
        ("nosecret", 'CreateContainerConfigError: secret "missing" not found'),
        ("nomount", 'for volume "cfg" : configmap "missing" not found'),
        ("nogpu", "1 Insufficient nvidia.com/gpu."),
        ("selector", "1 node(s) didn't match Pod's node affinity/selector."),
        ("quota", "exceeded quota: few, requested: pods=1, used: pods=0, limited: pods=0"),
    ],
)
def test_it_is_told_in_the_clusters_own_words(case: str, words: str) -> None:
    replay = Replay(case)
    (replica,) = replay.end().of(replay.name)
    assert words in replica.message


def test_the_last_lines_stand_in_for_the_log() -> None:
    replay = Replay("crashlogs")
    (replica,) = replay.end().of(replay.name)
    assert replica.log == ("CUDA out of memory", "first")


def after_due(case: str) -> Replica:
    replay = Replay(case)
    fleet = replay.end()
    due = replay.reader.due
    assert due is not None
    assert replay.reader.read(now=due - 0.1) is fleet
    (replica,) = replay.reader.read(now=due).of(replay.name)
    assert replay.reader.due is None
    return replica


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("nosecret", Reason.CREATE_CONTAINER_CONFIG_ERROR),
        ("neverpull", Reason.ERR_IMAGE_NEVER_PULL),
        ("quota", Reason.FAILED_CREATE),
    ],
)
def test_what_only_somebody_can_mend_is_a_failure_after_a_while(case: str, reason: Reason) -> None:
    replica = after_due(case)
    assert (replica.phase, replica.reason) == (F, reason)


def test_a_deletion_that_lasts_is_stuck() -> None:
    replica = after_due("final")
    assert (replica.phase, replica.reason) == (D, Reason.STUCK_TERMINATING)
    assert replica.message == (
        "it should have ended at 2026-11-21T19:56:48Z; finalizers: example.com/keep"
    )


def test_an_address_is_there_while_the_server_runs() -> None:
    replay = Replay("crash")
    addresses = [
        (replica.phase, replica.address)
        for _, fleet in replay.fleets()
        for replica in fleet.of(replay.name)
    ]
    assert (L, "10.101.0.6") in addresses
    assert {address for phase, address in addresses if phase is F} == {None}


def test_each_run_began_when_the_one_before_had_ended() -> None:
    replay = Replay("crash")
    began = {}
    for now, fleet in replay.fleets():
        for replica in fleet.of(replay.name):
            assert replica.since <= now
            began[replica.name.partition("#")[2]] = replica.started
    # Created in the first second, and ended 8 s later, both seen within a second.
    assert BEGUN <= began[""] <= BEGUN + 1
    assert BEGUN + 8 <= began["1"] <= BEGUN + 9


def test_a_rollout_tells_old_from_new() -> None:
    replay = Replay("ports")
    mixed = False
    for _, fleet in replay.fleets():
        if replay.name in fleet.revisions:
            revision = fleet.revisions[replay.name]
            live = [each for each in fleet.of(replay.name) if each.phase is not D]
            new = [each.template == revision.template for each in live]
            mixed |= False in new and True in new
            if False in new:
                assert not revision.settled
    assert mixed
    fleet = replay.end()
    assert [each.phase for each in fleet.of(replay.name)] == [D, L]
    assert fleet.of(replay.name)[1].template == fleet.revisions[replay.name].template
    assert fleet.revisions[replay.name].enacted


def test_gpus_are_held_from_placement_on() -> None:
    replay = Replay("ok")
    for _, fleet in replay.fleets():
        if replay.name not in fleet.revisions:
            # Its pods come in before itself: what they hold is not ours to count on.
            assert fleet.pool("A100").total < 2
            continue
        held = sum(replica.gpus for replica in fleet.of(replay.name))
        assert fleet.pool("A100").free + held == fleet.pool("A100").total == 2
    assert held == 2
    assert [node.free for node in fleet.nodes] == [0]

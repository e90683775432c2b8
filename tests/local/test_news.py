"""What the log says of manifests edited while they run, and of replicas that end."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.cluster.local.gpus import Gpus
from fleet.model import Phase
from tests.fakes import local
from tests.fakes.local import local_cluster, manifest, named, open_ones, until, wanted

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "manifests"


@pytest.fixture
def said() -> Iterator[list[str]]:
    """`LEVEL event key=value ...`, as the log is written."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.getMessage()}")

    logger, keep = logging.getLogger("ebbtide"), Keep()
    level = logger.level
    logger.addHandler(keep)
    logger.setLevel(logging.INFO)
    yield lines
    logger.setLevel(level)
    logger.removeHandler(keep)


def about(lines: list[str], *events: str) -> list[str]:
    return [line for line in lines if line.split()[1] in events]


def lines_of(file: str) -> tuple[str, ...]:
    return tuple(Path(file).read_text().splitlines())


async def test_a_problem_is_told_when_it_comes_and_when_it_is_mended(
    folder: Path, said: list[str]
) -> None:
    wrong = manifest("a", annotations={"slots": "many"})
    local.write(folder, wrong, manifest("b"))
    async with local_cluster(folder) as cluster:
        (came,) = about(said, "problem")
        assert came.startswith("ERROR problem message=")
        assert "ebbtide.dev/slots: 'many'" in came
        local.write(folder, manifest("a"))
        await until(cluster, lambda f: named("a") in f.revisions)
        assert about(said, "problem", "mended") == [
            came,
            came.replace("ERROR problem", "INFO mended"),
        ]


async def test_gpus_that_are_not_there_are_told_at_the_start(folder: Path, said: list[str]) -> None:
    local.write(folder, manifest("a"), manifest("b", gpus=0))
    async with local_cluster(folder, gpus=Gpus(ids=(), real=False, counted=False)):
        (told,) = about(said, "problem")
        assert told.startswith("WARNING problem message=")
        assert "default/a" in told
        assert "start with --gpus N" in told


async def test_models_that_come_change_and_go_are_told_but_not_those_of_the_start(
    folder: Path, said: list[str]
) -> None:
    local.write(folder, manifest("a"))
    async with local_cluster(folder) as cluster:
        await wanted(cluster, "a", 1)
        local.write(folder, manifest("b"))
        await until(cluster, lambda f: named("b") in f.revisions)
        local.write(folder, manifest("a", annotations={"keep-alive": "7s"}))
        await until(cluster, lambda f: f.revisions[named("a")].policy.keep_alive == 7.0)
        (folder / "b.json").unlink()
        await until(cluster, lambda f: named("b") not in f.revisions)
    assert about(said, "registered", "changed", "removed") == [
        f"INFO registered revision=default/b models=b source={folder}/b.json",
        f"INFO changed revision=default/a models=a source={folder}/a.json",
        f"INFO removed revision=default/b source={folder}/b.json",
    ]


async def test_a_failure_is_told_with_its_log_file_and_a_stop_without_last_words(
    folder: Path, said: list[str]
) -> None:
    local.write(folder, manifest("a", "crash", replicas=1), manifest("b", replicas=1))
    async with local_cluster(folder) as cluster:
        fleet = await until(
            cluster,
            lambda f: open_ones(f, "b") and any(r.phase is Phase.FAILED for r in f.of(named("a"))),
        )
        (failed,) = fleet.of(named("a"))
    (told,) = about(said, "replica_failed")
    file = told.rpartition(" log=")[2]
    assert told.startswith("WARNING replica_failed replica=default/a-")
    assert lines_of(file) == failed.log
    (stopped,) = about(said, "replica_stopped")
    assert stopped.partition(" ending=")[2] in ('"exited with code 0"', '"killed by SIGTERM"')


async def test_a_note_without_a_message_adds_nothing(folder: Path, said: list[str]) -> None:
    local.write(folder, manifest("a"))
    async with local_cluster(folder) as cluster:
        await cluster.note(named("a"), "demand", "")
        await cluster.note(named("a"), "evicted", "for b")
    assert about(said, "note") == ['INFO note revision=default/a reason=evicted message="for b"']


async def test_without_a_tritonserver_that_is_told_once_if_a_model_needs_it(
    folder: Path, said: list[str]
) -> None:
    triton = ["tritonserver", "--model-repository=/m"]
    local.write(folder, manifest("a", command=triton), manifest("b", command=triton))
    async with local_cluster(folder) as cluster:
        (told,) = about(said, "problem")
        assert told.startswith('WARNING problem message="this machine: EBBTIDE_TRITONSERVER: ')
        assert "nvidia-pytriton" in told
        local.write(folder, manifest("a"), manifest("b"))
        await until(cluster, lambda f: not f.problems)

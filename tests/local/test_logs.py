"""Log files of replicas: the last few are kept, however many replicas start at once."""

from concurrent.futures import ThreadPoolExecutor

from fleet.cluster.local import logs


def test_only_the_last_few_of_a_deployment_are_kept(tmp_path):
    for number in range(30):
        logs.open_place(tmp_path, f"model-run-{number}").touch()
    other = logs.open_place(tmp_path, "another-run-1")
    other.touch()
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {other.name, *(f"model-run-{number}.log" for number in range(20, 30))}


def test_replicas_that_start_at_once_do_not_trip_over_each_others_clearing(tmp_path):
    for number in range(200):
        (tmp_path / f"model-run-{number}.log").touch()
    with ThreadPoolExecutor(16) as threads:
        places = list(
            threads.map(
                lambda number: logs.open_place(tmp_path, f"model-run-{number}"), range(200, 264)
            )
        )
    assert len(set(places)) == 64

"""The quickstart's models give right answers, and clear errors, from real Triton.

Each is started as its manifest says, by the parts that `ebbtide up` starts it with.
"""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from examples.quickstart import client as quickstart
from examples.quickstart.client import Client
from fleet.cluster.local.manifests import read_manifests
from fleet.cluster.local.podspec import launch
from fleet.cluster.local.tritonserver import locate, with_triton

pytestmark = pytest.mark.triton

FOLDER = Path(quickstart.__file__).parent
ADDRESSES = {
    "filetype": "127.3.1.1",
    "speech": "127.3.1.2",
    "ocr": "127.3.1.3",
    "embed": "127.3.1.4",
}
START = 60.0


def started(model: str, environment: Path, scratch: Path) -> subprocess.Popen[bytes]:
    (found,) = read_manifests([FOLDER / f"{model}.yaml"]).deployments
    server = locate(str(environment), os.environ, state_dir=scratch)
    assert server is not None
    how = with_triton(
        launch(
            found.pod,
            pod_name=f"{model}-1",
            address=ADDRESSES[model],
            scratch=scratch / "pod",
            inherited=os.environ,
        ),
        server,
    )
    with (scratch / "log").open("wb") as log:
        return subprocess.Popen(
            how.argv, env=how.env, cwd=how.cwd, stdout=log, stderr=log, start_new_session=True
        )


def wait_until_ready(process: subprocess.Popen[bytes], model: str, log: Path) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(
                f"http://{ADDRESSES[model]}:8000/v2/models/{model}/ready"
            ).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{model} did not start:\n{log.read_text(errors='replace')[-4000:]}")


@pytest.fixture(scope="module")
def ask(
    models_env: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Client]]:
    """A client of the named model, which is started when first asked for."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    clients: dict[str, Client] = {}

    def client(model: str) -> Client:
        if model not in clients:
            scratch = tmp_path_factory.mktemp(model)
            running[model] = started(model, models_env, scratch)
            wait_until_ready(running[model], model, scratch / "log")
            clients[model] = Client(f"{ADDRESSES[model]}:8000")
        return clients[model]

    yield client
    for one in clients.values():
        one.close()
    for process in running.values():
        # Nothing here is worth Triton's graceful 2.5 s; its stubs are in the same session.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("model", quickstart.QUESTIONS)
def test_the_answer_is_right(model: str, ask: Callable[[str], Client]) -> None:
    finding = quickstart.QUESTIONS[model](ask(model))
    assert finding.right, finding.words


def test_file_types_are_told_apart(ask: Callable[[str], Client]) -> None:
    client = ask("filetype")
    assert client.filetype(quickstart.JSON_FILE)[0] == "json"
    assert client.filetype(quickstart.drawn("a picture"))[0] == "png"
    assert client.filetype(b"")[0] == "empty"


def test_neither_noise_nor_a_tone_is_speech(ask: Callable[[str], Client]) -> None:
    client = ask("speech")
    second = np.arange(quickstart.RATE) / quickstart.RATE
    noise = 0.05 * np.random.default_rng(1).standard_normal(second.size)
    for sound in (noise, 0.3 * np.sin(2 * np.pi * 440 * second)):
        ((highest, _),) = client.speech(sound)
        assert highest < 0.3


FRAME_BY_FRAME = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
sound = numpy.frombuffer(sys.stdin.buffer.read(), dtype=numpy.float32)
state, context, found = numpy.zeros((2, 1, 128), "f4"), numpy.zeros(64, "f4"), []
for frame in sound.reshape(-1, 512):
    seen = numpy.concatenate([context, frame])[None]
    rate = numpy.array(16000)
    probability, state = session.run(None, {"input": seen, "state": state, "sr": rate})
    found.append(probability.item())
    context = frame[-64:]
print(max(found), sum(found) / len(found))
"""
"""Silero's streaming network, one frame after the other, as its own library drives it."""


def test_speech_probabilities_are_those_of_the_streaming_network(
    ask: Callable[[str], Client], models_env: Path
) -> None:
    """Over more than one block, so that the network's memory has to go from block to block."""
    sound = np.concatenate([quickstart.voice(16.384), quickstart.silence(1.024)])
    (weights,) = models_env.glob("lib/python3.*/site-packages/silero_vad/data/silero_vad.onnx")
    done = subprocess.run(
        [models_env / "bin" / "python", "-c", FRAME_BY_FRAME, weights],
        input=sound.tobytes(),
        capture_output=True,
        check=True,
    )
    wanted = [float(number) for number in done.stdout.split()]
    assert ask("speech").speech(sound)[0] == pytest.approx(wanted, abs=1e-3)


def test_an_empty_page_has_no_lines(ask: Callable[[str], Client]) -> None:
    assert ask("ocr").ocr(quickstart.drawn(" ", size=64)) == []


def test_embeddings_are_those_of_the_published_model(ask: Callable[[str], Client]) -> None:
    """The likenesses that all-MiniLM-L6-v2 gives where it is run by its own library."""
    rows = ask("embed").embed(
        "That is a happy person",
        "That is a happy dog",
        "That is a very happy person",
        "Today is a sunny day",
    )
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert rows[0] @ rows[1:].T == pytest.approx([0.695, 0.943, 0.257], abs=1e-3)


def test_a_batch_gives_what_single_texts_give(ask: Callable[[str], Client]) -> None:
    client = ask("embed")
    texts = ("short", "a much longer text, " * 20)
    alone = [client.embed(text)[0] for text in texts]
    assert client.embed(*texts) == pytest.approx(np.array(alone), abs=1e-5)


BAD = {
    "no sound": ("speech", lambda client: client.speech(np.zeros(0)), "no samples"),
    "not finite": ("speech", lambda client: client.speech(np.array([np.nan])), "NaN"),
    "16-bit": ("speech", lambda client: client.speech(np.full(9, 3e4)), "divide 16-bit values"),
    "no picture": ("ocr", lambda client: client.ocr(b"not a picture"), "not a picture"),
    "nothing": ("ocr", lambda client: client.ocr(b""), "0 bytes are not a picture"),
    "not UTF-8": (
        "embed",
        lambda client: client.infer("embed", [quickstart.bytes_input("TEXT", [[b"\xff"]])]),
        "not UTF-8",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_a_reason(case: str, ask: Callable[[str], Client]) -> None:
    model, call, reason = BAD[case]
    with pytest.raises(InferenceServerException, match=reason) as refused:
        call(ask(model))
    assert refused.value.status() == "400"

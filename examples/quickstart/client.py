"""Ask the four models of this folder what they make of something, with Triton's own client.

    python client.py [--url 127.0.0.1:8080] [filetype|speech|ocr|embed ...]

Nothing here knows ebbtide: the address is the gateway's instead of a Triton server's, and a model
that sleeps answers a few seconds later. So allow for that: `network_timeout` below is longer than
a start takes. (tritonclient's own default is 60 s.)

The inputs are made up here, with numpy and Pillow, so that the folder needs no data files.
"""

import argparse
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tritonclient.http import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

RATE = 16_000
"""Samples a second that the model `speech` wants."""

PYTHON_FILE = b'''import sys


def main() -> int:
    """Print the lines of a file in reverse order."""
    with open(sys.argv[1], encoding="utf-8") as file:
        for line in reversed(file.readlines()):
            print(line.rstrip())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
'''

JSON_FILE = b"""{
  "name": "quickstart",
  "models": ["filetype", "speech", "ocr", "embed"],
  "gpus": 2
}
"""


# The models. Each takes plain Python values and gives plain Python values.


class Client(InferenceServerClient):
    """Triton's client; `server_timing` is that header of the last answer.

    One client belongs to one thread.
    """

    server_timing = ""

    def __init__(self, url: str) -> None:
        super().__init__(url, network_timeout=600.0)

    def _post(self, *args, **kwargs):
        # tritonclient hands out an answer's body but not its headers.
        response = super()._post(*args, **kwargs)
        self.server_timing = response.get("Server-Timing") or ""
        return response

    def filetype(self, content: bytes) -> tuple[str, float]:
        """What kind of file this is, and how sure the model is of it (0 to 1)."""
        answer = self.infer("filetype", [bytes_input("CONTENT", [[content]])])
        return answer.as_numpy("LABEL")[0, 0].decode(), float(answer.as_numpy("SCORE")[0, 0])

    def speech(self, *sounds: np.ndarray) -> list[tuple[float, float]]:
        """For each sound, all of one length: how likely speech is at most, and on average."""
        samples = np.stack(sounds).astype(np.float32)
        audio = InferInput("AUDIO", list(samples.shape), "FP32")
        audio.set_data_from_numpy(samples)
        answer = self.infer("speech", [audio])
        highest, mean = (answer.as_numpy(f"PROBABILITY_{name}")[:, 0] for name in ("MAX", "MEAN"))
        return list(zip(highest.tolist(), mean.tolist(), strict=True))

    def ocr(self, picture: bytes) -> list[str]:
        """The lines of text in a picture (a PNG, JPEG, ... file)."""
        answer = self.infer("ocr", [bytes_input("IMAGE", [picture])])
        return [line.decode() for line in answer.as_numpy("TEXT")]

    def embed(self, *texts: str) -> np.ndarray:
        """A row of 384 numbers for each text; `a @ b` tells how alike two rows are."""
        answer = self.infer("embed", [bytes_input("TEXT", [[text.encode()] for text in texts])])
        return answer.as_numpy("EMBEDDING")


def bytes_input(name: str, values: list) -> InferInput:
    """The values, bytes in nested lists, as the input `name`."""
    array = np.array(values, dtype=np.object_)
    tensor = InferInput(name, list(array.shape), "BYTES")
    tensor.set_data_from_numpy(array)
    return tensor


# The inputs.


def drawn(text: str, size: int = 32) -> bytes:
    """A picture of `text`, black on white, as a PNG file."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox(
        (0, 0), text, font=font
    )
    picture = Image.new("RGB", (int(right - left) + 48, int(bottom - top) + 48), "white")
    ImageDraw.Draw(picture).multiline_text((24 - left, 24 - top), text, font=font, fill="black")
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def silence(seconds: float = 2.0) -> np.ndarray:
    """Nothing but the faint hiss of a microphone."""
    hiss = np.random.default_rng(0).standard_normal(int(RATE * seconds))
    return (0.0005 * hiss).astype(np.float32)


def voice(seconds: float = 2.0) -> np.ndarray:
    """A sound like somebody talking: syllables of a buzzing larynx behind a moving mouth."""
    pieces: list[np.ndarray] = []
    hiss = np.random.default_rng(0)
    while sum(piece.size for piece in pieces) < seconds * RATE:
        number = len(pieces)
        vowel, pitch = "aieou"[number % 5], (120, 130, 125, 115, 110, 118)[number % 6]
        consonant = 0.15 * hiss.standard_normal(800) * np.hanning(800)
        syllable = _vowel(vowel, pitch=pitch, seconds=0.16 + 0.05 * (number % 3))
        pause = np.zeros(2400 if number % 5 == 4 else 0)
        pieces.append(np.concatenate([consonant, syllable, pause]))
    sound = np.concatenate(pieces)[: int(seconds * RATE)]
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


_FORMANTS = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
"""The resonances of the mouth for each vowel, in Hz."""


def _vowel(name: str, *, pitch: float, seconds: float) -> np.ndarray:
    count = int(RATE * seconds)
    time = np.arange(count) / RATE
    # The pitch falls a little and trembles five times a second, as a voice does.
    tone = pitch * (1 + 0.03 * np.sin(10 * np.pi * time)) * np.linspace(1.05, 0.92, count)
    pulses = np.diff(np.floor(np.cumsum(tone) / RATE), prepend=0)
    hertz = np.fft.rfftfreq(2 * count, 1 / RATE)
    mouth = 1 / np.sqrt(1 + (hertz / 500) ** 2)
    for formant, width in zip(_FORMANTS[name], (80, 100, 140), strict=True):
        mouth = mouth * np.abs(formant**2 / (formant**2 - hertz**2 + 1j * width * hertz))
    sound = np.fft.irfft(np.fft.rfft(pulses, 2 * count) * mouth)[:count]
    swell = np.sqrt(np.sin(np.pi * np.arange(count) / count))
    return sound / np.abs(sound).max() * swell


# The questions: a real request for each model, the answer in words, and whether it is right.


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a model said, in words, and whether that is what any person would say."""

    words: str
    right: bool


def ask_filetype(client: Client) -> Finding:
    label, score = client.filetype(PYTHON_FILE)
    return Finding(words=f"a file of {label} ({score:.0%})", right=label == "python")


def ask_speech(client: Client) -> Finding:
    (talking, _), (quiet, _) = client.speech(voice(), silence())
    words = f"speech: {talking:.0%} in a voice, {quiet:.0%} in silence"
    return Finding(words=words, right=talking > 0.5 > quiet)


def ask_ocr(client: Client) -> Finding:
    lines = client.ocr(drawn("The tide goes out,\nthe GPU is free"))
    words = "it says: " + " / ".join(lines)
    return Finding(words=words, right=lines == ["The tide goes out,", "the GPU is free"])


def ask_embed(client: Client) -> Finding:
    cat, kitten, invoice = client.embed(
        "The cat sleeps on the sofa.",
        "A kitten is napping on the couch.",
        "The invoice is due at the end of March.",
    )
    near, far = float(cat @ kitten), float(cat @ invoice)
    words = f"cat is like kitten {near:.2f}, like invoice {far:.2f}"
    return Finding(words=words, right=near > far + 0.3)


QUESTIONS: dict[str, Callable[[Client], Finding]] = {
    "filetype": ask_filetype,
    "speech": ask_speech,
    "ocr": ask_ocr,
    "embed": ask_embed,
}


def main() -> int:
    """Ask each model once. 0 when all answers are right, else 1."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--url", default="127.0.0.1:8080", help="HOST:PORT (%(default)s)")
    arguments.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(QUESTIONS))
    given = arguments.parse_args()
    unknown = set(given.models) - set(QUESTIONS)
    if unknown:
        arguments.error(f"no such model: {', '.join(sorted(unknown))}; {', '.join(QUESTIONS)}")
    client = Client(given.url)
    wrong = 0
    for model in given.models or QUESTIONS:
        start = perf_counter()
        try:
            finding = QUESTIONS[model](client)
        except (InferenceServerException, OSError) as error:
            finding = Finding(words=f"no answer: {error}", right=False)
        wrong += not finding.right
        print(f"{model:9} {perf_counter() - start:6.2f} s  {finding.words}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

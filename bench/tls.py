"""TLS at the front: keep-alive connections as in the case warm, and handshakes.

The certificate (ECDSA, P-256) is made for the run with openssl.
"""

import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

from bench import peers
from bench.case import Run
from bench.contenders import Contender
from bench.entries import Measured, bound
from bench.envoy import Certificate
from bench.gateway import infer_path
from bench.goload import load_program, run_go_load
from bench.load import Load
from bench.rounds import take_rounds
from bench.warm import small_stage
from bench.wrk import BODY, run_load

__all__ = ["make_certificate", "measure"]

_CONNECTIONS = 32
_OVER_ENVOY = 0.9
_REQUEST = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
_NAMES = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")


def measure(run: Run) -> Measured:
    """CPU per request on kept connections, and per connection with one request on it."""
    wrk, load = peers.wrk(run.cache), load_program(run.cache)
    run.facts["wrk"] = wrk.version
    shakes = ("-c", str(_CONNECTIONS), "-handshake")

    def kept(contender: Contender, seconds: int) -> Load:
        return run_load(
            wrk, _url(contender), seconds=seconds, connections=_CONNECTIONS, folder=run.folder
        )

    def handshakes(contender: Contender, seconds: int) -> Load:
        return run_go_load(load, "-url", _url(contender), seconds=seconds, flags=shakes, body=BODY)

    with ExitStack() as stack:
        stage, contenders = small_stage(run, stack, tls=make_certificate(run.folder))
        entries = take_rounds("TLS, kept", contenders, kept, run)
        each = take_rounds("TLS, a handshake each", contenders, handshakes, run)
    rows = bound(entries, "envoy", _OVER_ENVOY)
    return Measured(entries=(*entries, *each), rows=rows, missing=tuple(stage.missing))


def make_certificate(folder: Path) -> Certificate:
    """One for localhost, of its own making."""
    openssl = shutil.which("openssl")
    if openssl is None:
        msg = "openssl is not on PATH, and makes the certificate"
        raise peers.PeerMissingError(msg)
    made = Certificate(chain=folder / "certificate.pem", key=folder / "key.pem")
    files = ["-out", str(made.chain), "-keyout", str(made.key)]
    command = [openssl, *_REQUEST.split(), *_NAMES, *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        msg = f"openssl made no certificate: {done.stderr.strip().splitlines()[-1]}"
        raise peers.PeerMissingError(msg)
    return made


def _url(contender: Contender) -> str:
    return f"https://127.0.0.1:{contender.port}{infer_path('fixed')}"

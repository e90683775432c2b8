"""tritonclient and real Triton: HTTP, and what tests/local/test_grpc_clients.py leaves of gRPC.

That one has gRPC's calls about servers and models, streams with empty answers, hundreds of held
calls, and health checks.
"""

import sys
from pathlib import Path

import pytest

from tests.e2e.served import run, served
from tests.local.triton_models import write_counting_model, write_model

pytestmark = [pytest.mark.anyio, pytest.mark.triton]

PROGRAM = Path(__file__).with_name("python") / "triton_calls.py"
TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


@TLS
async def test_tritonclient_http(tmp_path: Path, models_env: Path, tls: bool) -> None:
    write_doubling(tmp_path)
    async with served(tmp_path, gpus=1, tritonserver=models_env, tls=tls) as to:
        await run(sys.executable, PROGRAM, "http", to.address, *to.trust)
        await to.once("double")


@TLS
async def test_tritonclient_grpc(tmp_path: Path, models_env: Path, tls: bool) -> None:
    write_doubling(tmp_path)
    write_counting_model(tmp_path, "counting", slots=4)
    async with served(tmp_path, gpus=2, tritonserver=models_env, tls=tls) as to:
        await run(sys.executable, PROGRAM, "grpc", to.address, *to.trust)
        await to.once("double", "counting")


def write_doubling(folder: Path) -> None:
    """The model that doubles, for any number of numbers."""
    write_model(folder, "double", slots=8)
    config = folder / "models/double/double/config.pbtxt"
    config.write_text(config.read_text().replace("[ 1 ]", "[ -1 ]").replace("2, 1 ]", "2, -1 ]"))

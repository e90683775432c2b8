"""What all tests share: how asyncio tests run, how long a soak lasts, where real models live."""

from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer

from tests.sharing_out import Groups, rank_of

pytest_plugins = ["tests.kube.fixtures"]

_ROOT = Path(__file__).resolve().parent.parent
_SHORT, _FULL = 20.0, 600.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak",
        action="store_true",
        help=f"run soak tests in full: {_FULL:.0f} s each instead of {_SHORT:.0f} s",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Every run of `make test` tries the same examples; `make soak` looks for new ones.
    settings.register_profile("repeatable", derandomize=True, deadline=None)
    settings.register_profile("searching", derandomize=False, deadline=None)
    settings.load_profile("searching" if config.getoption("--soak") else "repeatable")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups | None:
    """`--dist loadscope` goes by our groups."""
    return Groups(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture
def anyio_backend() -> object:
    """The loop of `@pytest.mark.anyio` tests; a module on virtual time returns VIRTUAL instead."""
    return "asyncio"


@pytest.fixture(scope="session")
def soak_seconds(pytestconfig: pytest.Config) -> float:
    """How long a test marked `soak` keeps going."""
    return _FULL if pytestconfig.getoption("--soak") else _SHORT


@pytest.fixture(scope="session")
def models_env() -> Path:
    """The Python environment with real Triton and the models' weights.

    A test that needs it fails without it: skipped, it would look like a test that passed.
    """
    environment = _ROOT / ".venv-models"
    if not (environment / "bin" / "python").exists():
        pytest.fail(f"{environment.name} is not set up: run `make test`, which does that")
    return environment

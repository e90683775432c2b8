"""Finds a runtime's profile by its name. Pure."""

from fleet.model import RuntimeName
from fleet.runtimes import Profile
from fleet.runtimes.openai import OPENAI
from fleet.runtimes.plain import PLAIN
from fleet.runtimes.triton import TRITON

__all__ = ["profile"]

_PROFILES = {found.name: found for found in (TRITON, OPENAI, PLAIN)}


def profile(name: RuntimeName) -> Profile:
    """The facts of the runtime called `name`."""
    return _PROFILES[name]

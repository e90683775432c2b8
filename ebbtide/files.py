"""How many files the process may have open; for `main` functions alone.

Rule: the soft limit, 1024 on most systems, is for programs that use select(). Clients that do
      nothing but connect would use it up, and with it the means to start a replica; so it is
      raised to what the hard limit allows, as far as that is of use.
"""

import resource

__all__ = ["raise_open_files"]

_OF_USE = 2**17


def raise_open_files() -> None:
    """Raise the soft limit; processes that are started later inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = _OF_USE if hard == unlimited else min(hard, _OF_USE)
    if soft != unlimited and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

"""Which tests run together on one pytest worker, and in what order groups begin.

Rule 1: what needs a control plane runs on one worker of each folder, so that two start at most.
Rule 2: a test that starts `ebbtide` and Triton of its own goes to whoever is free; of others a
        module stays together, with what it has started for all its tests.
Rule 3: those that mostly wait begin, beside each other; those that only compute fill up the rest.

By names alone: whoever shares them out has not collected the tests.
"""

from xdist.scheduler import LoadScopeScheduling

__all__ = ["Groups", "group_of", "rank_of"]

_FOLDERS = ("local", "contract", "sim", "wire", "kube", "house", "core")
"""Those whose tests wait before those whose tests compute."""
_REAL = ("test_kubernetes_", "test_control_plane", "test_leases")
"""Modules of contracts that are held against a control plane."""
_RENDERED = ("test_chart_effects", "test_chart_pages", "test_judging")
"""Modules beside those of the control plane that need none."""
_SHARED = ("test_bench_parts", "test_quickstart_models")
"""Modules that start something for all their tests."""
_PLANE = "plane-"


class Groups(LoadScopeScheduling):
    """A group after the other to whoever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """Tests of the same one run on the same worker, in one go."""
    path, _, name = nodeid.partition("::")
    *_, folder, module = ("", *path.split("/"))
    if folder == "kube" and not module.startswith(_RENDERED):
        return f"{_PLANE}{folder}"
    if folder == "contract" and (module.startswith(_REAL) or "[kubernetes" in name):
        return f"{_PLANE}{folder}"
    return nodeid if folder == "local" and not module.startswith(_SHARED) else path


def rank_of(nodeid: str) -> int:
    """What has a lower one begins earlier."""
    group = group_of(nodeid)
    if group.startswith(_PLANE):
        return -1
    folder = nodeid.partition("::")[0].split("/")[-2]
    return _FOLDERS.index(folder) if folder in _FOLDERS else len(_FOLDERS)

"""The benchmark: what ebbtide costs beside its peers, measured in one run on one machine.

Rule 1: contenders take turns, at least three rounds; minimum, median and maximum are shown, and
        ratios are formed within a round. Machines are noisy; a single figure says nothing.
Rule 2: what must hold is a gate: the exit code is 1 when the median of the rounds misses it. An aim
        only prints `met` or `missed`.
Rule 3: everything is on loopback, bounded, and ended by the process id it was started with.
"""

__all__: list[str] = []

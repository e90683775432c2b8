"""The benchmark: what ebbtide costs beside its peers, measured in one run on one machine.

Rule 1: contenders take turns, at least three rounds; minimum, median and maximum are shown, and
        ratios are formed within a round. Machines are noisy; a single figure says nothing.
Rule 2: an aim only prints `met` or `missed`. The exit code tells whether the run itself worked.
Rule 3: everything is on loopback, bounded, and ended by the process id it was started with.
"""

__all__: list[str] = []

"""What the process asks of the kernel for its memory, in a process of its own."""

import subprocess
import sys

import pytest

_PROGRAM = """
import gc, resource, sys
from ebbtide.memory import keep_pieces, settle
if sys.argv[1] == "kept":
    keep_pieces()
settle()
assert gc.get_freeze_count() > 1000
pieces = [bytes(250_000) for _ in range(3)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(500):
    del pieces[:]
    pieces += [bytes(250_000), bytes(250_000), bytes(250_000)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that the kernel had to give while pieces of a body came and went."""
    command = [sys.executable, "-c", _PROGRAM, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_pieces_of_bodies_come_and_go_without_the_kernel():
    assert faults("kept") < 1000 < faults("left")

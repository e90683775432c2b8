"""The first process of a node: `python -m tests.kube.node_init` inside namespaces of its own.

Reads one line of JSON from stdin once its network is there, starts the node's programs one after
the other, and then only waits: for whom it inherits (a container's shim leaves its parent), and
for an end of its own. When it ends, the kernel ends everything in its namespaces.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

_SOCKET_S = 60.0


def main() -> int:
    """Ends with 1 as soon as one of the node's programs ends."""
    task = json.loads(sys.stdin.readline())
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    running: dict[int, str] = {}
    for step in task["steps"]:
        if "until" in step:
            _wait_for(Path(step["until"]))
        with open(step["log"], "ab") as log:
            if step.get("once"):
                subprocess.run(step["command"], env=task["env"], stdout=log, stderr=log, check=True)
                continue
            process = subprocess.Popen(step["command"], env=task["env"], stdout=log, stderr=log)
            # Reaped below, with all others.
            process.returncode = 0
            running[process.pid] = step["command"][0]
    while True:
        with contextlib.suppress(InterruptedError):
            pid, status = os.wait()
            if pid in running:
                print(f"{running[pid]} ended with status {status}", file=sys.stderr)
                return 1


def _wait_for(path: Path) -> None:
    end = time.monotonic() + _SOCKET_S
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{path} is not there after {_SOCKET_S} s")
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())

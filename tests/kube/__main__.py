"""A cluster to try things on: `python -m tests.kube`; ends with Ctrl-C and leaves nothing behind.

Needs root and what `python3 scripts/setup.py kube node` makes. Prints where its kubeconfig is.
"""

import signal
import sys
import threading

from scripts.kube.binaries import MissingError
from tests.kube.cluster import RealCluster


def main() -> int:
    """Runs until it is told to end."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    try:
        cluster = RealCluster()
    except MissingError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    try:
        cluster.start()
        cluster.set_gpus(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
        print(f"export KUBECONFIG={cluster.plane.kubeconfig}", flush=True)
        told.wait()
    except KeyboardInterrupt:
        pass
    finally:
        cluster.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

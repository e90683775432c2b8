"""Gets every client that the end-to-end tests run, and says which cannot be had: `make e2e`."""

import sys
import time

from bench.peers import PeerMissingError
from tests.e2e.tools import ALL


def main() -> None:
    missing = []
    for name, provide in ALL.items():
        start = time.monotonic()
        try:
            provide()
        except PeerMissingError as error:
            missing.append(f"e2e: without {name}: {error}")
            continue
        if time.monotonic() - start > 1.0:
            print(f"e2e: {name}: ready after {time.monotonic() - start:.0f} s", flush=True)
    print("\n".join(missing or ["e2e: every client is there"]), flush=True)


if __name__ == "__main__":
    sys.exit(main())

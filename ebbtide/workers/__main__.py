"""`python -m ebbtide.workers` is one worker; only `ebbtide up --workers` starts it."""

import sys

from ebbtide.workers.worker import main

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

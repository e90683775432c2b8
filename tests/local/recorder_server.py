"""A model server that writes down every request it gets. Run as a program by a Deployment.

    python recorder_server.py ADDRESS PORT FILE LOAD_S RUN_S

Listens LOAD_S seconds after its start; answers each POST after RUN_S seconds; appends one JSON line
for a request as soon as its head has come.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def main() -> None:
    address, port, file, load_s, run_s = sys.argv[1:6]
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            # Before the others are waited for that are writing.
            line = json.dumps({"id": self.headers["x-id"], "at": time.time()})
            with lock, open(file, "a") as lines:
                lines.write(line + "\n")
            self.rfile.read(int(self.headers["content-length"] or 0))
            time.sleep(float(run_s))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args):
            pass

    time.sleep(float(load_s))
    ThreadingHTTPServer((address, int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()

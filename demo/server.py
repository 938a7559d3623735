"""A model server as one writes it without any telemetry: POST a reading as JSON, get the predicted label.

python demo/server.py model.joblib 8000
"""

from __future__ import annotations

import contextlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import joblib
import pandas as pd

model = joblib.load(sys.argv[1])


class Predict(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body of an answer in one packet

    def do_POST(self) -> None:
        reading = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"label": model.predict(pd.DataFrame([reading]))[0]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


with contextlib.suppress(KeyboardInterrupt):
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Predict).serve_forever()

"""A ClickHouse server for tests: a real engine in a process of its own, behind as much of the HTTP protocol as clients use.

It can be killed and started again on the same data and port. Unlike the service's own read-only endpoint, it takes inserts, settings
and a password, and it answers with the errors and codes of ClickHouse's server.
"""

from __future__ import annotations

import base64
import gzip
import re
import socket
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import httpx

from modelspan.processor.clickhouse_http.request import form_fields

TRANSPORT = {
    "query", "database", "default_format", "session_id", "session_timeout", "session_check", "query_id", "compress", "decompress",
    "buffer_size", "wait_end_of_query", "client_protocol_version", "role", "quota_key", "user", "password",
    "enable_http_compression", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
}  # fmt: skip
"""Fields of the URL that are no settings of a query."""
INSERT = re.compile(rb"\s*(INSERT\s+INTO\s.*?)\sFORMAT\s+(\w+)\s*?(?:\n|$)", re.IGNORECASE | re.DOTALL)


class ClickHouseServer:
    """The process; `denied` is the beginning of statements for which the user has no right."""

    def __init__(self, data_dir: Path, *, password: str = "", denied: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.password, self.denied = password, denied
        self._data_dir = data_dir
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> ClickHouseServer:
        arguments = [str(self._data_dir), str(self.port), self.password, self.denied]
        self._process = subprocess.Popen([sys.executable, __file__, *arguments])
        for _ in range(300):
            assert self._process.poll() is None, "the server ended"
            try:
                if httpx.get(f"{self.url}/ping").status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        """Kill -9, as often as you like."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def rows(self, sql: str) -> list[list[str]]:
        """Fields of the answer as text."""
        answer = httpx.post(self.url, content=sql, auth=("default", self.password), timeout=30)
        assert answer.status_code == 200, answer.text
        return [line.split("\t") for line in answer.text.splitlines()]


class Failure(Exception):
    """An error in ClickHouse's form."""

    def __init__(self, code: int, message: str, status: int = 500) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message}")
        self.code, self.status = code, status


class Call(NamedTuple):
    """One request."""

    fields: dict[str, str]
    body: bytes


class Engine:
    """Runs each call on a handle of its own, so that no setting outlives it."""

    def __init__(self, data_dir: str, denied: str) -> None:
        import chdb

        self._connect = lambda: chdb.connect(data_dir)
        self._anchor = self._connect()
        self._denied = denied.upper()
        names = self._anchor.query("SELECT name FROM system.settings", "TSV").bytes().decode()
        self._settings = set(names.split())

    def run(self, call: Call) -> tuple[str, bytes]:
        """Format and bytes of the answer. Raises Failure."""
        insert = INSERT.match(call.fields.get("query", "").encode() or call.body)
        sql = (
            "\n".join(part for part in (call.fields.get("query", ""), call.body.decode()) if part) if not insert else ""
        )
        if self._denied and sql.upper().lstrip().startswith(self._denied):
            raise Failure(497, "default: Not enough privileges. (ACCESS_DENIED)", 403)
        handle = self._connect()
        try:
            self._prepare(handle, call.fields)
            if insert:
                data = call.body if "query" in call.fields else call.body[insert.end() :]
                return "", _insert(handle, insert[1].decode(), insert[2].decode(), data)
            form = call.fields.get("default_format", "TabSeparated")
            parameters = {k.removeprefix("param_"): v for k, v in call.fields.items() if k.startswith("param_")}
            written = re.search(r"\bFORMAT\s+(\w+)\s*$", sql)
            return written[1] if written else form, bytes(handle.query(sql, form, params=parameters).bytes() or b"")
        except RuntimeError as error:
            code = re.search(r"Code: (\d+)", str(error))
            raise Failure(int(code[1]) if code else 1002, str(error).partition("DB::Exception: ")[2]) from None
        finally:
            handle.close()

    def _prepare(self, handle: Any, fields: dict[str, str]) -> None:
        given = {k: v for k, v in fields.items() if k not in TRANSPORT and not k.startswith("param_")}
        for name in given.keys() - self._settings:
            raise Failure(
                115,
                f"Setting {name} is neither a builtin setting nor started with the prefix 'SQL_'. (UNKNOWN_SETTING)",
                404,
            )
        if "database" in fields:
            handle.query(f"USE `{fields['database']}`")
        for name in sorted(given, key="readonly".__eq__):
            handle.query(f"SET {name} = '{given[name]}'")


def _insert(handle: Any, head: str, form: str, data: bytes) -> bytes:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        handle.query(f"{head} FROM INFILE '{file.name}' FORMAT {form}")
    return b""


def handler(engine: Engine, password: str) -> type[BaseHTTPRequestHandler]:
    """Class of handlers of requests to `engine`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer(200, b"Ok.\n") if urlsplit(self.path).path == "/ping" else self.do_POST()

        def do_POST(self) -> None:
            try:
                call = self._call()
                self._check_user()
                form, content = engine.run(call)
                self._answer(200, content, {"X-ClickHouse-Format": form or "Null"})
            except Failure as error:
                self._answer(error.status, f"{error}\n".encode(), {"X-ClickHouse-Exception-Code": str(error.code)})

        def _call(self) -> Call:
            fields, body = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True)), self._body()
            kind = self.headers.get("Content-Type", "")
            if kind.startswith("multipart/form-data"):
                return Call(fields | form_fields(kind, body), b"")
            return Call(fields, body)

        def _check_user(self) -> None:
            anonymous = base64.b64encode(b"default:").decode()
            given = base64.b64decode(self.headers.get("Authorization", anonymous).removeprefix("Basic ")).decode()
            if given != f"default:{password}":
                raise Failure(
                    516, "default: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)", 403
                )

        def _body(self) -> bytes:
            chunked = self.headers.get("Transfer-Encoding", "") == "chunked"
            raw = self._chunks() if chunked else self.rfile.read(int(self.headers.get("Content-Length", "0")))
            return _plain(raw, self.headers.get("Content-Encoding", ""))

        def _chunks(self) -> bytes:
            parts: list[bytes] = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {
                "X-ClickHouse-Timezone": "UTC",
                "Content-Length": str(len(content)),
                **(headers or {}),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    return Handler


def _plain(raw: bytes, encoding: str) -> bytes:
    if encoding == "lz4":
        import lz4.frame

        return bytes(lz4.frame.decompress(raw))
    return gzip.decompress(raw) if encoding == "gzip" else raw


if __name__ == "__main__":
    path, port, secret, refused = sys.argv[1:]
    ThreadingHTTPServer(("127.0.0.1", int(port)), handler(Engine(path, refused), secret)).serve_forever()

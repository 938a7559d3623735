"""A store of its own behind ClickHouse's HTTP protocol, in a process of its own, for tests that read it as a client.

The embedded engine allows one data directory for each process, so the test's own process stays without.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any


class Gateway:
    """Starts on entry; `execute` writes to the store, `url` is where readers ask."""

    def __init__(self, data_dir: Path, *, cwd: Path | None = None, **options: Any) -> None:
        """`options` are keyword arguments of `ClickHouseHttp`, and `seconds`, a limit of a query; `cwd` is where it runs."""
        self._command = [sys.executable, __file__, str(data_dir), json.dumps(options)]
        self._cwd = cwd

    def __enter__(self) -> Gateway:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self._cwd
        )
        self.port = int(self._read())
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def execute(self, *statements: str) -> None:
        """Run statements that write."""
        for statement in statements:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(statement) + "\n")
            self._process.stdin.flush()
            answer = self._read()
            assert answer == "done", f"{answer}\n{statement}"

    def ask(self, sql: str) -> Any:
        """The only value of a query that readers may not run."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"ask": sql}) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        assert answer[:1] in '[{"0123456789n', answer
        return json.loads(answer)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _serve(data_dir: str, options: dict[str, Any]) -> None:
    from modelspan.processor.clickhouse_http import ClickHouseHttp, Limits
    from modelspan.processor.store import Store

    store = Store.open(f"chdb://{data_dir}/store", database="modelspan")
    limits = Limits(seconds=options.pop("seconds", 20))
    server = ClickHouseHttp(store, limits=limits, **{"address": "127.0.0.1:0", **options})
    server.start()
    _say(server.port)
    for line in sys.stdin:
        try:
            statement = json.loads(line)
            if isinstance(statement, dict):
                _say(json.dumps(store.client().query(statement["ask"]).result_rows[0][0]))
            else:
                store.client().command(statement)
                _say("done")
        except Exception as error:
            _say(" ".join(str(error).split()))
    server.stop()
    store.close()
    if server.queries["abandoned"]:
        os._exit(0)


def _say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1], json.loads(sys.argv[2]))

"""`modelspan query` asks the service that the user means, also where several run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench.load import batch_template
from tests.e2e.conftest import BIN, Service
from tests.e2e.test_crash import Sender


def models(cwd: Path, **environment: str) -> list[str]:
    command = [BIN / "modelspan", "query", "models", "--format", "json"]
    done = subprocess.run(
        command, env={**os.environ, **environment}, cwd=cwd, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [row["model_name"] for row in json.loads(done.stdout)]


def test_a_named_data_directory_is_asked_before_a_service_elsewhere(
    make_service: Callable[..., Service], tmp_path: Path
) -> None:
    meant, other = make_service(), make_service().start()
    meant.start()
    for service, model in ((meant, "meant"), (other, "other")):
        sender = Sender(service.grpc, batch_template(model=model, rows=1, features=1), 0)
        sender.deliver(sender.template.request(0))
        service.wait_rows(1)
    elsewhere = {"MODELSPAN_CLICKHOUSE_HTTP__ADDRESS": f"127.0.0.1:{other.clickhouse}"}
    named = {"MODELSPAN_DATA_DIR": str(meant.data_dir)}
    (tmp_path / "modelspan.yaml").write_text(f"data_dir: {meant.data_dir}\n")

    assert models(other.data_dir, **elsewhere) == ["other"]
    assert models(other.data_dir, **named, **elsewhere) == ["meant"]
    assert models(tmp_path) == ["meant"]
    meant.kill()
    assert models(other.data_dir, **named) == ["meant"]

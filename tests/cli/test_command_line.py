"""The `modelspan` command as a user runs it, in processes of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateway import Gateway
from tests.queries import sample

NOWHERE = {"MODELSPAN_CLICKHOUSE_HTTP__ADDRESS": "127.0.0.1:1"}
Run = Callable[..., subprocess.CompletedProcess[str]]


def modelspan(
    *arguments: str, stdin: str = "", cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelspan.cli", *arguments],
        input=stdin,
        env={**os.environ, "COLUMNS": "120", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
    )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def gateway(data_dir: Path) -> Iterator[Gateway]:
    with Gateway(data_dir) as running:
        running.execute(*sample.ALL)
        yield running


@pytest.fixture
def run(gateway: Gateway, tmp_path: Path) -> Run:
    def ask(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return modelspan(
            *arguments, stdin=stdin, cwd=tmp_path, MODELSPAN_CLICKHOUSE_HTTP__ADDRESS=f"127.0.0.1:{gateway.port}"
        )

    return ask


def is_one_sentence(text: str) -> bool:
    return len(text.strip().splitlines()) == 1 and "Traceback" not in text


def test_help_and_version() -> None:
    shown = modelspan("--help")
    assert shown.returncode == 0
    assert [name for name in ("serve", "query", "sql") if f"  {name} " not in shown.stdout] == []
    assert modelspan("--version").stdout.startswith("modelspan ")
    assert modelspan().returncode == 2


def test_help_loads_no_part() -> None:
    code = "import sys, modelspan.cli as c; c.main(['--help']); sys.exit(any(m.startswith('modelspan.q') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_an_unknown_command_is_a_usage_error_with_a_hint() -> None:
    done = modelspan("qeury")
    assert (done.returncode, is_one_sentence(done.stderr)) == (2, True)
    assert "did you mean query?" in done.stderr


def test_a_part_that_is_not_installed_names_its_extra(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['yaml'] = None\n")
    done = modelspan("query", PYTHONPATH=str(tmp_path))
    assert (done.returncode, is_one_sentence(done.stderr)) == (1, True)
    assert "pip install 'modelspan[query]'" in done.stderr


def test_query_lists_every_query_with_its_parameters(run: Run) -> None:
    listed = run("query").stdout
    assert [name for name in ("drift_now", "slowest_predictions", "references") if f"\n{name}\n" not in listed] == []
    assert "required" in listed


def test_a_query_is_a_table_that_fits(run: Run) -> None:
    lines = run("query", "drift_now").stdout.splitlines()
    assert max(len(line) for line in lines if not line.startswith("(")) <= 120
    assert any("amount" in line and "drifted" in line for line in lines)


def test_a_query_is_json_and_csv(run: Run) -> None:
    arguments = ("query", "drift-now", "--param", "model=fraud", "-p", "status=drifted", "--format")
    (row,) = json.loads(run(*arguments, "json").stdout)
    assert (row["series_name"], row["effect"], row["smallest_effect"]) == ("amount", 0.4, None)
    names, values = csv.reader(io.StringIO(run(*arguments, "csv").stdout))
    assert dict(zip(names, values, strict=True))["series_name"] == "amount"


def test_sql_from_arguments_and_from_standard_input(run: Run) -> None:
    assert json.loads(run("sql", "SELECT count() AS n FROM ml_predictions", "--format", "json").stdout) == [{"n": 1210}]
    assert json.loads(run("sql", "-", "--format", "json", stdin="SELECT\n1 AS n; -- one\n").stdout) == [{"n": 1}]
    assert json.loads(run("sql", "SELECT {x:UInt8} AS n", "-p", "x=3", "--format", "json").stdout) == [{"n": 3}]


def test_a_format_clause_is_left_to_clickhouse(run: Run) -> None:
    assert run("sql", "SELECT 1 AS x FORMAT JSONEachRow").stdout == '{"x":1}\n'


def test_statements_that_are_no_select_can_be_read_too(run: Run) -> None:
    assert "ml_drift" in run("sql", "SHOW TABLES").stdout
    assert "model_name" in run("sql", "DESCRIBE TABLE ml_models").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("query", "drift_nwo"), "did you mean drift_now?"),
        (("query", "windows", "-p", "last=soon"), "a length of time"),
        (("query", "windows", "-p", "lasst=1h"), "did you mean last?"),
        (("query", "prediction"), "--param id=VALUE"),
        (("query", "windows", "-p", "last"), "NAME=VALUE"),
        (("sql", "-"), "no SQL"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_exit_code_2(run: Run, arguments: tuple[str, ...], says: str) -> None:
    done = run(*arguments)
    assert (done.returncode, is_one_sentence(done.stderr), done.stdout) == (2, True, "")
    assert says in done.stderr


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("SELECT nope", "Code: 47"),
        ("DROP TABLE ml_models", "READONLY"),
        ("SELECT sum(throwIf(number = 500000)) FROM numbers(1000000)", "395"),
    ],
)
def test_an_error_of_the_server_is_its_own_sentence_and_exit_code_1(run: Run, statement: str, says: str) -> None:
    done = run("sql", statement)
    assert (done.returncode, is_one_sentence(done.stderr)) == (1, True)
    assert says in done.stderr


def test_an_error_in_the_middle_of_a_result_is_not_silent(run: Run) -> None:
    done = run("sql", "SELECT throwIf(number = 900000) AS x FROM numbers(1000000)", "--format", "csv")
    assert (done.returncode, is_one_sentence(done.stderr)) == (1, True)
    assert "Code: 395" in done.stderr


def test_a_reader_that_stops_reading_is_no_error(run: Run, gateway: Gateway) -> None:
    command = f"{sys.executable} -m modelspan.cli sql 'SELECT number FROM numbers(1000000)' --format csv | head -2"
    environment = {**os.environ, "MODELSPAN_URL": gateway.url}
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], env=environment, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr, done.returncode) == (["number", "0"], "", 0)


def test_the_url_comes_from_the_flag_or_the_environment(gateway: Gateway, tmp_path: Path) -> None:
    assert "7" in modelspan("sql", "SELECT 7", "--url", gateway.url, cwd=tmp_path, **NOWHERE).stdout
    assert "7" in modelspan("sql", "SELECT 7", cwd=tmp_path, MODELSPAN_URL=gateway.url, **NOWHERE).stdout


def test_the_service_is_found_by_its_configuration_file(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "modelspan.yaml").write_text(f"clickhouse_http:\n  address: 127.0.0.1:{gateway.port}\n")
    assert "7" in modelspan("sql", "SELECT 7", cwd=tmp_path).stdout


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "chdb:///nowhere", "http://127.0.0.1:99999"])
def test_a_store_that_does_not_answer_is_named(url: str) -> None:
    done = modelspan("sql", "SELECT 1", "--url", url)
    assert (done.returncode, is_one_sentence(done.stderr)) == (1, True)
    assert url.removeprefix("chdb://") in done.stderr


def test_without_service_and_store_it_says_what_to_do(tmp_path: Path) -> None:
    done = modelspan("query", "models", cwd=tmp_path, **NOWHERE)
    assert (done.returncode, is_one_sentence(done.stderr)) == (1, True)
    assert "modelspan serve" in done.stderr


def test_a_store_that_another_process_holds_is_not_opened(gateway: Gateway, data_dir: Path) -> None:
    done = modelspan("query", "models", MODELSPAN_DATA_DIR=str(data_dir), **NOWHERE)
    assert (done.returncode, is_one_sentence(done.stderr)) == (1, True)
    assert "another process" in done.stderr


def test_the_data_directory_of_a_stopped_service_is_read_and_not_written(tmp_path: Path) -> None:
    with Gateway(tmp_path) as stopped:
        stopped.execute(*sample.ALL)
    offline = {"MODELSPAN_DATA_DIR": str(tmp_path), **NOWHERE}
    rows = json.loads(modelspan("query", "drift_now", "--format", "json", **offline).stdout)
    assert rows[0]["series_name"] == "amount"
    refused = modelspan("sql", "DROP TABLE ml_models", **offline)
    assert (refused.returncode, "READONLY" in refused.stderr) == (1, True)
    assert "ml_models" in modelspan("sql", "SHOW TABLES", **offline).stdout

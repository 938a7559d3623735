"""The `modelspan` command as a user runs it, in processes of its own."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from modelspan.processor.store import Store, StoreUnavailable
from modelspan.queries import catalog
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
    assert "install Modelspan with the extra 'query' (in a clone: pip install '.[query]')." in done.stderr


def test_query_lists_every_query_with_its_parameters(run: Run) -> None:
    listed = run("query").stdout
    assert [name for name in ("drift_now", "slowest_predictions", "references") if f"\n{name}\n" not in listed] == []
    assert "required" in listed


def on_a_terminal(*arguments: str, columns: int = 120, **environment: str) -> str:
    """Return what a command prints on a terminal of this width."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "modelspan.cli", *arguments],
        env={**os.environ, "COLUMNS": str(columns), **environment},
        stdin=subprocess.DEVNULL,
        stdout=end,
        stderr=end,
    )
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # how the end of a terminal is told
        while part := os.read(terminal, 65536):
            shown += part
    os.close(terminal)
    process.wait(60)
    return shown.decode().replace("\r\n", "\n")


def test_a_query_is_a_table_that_fits_the_terminal_and_a_pipe_gets_every_column(run: Run, gateway: Gateway) -> None:
    lines = on_a_terminal("query", "drift_now", "--url", gateway.url).splitlines()
    assert max(len(line) for line in lines if not line.startswith("(")) <= 120
    assert any("amount" in line and "drifted" in line for line in lines)
    assert any(line.startswith("(too narrow for these, add --format csv or | less -S: ") for line in lines)
    names = json.loads(run("query", "drift_now", "--format", "json").stdout)[0]
    assert run("query", "drift_now").stdout.splitlines()[0].split() == list(names)


HOSTILE = "'\x1b[2J\u202e\x9b1A\nmodelspan: all is well' AS \"h\x1b]0;t\x07\""


@pytest.mark.parametrize("form", ["table", "csv", "json", "TSVRaw"])
def test_nothing_that_is_stored_or_said_controls_the_terminal(gateway: Gateway, form: str) -> None:
    statement = f"SELECT {HOSTILE}" + (" FORMAT TSVRaw" if form == "TSVRaw" else "")
    ours = [] if form == "TSVRaw" else ["--format", form]
    shown = on_a_terminal("sql", statement, *ours, "--url", gateway.url)
    failed = on_a_terminal("sql", f"SELECT throwIf(1, {HOSTILE.partition(' AS ')[0]})", "--url", gateway.url)
    for text in (shown, failed, on_a_terminal("query", "\x1b[2J\x9b"), on_a_terminal("\x1b[2J\u202e")):
        assert text != ""
        assert [letter for letter in "\x1b\x9b\u202e\x07" if letter in text] == []
    assert "\nmodelspan: all is well" not in failed


def test_a_file_gets_what_is_stored(run: Run) -> None:
    assert run("sql", "SELECT '\x1b[2J\u202e' AS a", "--format", "csv").stdout == "a\n\x1b[2J\u202e\n"
    assert run("sql", "SELECT '\x1b[2J\u202e' AS a FORMAT TSVRaw").stdout == "\x1b[2J\u202e\n"


def test_letters_that_the_terminal_lacks_are_no_error(gateway: Gateway) -> None:
    done = modelspan("sql", "SELECT 'naïve 日本'", "--url", gateway.url, PYTHONIOENCODING="ascii")
    assert (done.returncode, "na\\xefve" in done.stdout, done.stderr) == (0, True, "")


@pytest.mark.parametrize(
    ("statement", "given", "value"),
    [
        ("SELECT 5 % 3 AS n", "x=1", 2),
        ("SELECT '%s %(x)s {}' AS n", "x=1", "%s %(x)s {}"),
        ("SELECT { x : UInt8 } % 2 AS n", "x=3", 1),
        ("SELECT {x:String} AS n", 'x=it\'s \\n\t50 % "$"', 'it\'s \\n\t50 % "$"'),
        ("SELECT {x:Nullable(String)} AS n", "x=a\\b", "a\\b"),
        ("SELECT {x:Array(String)} AS n", "x=['x','y']", ["x", "y"]),
        ("SELECT {x:Array(Array(UInt8))} AS n", "x=[[1],[2,3]]", [[1], [2, 3]]),
        ("SELECT {x:Map(String, Float64)} AS n", "x={'a':1.5}", {"a": 1.5}),
        ("SELECT {x:Tuple(String, UInt8)} AS n", "x=('it\\'s',7)", ["it's", 7]),
        ("SELECT {x:DateTime64(3, 'UTC')} AS n", "x=2025-01-01 00:00:00.5", "2025-01-01T00:00:00.500Z"),
        ("SELECT count() AS n FROM {x:Identifier}", "x=ml_predictions", 1210),
    ],
)
def test_a_parameter_means_what_curl_would_make_of_it(run: Run, statement: str, given: str, value: object) -> None:
    done = run("sql", statement, "--param", given, "--format", "json")
    assert (done.stderr, done.returncode) == ("", 0)
    assert json.loads(done.stdout) == [{"n": value}]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("groupArray(t)", ["2025-03-01T12:00:00.000000001Z"]),
        ("any([tuple(t, 1)])", [["2025-03-01T12:00:00.000000001Z", 1]]),
        ("any(map('k', [t]))", {"k": ["2025-03-01T12:00:00.000000001Z"]}),
        ("any(CAST(tuple(t, NULL), 'Tuple(a DateTime64(3, \\'UTC\\'), b Nullable(DateTime64(3)))'))",
            {"a": "2025-03-01T12:00:00.000Z", "b": None}),
        ("[toNullable(any(t)), NULL]", ["2025-03-01T12:00:00.000000001Z", None]),
        ("any([toDate(t)])", ["2025-03-01"]),
        ("any([toDateTime(t, 'UTC')])", ["2025-03-01T12:00:00Z"]),
        ("any(CAST(t, 'Variant(DateTime64(9, \\'UTC\\'), UInt8)'))", "2025-03-01T12:00:00Z"),
        ("[toUnixTimestamp64Nano(any(t))]", [1740830400000000001]),
    ],
)  # fmt: skip
def test_times_are_times_wherever_they_are_nested(run: Run, expression: str, value: object) -> None:
    statement = f"SELECT {expression} AS n FROM (SELECT toDateTime64('2025-03-01 12:00:00.000000001', 9, 'UTC') AS t)"
    done = run("sql", statement, "--format", "json")
    assert (done.stderr, json.loads(done.stdout)) == ("", [{"n": value}])


@pytest.mark.parametrize(
    ("statement", "is_left_to_clickhouse"),
    [
        ("SELECT 1 AS format", False),
        ("SELECT 1 AS x -- FORMAT JSON", False),
        ("SELECT 1 AS x /* FORMAT\nJSON */", False),
        ("SELECT 1 AS x WHERE 'FORMAT JSON' != ''", False),
        ("SELECT x AS FORMAT FROM (SELECT 1 AS x) ORDER BY FORMAT DESC", False),
        ("SELECT 1 AS x\nformat\tTSV -- as text;", True),
        ("SELECT 1 AS x FORMAT /* c */ TSV;  ", True),
    ],
)
def test_only_a_format_clause_is_one(run: Run, statement: str, is_left_to_clickhouse: bool) -> None:
    done = run("sql", statement, "--format", "json")
    assert done.stderr == ""
    assert (done.stdout == "1\n") == is_left_to_clickhouse
    assert is_left_to_clickhouse or list(json.loads(done.stdout)[0].values()) == [1]


def test_the_limit_holds_for_every_form(run: Run) -> None:
    statement = "SELECT number AS n FROM numbers(5000)"
    assert run("sql", statement, "--limit", "2", "--format", "csv").stdout.split() == ["n", "0", "1"]
    assert len(json.loads(run("sql", statement, "--limit", "3", "--format", "json").stdout)) == 3
    assert len(json.loads(run("sql", statement, "--format", "json").stdout)) == 5000
    assert "first 1000 rows" in run("sql", statement).stdout
    assert run("sql", statement, "--limit", str(10**18), "--format", "csv").stdout.split()[0] == "n"
    for form in ("table", "json", "csv"):
        refused = run("sql", statement, "--limit", "9" * 20, "--format", form)
        assert (refused.returncode, "expected one from 0 to 1000000000000000000" in refused.stderr) == (2, True)
    refused = run("sql", f"{statement} FORMAT TSV", "--limit", "2")
    assert (refused.returncode, is_one_sentence(refused.stderr), "LIMIT" in refused.stderr) == (2, True, True)


def test_where_nothing_is_found_the_names_are_there(run: Run) -> None:
    names, *rows = csv.reader(io.StringIO(run("query", "windows", "-p", "model=nosuch", "--format", "csv").stdout))
    assert (names[:2], rows) == (["window_start", "window_end"], [])
    assert run("query", "windows", "-p", "model=nosuch", "--format", "json").stdout == "[]\n"
    assert run("sql", "SELECT 1 AS a, 'b' WHERE 0", "--format", "csv").stdout == "a,'b'\n"


def test_a_prediction_that_is_not_stored_comes_with_what_is_known(run: Run) -> None:
    done = run("query", "prediction", "-p", "id=x", "-p", "model=fraud", "--format", "json")
    assert (done.stdout, done.returncode, is_one_sentence(done.stderr)) == ("[]\n", 0, True)
    assert "it may have been left out by sampling" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            "drift_now -p model=Fraud",
            "there is no model 'Fraud'; did you mean fraud? The store has LinearRegression, fraud, price.",
        ),
        ("windows -p service=shup", "there is no service 'shup'; did you mean shop?"),
        ("slowest_predictions -p model=fraud -p version=9", "there is no version '9'. The store has 1, 2."),
        (
            "feature_distribution -p model=fraud",
            "feature=NAME says which feature is meant. The store has amount, country.",
        ),
        ("feature_distribution -p model=fraud -p feature=Amount", "there is no feature 'Amount'; did you mean amount?"),
        ("feature_distribution -p model=fraud -p kind=score", "no series of the kind score was judged"),
        (
            "windows -p model=fraud -p until=2020-01-01",
            "until=2020-01-01 00:00:00.000 is before the first window, which is of 2025-",
        ),
        (
            "drift_now -p model=fraud -p at=2020-01-01",
            "at=2020-01-01 00:00:00.000 is before the first window, which is of 2025-",
        ),
        (
            "slowest_predictions -p model=fraud -p until=2020-01-01T00:00",
            "is before the first prediction, which is of 2025-",
        ),
        ("drift_over_time -p feature=amuont", "there is no series 'amuont'; did you mean amount?"),
    ],
)
def test_a_query_that_finds_nothing_says_which_name_the_store_does_not_know(
    run: Run, arguments: str, says: str
) -> None:
    done = run("query", *arguments.split(), "--format", "json")
    assert (done.stdout, done.returncode, is_one_sentence(done.stderr)) == ("[]\n", 0, True)
    assert says in done.stderr


def test_a_query_that_rightly_finds_nothing_says_nothing(run: Run) -> None:
    done = run("query", "drift_now", "-p", "status=no_reference", "-p", "model=fraud", "--format", "json")
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)


def test_before_anything_is_stored_or_judged_a_query_says_so(tmp_path: Path) -> None:
    with Gateway(tmp_path) as empty:
        for name in (name for name in catalog() if name not in ("prediction", "prediction_missing")):
            required = ("-p", "model=fraud") if name == "feature_distribution" else ()
            done = modelspan("query", name, *required, cwd=tmp_path, MODELSPAN_URL=empty.url)
            assert done.stderr == "modelspan: no prediction is stored yet.\n"
        empty.execute(sample.PREDICTIONS)
        done = modelspan("query", "drift_now", cwd=tmp_path, MODELSPAN_URL=empty.url)
        assert done.stderr.startswith(
            "modelspan: 1,200 predictions are stored, but no window of them has been judged yet"
        )


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
        (("query", "windows", "-p", "model=a", "-p", "model=b"), "--param model is given twice"),
        (("sql", "delete from ml_windows"), "DELETE is no statement that reads"),
        (("sql", "\n USE system"), "USE is no statement that reads"),
        (("sql", "-"), "no SQL"),
        (("sql", " ; "), "no SQL"),
        (("sql", "SELECT 1", "--formt", "csv"), "unrecognized arguments: --formt csv"),
        (("sql", "SELECT 1", "--\x1b[2J"), "unrecognized arguments: --\\u001b[2J"),
        (("query", "windows", "--format", "yaml"), "'table', 'json', 'csv'"),
        (("serve", "--prot", "1"), "unrecognized arguments: --prot"),
        (("sql", "SELECT 1", "-p", "*/ x=1"), "NAME=VALUE"),
        (("sql", "SELECT '\udcff'"), "UTF-8"),
        (
            ("query", "drift_now", "-p", "status=drfited"),
            "drifted, ok, insufficient_data, no_reference; did you mean drifted?",
        ),
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
        ("SELECT {x:UInt8}", "Code: 456"),
        ("SELECT {x:", "Code: 62"),
        ("SELECT 1; SELECT 2", "Code: 62"),
        ("SELECT 1 FORMAT Nonsense", "Nonsense"),
        (
            "SELEC 1",
            "Code: 62. DB::Exception: Syntax error: failed at position 7 (1) (line 1, col 7): 1. (SYNTAX_ERROR)\n",
        ),
        ("DROP TABLE ml_models", "READONLY"),
        ("SELECT {x:UInt8}, nope", "Substitution `x` is not set. (UNKNOWN_QUERY_PARAMETER)\n"),
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


def test_https_is_never_spoken_in_clear_whatever_the_port() -> None:
    """A password would be read by whoever listens."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(1)
                        with contextlib.suppress(OSError):
                            heard.append(connection.recv(1)[:1])

        threading.Thread(target=listen, daemon=True).start()
        url = f"https://me:secret@127.0.0.1:{listener.getsockname()[1]}"
        done = modelspan("sql", "SELECT 1", "--url", url)
        with pytest.raises(StoreUnavailable):
            Store.open(url)
    assert {first for first in heard if first} == {b"\x16"}  # a TLS handshake; P of POST would be clear text
    assert (done.returncode, is_one_sentence(done.stderr), "secret" in done.stderr) == (1, True, False)


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:1", "nonsense", "chdb:///nowhere", "http://127.0.0.1:99999", "http://127.0.0.1:99999x"),
        *("http://[::1", "http://", "chdb:///", "ftp://127.0.0.1"),
    ],
)
def test_a_store_that_does_not_answer_is_named(url: str) -> None:
    done = modelspan("sql", "SELECT 1", "--url", url)
    assert (done.returncode, is_one_sentence(done.stderr)) == (1, True)
    assert url.removeprefix("chdb://") in done.stderr


def test_a_directory_that_is_no_store_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    done = modelspan("sql", "SELECT 1", "--url", f"chdb://{tmp_path}")
    assert (done.returncode, done.stderr) == (1, f"modelspan: There is no store in {tmp_path}.\n")
    assert list(tmp_path.iterdir()) == []


def test_a_url_with_an_option_that_the_driver_lacks_is_one_sentence(gateway: Gateway) -> None:
    done = modelspan("sql", "SELECT 1", "--url", f"{gateway.url}/?nosuch=1")
    assert (done.returncode, is_one_sentence(done.stderr), "nosuch" in done.stderr) == (1, True, True)


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


def test_a_port_that_speaks_something_else_is_said_in_one_sentence() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    for scheme in ("http", "https"):
        done = modelspan("sql", "SELECT 1", "--url", f"{scheme}://127.0.0.1:{port}")
        assert (done.returncode, is_one_sentence(done.stderr)) == (1, True)
        assert f"{scheme}://127.0.0.1:{port} does not answer as ClickHouse's HTTP interface does" in done.stderr
    server.stop(None)

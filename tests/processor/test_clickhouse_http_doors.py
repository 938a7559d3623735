"""No query leaves the store: every function, table function, format, setting and engine that there is, tried as a door.

The names come from the engine, so those of a new version are tried too. Behind the doors are a secret in a file and in the
environment of the service, a directory in which nothing may appear, and a port to which nobody may connect.
"""

from __future__ import annotations

import http.client
import re
import secrets
import socket
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.gateway import Gateway

ENVIRONMENT = "/proc/self/environ"


class House:
    """A running gateway, and what must not be reached from it."""

    def __init__(self, gateway: Gateway, directory: Path, secret: str, port: int) -> None:
        self.gateway = gateway
        self.secret = secret
        self.file = directory / "secret.txt"
        self.server = f"127.0.0.1:{port}"
        self.connections = 0
        self._directory = directory
        self._of_thread = threading.local()
        self._tables = self._contents()

    def names(self, sql: str) -> list[str]:
        """Values of a query that readers may run."""
        return self.ask(f"{sql} FORMAT TSVRaw").splitlines()

    def ask(self, sql: str, **params: str) -> str:
        """The answer's body, read with the standard library's client: there are thousands of questions."""
        if not hasattr(self._of_thread, "client"):
            self._of_thread.client = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=60)
        client: http.client.HTTPConnection = self._of_thread.client
        try:
            client.request("POST", f"/?{urlencode(params)}", sql.encode())
            answer = client.getresponse()
        except (http.client.HTTPException, OSError):  # it was closed, as nothing was asked for long
            client.close()
            client.request("POST", f"/?{urlencode(params)}", sql.encode())
            answer = client.getresponse()
        return answer.read().decode(errors="replace")

    def try_all(self, queries: Iterable[str | tuple[str, dict[str, str]]]) -> dict[str, str]:
        """Answers by query. Fails for one with the secret in it, for a file that appeared and a connection that was made."""

        def answer(query: str | tuple[str, dict[str, str]]) -> tuple[str, str]:
            sql, params = query if isinstance(query, tuple) else (query, {})
            return f"{sql} {params or ''}", self.ask(sql, **params)

        with ThreadPoolExecutor(4) as pool:
            answers = dict(pool.map(answer, queries))
        assert len(answers) > 0
        assert [query for query, text in answers.items() if self.secret in text] == []
        assert sorted(path.name for path in self._directory.iterdir()) == ["secret.txt"]
        assert self.connections == 0
        assert self._contents() == self._tables
        return answers

    def _contents(self) -> object:
        listed = "SELECT groupArray(concat(database, '.', name)) FROM (SELECT * FROM system.{} ORDER BY ALL)"
        return [
            self.gateway.ask(listed.format("tables WHERE database NOT IN ('system')")),
            self.gateway.ask("SELECT groupArray(name) FROM (SELECT name FROM system.databases ORDER BY name)"),
            self.gateway.ask("SELECT count() FROM system.functions WHERE origin != 'System'"),
        ]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    secret = secrets.token_hex(16)
    directory = tmp_path_factory.mktemp("canary")
    (directory / "secret.txt").write_text(f"{secret}\n")
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELSPAN_CANARY", secret)
        with Gateway(tmp_path_factory.mktemp("doors"), cwd=directory, seconds=5) as gateway:
            gateway.execute("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a", "INSERT INTO t VALUES ('x')")
            house = House(gateway, directory, secret, listening.getsockname()[1])
            threading.Thread(target=_count_connections, args=(listening, house), daemon=True).start()
            yield house


def _count_connections(listening: socket.socket, house: House) -> None:
    while True:
        try:
            listening.accept()[0].close()
        except OSError:
            return
        house.connections += 1


def test_the_traps_work(house: House) -> None:
    for path in (house.file, ENVIRONMENT):
        content = house.gateway.ask(f"SELECT hex(file('{path}'))")
        assert house.secret in bytes.fromhex(content).decode(errors="replace")


def _refused(answer: str) -> bool:
    return answer.startswith("Code: 164.") or answer.startswith("Code: 46.")


def test_no_function_reads_a_file_however_it_is_named(house: House) -> None:
    names = [*house.names("SELECT name FROM system.functions"), "noSuchFunction", "file2"]
    assert len(names) > 1500
    direct = [f"SELECT `{name}`('{house.file}')" for name in names]
    called = house.try_all(direct)
    refused = [(name, called[f"{query} "]) for name, query in zip(names, direct, strict=True)]
    withheld = [name for name, text in refused if _refused(text) and "time zone" not in text]
    assert {"file", "hostName", "noSuchFunction"} <= {*withheld} < {*names}
    computing = {*house.names("SELECT name FROM system.functions WHERE NOT is_aggregate")} - {*withheld}
    house.try_all(f"SELECT `{name}`({arguments})" for name in computing for arguments in _arguments(house))
    answers = house.try_all(form for name in withheld for form in _forms(name, str(house.file)))
    assert [query for query, text in answers.items() if not text.startswith("Code: ")] == []


def _arguments(house: House) -> list[str]:
    return [f"'{ENVIRONMENT}', '{house.file}'", f"'{house.server}', 'system', 'one'"]


def _forms(name: str, path: str) -> list[str]:
    values = f"(SELECT '{path}' AS a)"
    return [
        f"SELECT arrayMap(`{name}`, ['{path}'])",
        f"SELECT arrayMap(x -> `{name}`(x), ['{path}'])",
        f"SELECT arrayFilter({name.upper()}, ['{path}'])",
        f"WITH `{name}` AS f SELECT arrayMap(f, ['{path}'])",
        f"WITH (x -> `{name}`(x)) AS f SELECT f('{path}')",
        f"SELECT * APPLY `{name}` FROM {values}",
        f"SELECT * APPLY (x -> `{name}`(x)) FROM {values}",
        f"SELECT COLUMNS('a') APPLY `{name}` FROM {values}",
        f"SELECT s.* REPLACE (`{name}`(a) AS a) FROM {values} AS s",
        f"SELECT a FROM {values} ORDER BY `{name}`(a)",
        f"SELECT throwIf(1, 'x') FROM {values} WHERE ignore(`{name}`(a))",
        f"SELECT count() OVER (PARTITION BY `{name}`(a)) FROM {values}",
        f"SELECT a IN (`{name}`('{path}')) FROM {values}",
        f"EXPLAIN SYNTAX SELECT `{name}`('{path}')",
        f"DESCRIBE (SELECT `{name}`('{path}'))",
        f"SELECT 1 FROM t SETTINGS additional_table_filters = {{'t': '`{name}`(a) = a'}}",
    ]


def test_no_table_function_reads_a_file_or_opens_a_connection(house: House) -> None:
    names = house.names("SELECT name FROM system.table_functions")
    assert len(names) > 80
    answers = house.try_all(form for name in [*names, "noSuchTable"] for form in _table_forms(name, house))
    assert sum(_refused(text) for text in answers.values()) > len(names)


def _table_forms(name: str, house: House) -> Iterator[str]:
    for arguments in (
        f"'{house.file}', 'LineAsString'",
        f"'http://{house.server}/x', 'LineAsString', 'a String'",
        f"'{house.server}', 'd', 't', 'u', 'p'",
        f"'{house.server}', system.one",
    ):
        yield f"SELECT * FROM `{name}`({arguments})"
        yield f"DESCRIBE TABLE `{name}`({arguments})"
    call = f"`{name}`('{house.file}', 'LineAsString')"
    yield f"SELECT * FROM view(SELECT * FROM {call})"
    yield f"SELECT 1 IN {call}"
    yield f"SELECT 1 IN (SELECT * FROM {call})"
    yield f"EXPLAIN SELECT * FROM {call}"
    yield f"EXPLAIN TABLE OVERRIDE {call} PARTITION BY tuple()"
    yield f"WITH x AS (SELECT * FROM {call}) SELECT * FROM x"
    yield f"SELECT * FROM t JOIN {call} AS f ON 1"


@pytest.mark.parametrize("database", ["", "default", "system", "modelspan", "information_schema"])
def test_no_name_of_a_table_is_a_path(house: House, database: str) -> None:
    paths = [
        str(house.file),
        "secret.txt",
        "./secret.txt",
        ENVIRONMENT,
        f"file://{house.file}",
        f"http://{house.server}/x",
        "*",
    ]
    answers = house.try_all(
        (sql, {"database": database} if database else {})
        for path in paths
        for name in (f"`{path}`", f"'{path}'", f"default.`{path}`", f'default."{path}"', f"system.`{path}`")
        for sql in (
            f"SELECT * FROM {name}",
            f"EXISTS TABLE {name}",
            f"EXISTS VIEW {name}",
            f"DESCRIBE TABLE {name}",
            f"SHOW CREATE TABLE {name}",
            f"SHOW COLUMNS FROM {name}",
            f"SHOW INDEXES FROM {name}",
            f"SELECT 1 IN {name}",
            f"SELECT joinGet({name}, 'a', 1)",
            f"USE {name}",
            f"SHOW TABLES FROM {name}",
            f"CHECK TABLE {name}",
        )
    )
    found = [query for query, text in answers.items() if query.startswith("EXISTS") and text.strip() == "1"]
    assert found == []


def test_no_identifier_given_as_a_parameter_is_a_path_or_a_function(house: House) -> None:
    column = "SELECT {c:Identifier} FROM {d:Identifier}.{t:Identifier}"
    assert house.ask(column, param_c="a", param_d="modelspan", param_t="t") == "x\n"
    assert house.ask("DESCRIBE TABLE {t:Identifier}", param_t="t").startswith("a\tString")
    path = str(house.file)
    answers = house.try_all(
        [
            ("SELECT * FROM {t:Identifier}", {"param_t": path, "database": "default"}),
            ("SELECT * FROM default.{t:Identifier}", {"param_t": path}),
            ("SELECT * FROM {d:Identifier}.{t:Identifier}", {"param_d": "default", "param_t": path}),
            ("SELECT * FROM {d:Identifier}.{t:Identifier}", {"param_d": "system", "param_t": "processes"}),
            ("SELECT arrayMap({f:Identifier}, [{p:String}])", {"param_f": "file", "param_p": path}),
            ("SELECT * APPLY {f:Identifier} FROM t", {"param_f": "file"}),
            ("SELECT {f:Identifier}", {"param_f": "a`, file('x') AS `b"}),
            ("SELECT * FROM {t:Identifier}", {}),
        ]
    )
    assert all(text.startswith("Code: ") for text in answers.values()), answers


def test_no_format_reads_or_writes_a_file(house: House) -> None:
    target = house.file.with_name("written")
    names = house.names("SELECT name FROM system.formats")
    answers = house.try_all(
        query
        for name in names
        for query in (
            f"SELECT a FROM t FORMAT {name}",
            ("SELECT a FROM t", {"default_format": name}),
            f"SELECT a FROM t INTO OUTFILE '{target}' FORMAT {name}",
            f"SELECT a FROM t INTO OUTFILE '{target}' APPEND AND STDOUT COMPRESSION 'none' FORMAT {name}",
            f"INSERT INTO t FROM INFILE '{house.file}' FORMAT {name}",
            f"SELECT * FROM format({name}, '{house.file}')",
            f"SELECT formatRow('{name}', a) FROM t",
            f"SELECT formatRow('{name}', a) FROM t SETTINGS format_template_row = '{house.file}', format_schema = '{house.file}'",
        )
    )
    assert "written" not in str(sorted(house.file.parent.iterdir()))
    assert _refused(answers["SELECT formatRow('Template', a) FROM t "])


def test_no_setting_names_a_file_or_a_server(house: House) -> None:
    names = house.names("SELECT name FROM system.settings")
    assert len(names) > 1000
    house.try_all(("SELECT formatRow('CSV', a) FROM t", {name: str(house.file)}) for name in names)
    texts = house.names("SELECT name FROM system.settings WHERE type = 'String' OR type LIKE 'Map%'")
    house.try_all(f"SELECT a FROM t SETTINGS {name} = '{house.file}'" for name in texts)
    switched = house.try_all(f"SELECT getSetting('readonly') SETTINGS {name} = 1" for name in names)
    assert {text.strip() for text in switched.values() if not text.startswith("Code: ")} <= {"1", ""}


def test_no_engine_and_no_source_can_be_made(house: House) -> None:
    house.try_all(
        [
            *(
                f"CREATE {kind} x (a String) ENGINE = {name}('{house.file}', 'LineAsString')"
                for name in house.names("SELECT name FROM system.table_engines")
                for kind in ("TABLE", "TEMPORARY TABLE")
            ),
            *(
                f"CREATE DATABASE x ENGINE = {name}('{house.server}', 'd', 'u', 'p')"
                for name in house.names("SELECT name FROM system.database_engines")
            ),
            *(
                f"CREATE DICTIONARY x (a String) PRIMARY KEY a SOURCE({name}(PATH '{house.file}' URL 'http://{house.server}'))"
                " LAYOUT(DIRECT())"
                for name in ("file", "http", "clickhouse", "executable", "null", "mysql", "redis")
            ),
        ]
    )


def test_no_statement_but_those_that_read_is_run(house: House) -> None:
    kinds = house.names("SELECT name FROM system.statements")
    examples = " ".join(house.names("SELECT concat(syntax, ' ', description) FROM system.statements"))
    written = [part.strip(" `;\\n") for part in re.split(r"```\\w*|;|\\\\n\\\\n", examples)]
    keywords = house.names("SELECT keyword FROM system.keywords")
    bodies = [
        "",
        "x",
        "TABLE t",
        "DATABASE modelspan",
        "FUNCTION f AS x -> x",
        f"t FROM INFILE '{house.file}'",
        "QUERY WHERE 1",
    ]
    statements = [f"{kind} {body}" for kind in kinds for body in bodies]
    house.try_all([*statements, *(f"EXPLAIN {text}" for text in statements), *written])
    house.try_all(f"{word} TABLE t" for word in keywords)


def test_system_tables_say_nothing_of_the_machine_or_of_others(house: House) -> None:
    names = house.names("SELECT name FROM system.tables WHERE database = 'system'")
    assert len(names) > 100
    house.try_all(f"SELECT * FROM system.{name} LIMIT 2000" for name in names)
    for name in ("processes", "server_settings", "stack_trace", "users", "named_collections", "macros", "certificates"):
        forms = [f"SELECT * FROM system.{name}", f"SELECT 1 IN system.{name}", f"DESCRIBE TABLE system.{name}"]
        assert all(_refused(house.ask(sql)) for sql in forms), name
        assert _refused(house.ask(f"SELECT * FROM {name}", database="system")), name
        hidden = f"SELECT * FROM (WITH {name} AS (SELECT 1) SELECT 1) AS a, {name}"
        assert _refused(house.ask(hidden, database="system")), name
    assert house.ask("WITH c AS (SELECT 5) SELECT * FROM c", database="system") == "5\n"


def _zoned(path: str) -> Iterator[str | tuple[str, dict[str, str]]]:
    named = f"DateTime(''{path}'')"
    yield from (
        f"SELECT {call}"
        for call in (
            f"toDateTime(0, '{path}')",
            f"toDateTime(0, concat('{path[:2]}', '{path[2:]}'))",
            f"toDateTime(0, (SELECT '{path}'))",
            f"now('{path}')",
            f"NOW('{path}')",
            f"now64(3, '{path}')",
            f"now() AT TIME ZONE '{path}'",
            f"toString(now(), '{path}')",
            f"addDays(now(), 1, '{path}')",
            f"toInt32OrNull('1', '{path}')",
            f"toDecimal32OrNull('{path}')",
            f"date_diff('day', now(), now(), '{path}')",
            f"makeDateTime(1, 1, 1, 1, 1, 1, '{path}')",
            f"toStartOfInterval(now(), INTERVAL 5 MINUTE, '{path}')",
            f"CAST(0 AS DateTime('{path}'))",
            f"0::Nullable(DateTime64(3, '{path}'))",
            f"CAST(0, '{named}')",
            f"CAST(0, '{named.replace('Time', 'Time/**/')}')",
            f"CAST(0, concat('DateTime(', '''{path}'')'))",
            f"accurateCast(0, concat('DateTime(', '''{path}'')'))",
            f"toTypeName(CAST(0 AS TIMESTAMP('{path}')))",
            f"JSONExtract('[1]', 1, '{named}')",
            f"JSONExtract('[1]', 1, concat('DateTime(', '''{path}'')'))",
            f"defaultValueOfTypeName('{named}')",
            f"getSubcolumn(1::Dynamic, concat('DateTime(', '''{path}'')'))",
            f"d.`DateTime('{path}')` FROM (SELECT 1::Dynamic AS d)",
            f"* FROM values('a {named}', 0)",
            f"* FROM values(concat('a ', '{named}'), 0)",
            f"* FROM generateRandom('a {named}') LIMIT 1",
            f"* FROM format(TSV, 'a {named}', '0')",
            f"now() SETTINGS session_timezone = '{path}'",
        )
    )
    yield f"WITH '{path}' AS z SELECT toDateTime(0, z)"
    yield f"WITH '{named}' AS z SELECT CAST(0, z)"
    yield "SELECT now()", {"session_timezone": path}
    yield "SELECT toDateTime(0, {z:String})", {"param_z": path}
    yield f"SELECT {{a:DateTime('{path}')}}", {"param_a": "0"}
    yield "SELECT CAST(0, {a:String})", {"param_a": f"DateTime('{path}')"}


def test_no_time_zone_is_a_path(house: House) -> None:
    paths = ["file:/nowhere/x", "/nowhere/x", "../../../nowhere/x"]
    answers = house.try_all(query for path in paths for query in _zoned(path))
    assert [query for query, text in answers.items() if not _refused(text)] == []


def test_time_zones_that_are_written_out_are_taken(house: House) -> None:
    answer = house.ask("SELECT CAST(0, {a:String})", param_a="DateTime('Asia/Tokyo')", session_timezone="Europe/Berlin")
    assert answer == "1970-01-01 09:00:00\n"
    assert house.ask("SELECT toDateTime(0, {z:String})", param_z="Asia/Tokyo") == "1970-01-01 09:00:00\n"
    for sql, value in (
        ("toTimeZone(toDateTime(0, 'UTC'), 'Asia/Tokyo')", "1970-01-01 09:00:00"),
        ("formatDateTime(toDateTime(0, 'UTC'), '%d/%m/%Y', 'Europe/Berlin')", "01/01/1970"),
        ("dateDiff('second', toDateTime(a, ''), toDateTime(b, 'UTC')) FROM (SELECT 0 AS a, 5 AS b)", "5"),
        ("toStartOfInterval(toDateTime(301), INTERVAL 5 MINUTE, 'UTC')", "1970-01-01 00:05:00"),
        ("dateTrunc('hour', toDateTime(3601), 'UTC')", "1970-01-01 01:00:00"),
        ("addDays(toDate(0), number) FROM numbers(1, 1)", "1970-01-02"),
        ("makeDate(y, y - 1969, y - 1968) FROM (SELECT 1970 AS y)", "1970-01-02"),
        ("toInt32OrDefault('x', y) FROM (SELECT 7::Int32 AS y)", "7"),
        ("formatRow('CSV', number, concat('/', 'x')) FROM numbers(1)", '0,"/x"\\n'),
        ("'file:/x' = concat('file:', '/x')", "1"),
    ):
        assert house.ask(f"SELECT {sql}") == f"{value}\n", sql


def test_functions_that_no_limit_stops_are_withheld(house: House) -> None:
    listed = house.names("SELECT name FROM system.functions WHERE NOT is_aggregate")
    names = [
        name for name in listed if re.search(r"(?i)editdist|levenshtein|^jaro|stringJaccard|arraySimilarity", name)
    ]
    assert {"editDistance", "levenshteinDistanceUTF8", "jaroWinklerSimilarity", "stringJaccardIndex"} < {*names}
    for name in names:
        assert f"no limit of time stops the function {name}" in house.ask(f"SELECT {name}('a', 'b')")


def test_the_files_of_requests_that_were_quarantined_are_listed(house: House) -> None:
    sql = "SELECT time, ml_quarantined.file, table, rows, reason FROM ml_quarantined ORDER BY time DESC"
    house.gateway.execute(
        "CREATE TABLE ml_quarantined_copy AS ml_quarantined",
        "INSERT INTO ml_quarantined_copy (file) VALUES ('1.logs.pb')",
    )
    assert not house.ask(sql).startswith("Code: ")
    assert "1.logs.pb" in house.ask(sql.replace("ml_quarantined", "ml_quarantined_copy"))
    house.gateway.execute("DROP TABLE ml_quarantined_copy")


def test_introspection_of_the_usual_clients_works(house: House) -> None:
    for sql in (
        "SELECT version(), timezone()",
        "SELECT name, value, readonly FROM system.settings WHERE name = 'max_threads'",
        "SELECT currentUser() AS user, timezone() AS timezone, version() AS version, getSetting('session_timezone') AS zone",
        "SELECT name, engine FROM system.tables WHERE database = currentDatabase()",
        "SELECT database, table, name, type, position FROM system.columns WHERE table LIKE 't'",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'modelspan'",
        "SELECT table_name, column_name FROM INFORMATION_SCHEMA.COLUMNS WHERE table_name = 't'",
        "SELECT name FROM system.data_skipping_indices",
        "SELECT name, free_space FROM system.disks",
        "SELECT name, case_insensitive FROM system.functions WHERE name = 'sum'",
        "SELECT * FROM system.clusters",
        "SELECT sum(rows) FROM system.parts WHERE active",
        "SELECT uptime() AS uptime",
        "SHOW DATABASES",
        "SHOW TABLES FROM modelspan LIKE 't'",
        "SHOW FULL TABLES FROM modelspan",
        "SHOW COLUMNS FROM t",
        "SHOW CREATE TABLE t",
        "SHOW CREATE DATABASE modelspan",
        "SHOW FUNCTIONS LIKE 'sum'",
        "SHOW SETTINGS LIKE 'max_threads'",
        "EXISTS TABLE modelspan.t",
        "EXISTS DATABASE modelspan",
        "DESCRIBE TABLE modelspan.t",
        "DESC t SETTINGS describe_compact_output = 1",
        "DESCRIBE (SELECT 1 AS a)",
        "EXPLAIN SELECT a FROM t",
        "EXPLAIN PLAN indexes = 1 SELECT a FROM t",
        "EXPLAIN PIPELINE SELECT a FROM t",
        "EXPLAIN AST SELECT 1",
        "EXPLAIN ESTIMATE SELECT a FROM t",
        "USE default",
        "USE system",
        "SELECT 1 AS file, 2 AS hostname, 3 AS url ORDER BY hostname, url",
        "SELECT s.file FROM (SELECT 1 AS file) AS s",
        "SELECT CASE a WHEN 'x' THEN 1 ELSE 2 END, a LIKE '%x', if(a = 'x', 1, 2) FROM t GROUP BY ALL ORDER BY ALL",
        "SELECT number, runningDifference(number), neighbor(number, 1) FROM numbers(3)"
        " SETTINGS allow_deprecated_error_prone_window_functions = 1",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT sum(n) FROM r",
        "SELECT sumIf(number, number > 1), quantilesTDigest(0.5, 0.9)(number), uniqCombined64State(number) FROM numbers(9)",
        "SELECT arrayMap((x, y) -> x + y, [1, 2], [3, 4]), arrayReduce('sumIf', [1, 2], [1, 0])",
        "SELECT x, lagInFrame(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (SELECT 1 AS x)",
        "SELECT * EXCEPT a, COLUMNS('a') APPLY upper APPLY (x -> lower(x)) FROM t",
        "FROM t SELECT a",
    ):
        answer = house.ask(sql)
        assert not answer.startswith("Code: "), f"{sql}: {answer}"


def test_the_examples_of_functions_that_only_compute_are_run(house: House) -> None:
    listed = house.names("SELECT replaceAll(examples, '\\n', '\\\\n') FROM system.functions WHERE examples != ''")
    found = [
        part.replace("\\n", "\n") for text in listed for part in re.findall(r"```sql[^`]*?\\n(SELECT[^`;]*)", text)
    ]
    assert len(found) > 1000
    answers = house.try_all(found[::3])
    assert sum(_refused(text) for text in answers.values()) < 0.08 * len(answers)

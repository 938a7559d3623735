"""ClickHouse's HTTP protocol on the embedded store, asked by real clients."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import lz4.block
import pyarrow as pa
import pyarrow.parquet
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from modelspan.processor.clickhouse_http.cityhash import city_hash_128
from tests.gateway import Gateway

ENDLESS = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1"
FAILS_LATE = "SELECT throwIf(number = 900000) AS x FROM numbers(1000000)"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("http"), seconds=10) as running:
        running.execute(
            "CREATE TABLE rides (id UInt64, city LowCardinality(String), price Nullable(Float64), tags Map(String, Float64),"
            " at DateTime64(9, 'UTC')) ENGINE = MergeTree ORDER BY id",
            "INSERT INTO rides SELECT number, ['Rome', 'Oslo'][number % 2 + 1], if(number % 3 = 0, NULL, number / 4),"
            " map('a', number), toDateTime64(number, 9, 'UTC') FROM numbers(200000)",
        )
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Any]:
    with clickhouse_connect.get_client(host="127.0.0.1", port=gateway.port) as connected:
        yield connected


def ask(gateway: Gateway, sql: str, headers: dict[str, str] | None = None, **params: str) -> httpx.Response:
    return httpx.post(gateway.url, params=params, content=sql, headers=headers, timeout=30)


def test_ping_and_the_bare_address_say_ok(gateway: Gateway) -> None:
    assert httpx.get(f"{gateway.url}/ping").text == "Ok.\n"
    assert httpx.get(gateway.url).text == "Ok.\n"


def test_clickhouse_connect_reads_rows_of_every_kind_of_type(client: Any) -> None:
    rows = client.query("SELECT * EXCEPT at FROM rides WHERE id < 3 ORDER BY id").result_rows
    assert rows == [(0, "Rome", None, {"a": 0.0}), (1, "Oslo", 0.25, {"a": 1.0}), (2, "Rome", 0.5, {"a": 2.0})]


def test_clickhouse_connect_binds_parameters_on_the_server(client: Any) -> None:
    given = {"number": 3, "text": "a\tb'c\\d\né", "list": ["x", "y"]}
    query = "SELECT {number:UInt8}, {text:String}, {list:Array(String)}"
    assert client.query(query, parameters=given).result_rows == [tuple(given.values())]


def test_a_parameter_too_long_for_a_url_arrives(client: Any) -> None:
    text = "long" * 50_000
    assert client.query("SELECT {text:String}", parameters={"text": text}).result_rows == [(text,)]


def test_clickhouse_connect_reads_a_data_frame_of_all_rows(client: Any) -> None:
    frame = client.query_df("SELECT id, city, at FROM rides ORDER BY id")
    assert list(frame["id"]) == list(range(200_000))
    assert set(frame["city"]) == {"Rome", "Oslo"}


def test_clickhouse_connect_reads_arrow(client: Any) -> None:
    assert client.query_arrow("SELECT id, price FROM rides").num_rows == 200_000


def test_the_columns_of_an_empty_result_are_known_by_limit_0(client: Any) -> None:
    assert client.query("SELECT id, city FROM rides LIMIT 0").column_names == ("id", "city")
    assert client.query("SELECT id FROM rides WHERE id > 1000000").result_rows == []


@pytest.mark.parametrize("compress", [False, "gzip", "lz4", True])
def test_clickhouse_connect_may_ask_for_compression(gateway: Gateway, compress: bool | str) -> None:
    with clickhouse_connect.get_client(host="127.0.0.1", port=gateway.port, compress=compress) as client:
        assert client.query("SELECT sum(id) FROM rides").result_rows == [(19999900000,)]


def test_the_database_is_that_of_the_store_unless_another_is_named(gateway: Gateway) -> None:
    assert ask(gateway, "SELECT currentDatabase()").text == "modelspan\n"
    assert ask(gateway, "SELECT currentDatabase()", database="system").text == "system\n"
    assert ask(gateway, "SELECT currentDatabase()", database="default").text == "modelspan\n"
    assert ask(gateway, "SELECT 1", database="nope").headers["x-clickhouse-exception-code"] == "81"


def test_use_is_forgotten_with_the_request(gateway: Gateway) -> None:
    assert ask(gateway, "USE system").status_code == 200
    assert ask(gateway, "SELECT currentDatabase()").text == "modelspan\n"


def test_curl_asks_by_url_and_by_body(gateway: Gateway) -> None:
    def curl(*arguments: str) -> str:
        return subprocess.run(
            ["curl", "-sS", "--globoff", *arguments], capture_output=True, text=True, check=True
        ).stdout

    assert curl(f"{gateway.url}/?query=SELECT%201%2B1") == "2\n"
    assert curl(gateway.url, "-d", "SELECT 'a', 1 FORMAT CSV") == '"a",1\n'
    assert curl(f"{gateway.url}/?param_x=4", "-d", "SELECT {x:UInt8} + 1") == "5\n"
    assert curl(f"{gateway.url}/?query=SELECT", "-d", "7") == "7\n"
    assert curl(f"{gateway.url}/?enable_http_compression=1", "--compressed", "-d", "SELECT 1") == "1\n"


def test_the_format_is_that_of_the_query_then_the_header_then_the_parameter(gateway: Gateway) -> None:
    asked = {"headers": {"X-ClickHouse-Format": "JSONEachRow"}, "default_format": "CSV"}
    assert ask(gateway, "SELECT 1 AS x FORMAT TSV", **asked).text == "1\n"  # type: ignore[arg-type]
    assert ask(gateway, "SELECT 1 AS x", **asked).text == '{"x":1}\n'  # type: ignore[arg-type]
    assert ask(gateway, "SELECT 'x'", default_format="CSV").text == '"x"\n'


def test_json_and_parquet_are_complete_documents(gateway: Gateway) -> None:
    answer = ask(gateway, "SELECT id FROM rides LIMIT 100000 FORMAT JSON")
    assert len(answer.json()["data"]) == 100_000
    assert answer.headers["content-type"].startswith("application/json")
    table = pyarrow.parquet.read_table(io.BytesIO(ask(gateway, "SELECT * FROM rides FORMAT Parquet").content))
    assert table.num_rows == 200_000


def test_an_arrow_stream_of_many_blocks_is_one_stream(gateway: Gateway) -> None:
    answer = ask(gateway, "SELECT number AS n FROM numbers(1000000) FORMAT ArrowStream")
    assert sorted(pa.ipc.open_stream(answer.content).read_all()["n"].to_pylist()) == list(range(1_000_000))


def test_a_jdbc_driver_gets_names_types_and_values(gateway: Gateway) -> None:
    answer = ask(gateway, "SELECT 'x' AS name, toUInt8(7) AS value", default_format="RowBinaryWithNamesAndTypes")
    assert answer.content == b"\x02\x04name\x05value\x06String\x05UInt8\x01x\x07"


def test_a_jdbc_driver_gets_checked_compressed_blocks(gateway: Gateway) -> None:
    answer = ask(gateway, "SELECT id FROM rides ORDER BY id", compress="1", default_format="TSV").content
    plain = b""
    while answer:
        packed, unpacked = struct.unpack_from("<II", answer, 17)
        body, answer = (
            answer[16 : 16 + packed],
            answer[16 + packed :] if city_hash_128(answer[16 : 16 + packed]) == answer[:16] else b"",
        )
        plain += lz4.block.decompress(body[9:], uncompressed_size=unpacked)
    assert plain == b"".join(b"%d\n" % number for number in range(200_000))


def test_the_checksum_is_that_of_the_engines_own_files(tmp_path: Path) -> None:
    with Gateway(tmp_path / "own") as own:
        for rows in (1, 2, 3, 5, 16, 40, 120, 150, 1000, 100_000):
            own.execute(
                f"CREATE TABLE t{rows} ENGINE = MergeTree ORDER BY tuple() SETTINGS min_bytes_for_wide_part = 0"
                f" AS SELECT toString(cityHash64(number)) AS text, toUInt8(number) AS number FROM numbers({rows})"
            )
    checked = set()
    for file in tmp_path.rglob("*.bin"):
        data = file.read_bytes()
        while data:
            size = struct.unpack_from("<I", data, 17)[0]
            assert city_hash_128(data[16 : 16 + size]) == data[:16]
            checked.add(min(size, 200) // 20)
            data = data[16 + size :]
    assert len(checked) >= 5


def test_clickhouse_go_is_greeted_in_its_own_framing_and_told_revision_0(gateway: Gateway) -> None:
    answer = ask(
        gateway,
        "SELECT displayName(), version(), revision(), timezone()",
        client_protocol_version="54460",
        default_format="Native",
    ).content
    header, rest = answer[:8], answer[8:]
    assert header == bytes.fromhex("010002ffffffff00")
    columns, rows, rest = rest[0], rest[1], rest[2:]
    assert (columns, rows) == (4, 1)
    read = {}
    for _ in range(columns):
        name, rest = _text(rest)
        kind, rest = _text(rest)
        custom, rest = rest[0], rest[1:]
        assert custom == 0
        if kind == "UInt32":
            read[name], rest = struct.unpack("<I", rest[:4])[0], rest[4:]
        else:
            read[name], rest = _text(rest)
    assert rest == b""
    assert read["revision()"] == 0
    assert read["version()"] == ask(gateway, "SELECT version()").text.strip()


def _text(data: bytes) -> tuple[str, bytes]:
    size = data[0]
    return data[1 : 1 + size].decode(), data[1 + size :]


def test_clickhouse_go_pings_by_a_column_named_1_and_takes_an_empty_result_by_its_length(gateway: Gateway) -> None:
    native = {"client_protocol_version": "54460", "default_format": "Native"}
    assert ask(gateway, "SELECT 1", **native).content == b"\x01\x01\x011\x05UInt8\x01"
    empty = ask(gateway, "SELECT 1 WHERE 0", **native)
    assert (empty.status_code, empty.headers["content-length"]) == (200, "0")


def test_gzip_is_used_where_it_is_asked_for(gateway: Gateway) -> None:
    with httpx.stream(
        "POST",
        gateway.url,
        params={"enable_http_compression": "1"},
        content="SELECT id FROM rides ORDER BY id FORMAT TSV",
        headers={"Accept-Encoding": "gzip"},
    ) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(gzip.decompress(packed).splitlines()) == 200_000


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO rides (id) VALUES (1)",
        "DROP TABLE rides",
        "delete from rides",
        "UPDATE rides",
        "MERGE INTO rides",
        "CREATE TEMPORARY TABLE t (a Int8)",
        "ALTER TABLE rides DELETE WHERE 1",
        "SET readonly = 0",
        "SET param_x = '1'",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_memory_usage = 1000000000000",
        "SELECT 1 SETTINGS allow_introspection_functions = 1",
        "SELECT (SELECT 1 SETTINGS max_threads = 1)",
        "KILL QUERY WHERE 1",
        "SYSTEM FLUSH LOGS",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT file('/etc/hostname')",
        "SELECT `file`('/etc/hostname')",
        "SELECT 1 AS `a'b`, file('/etc/hostname') AS `c'd`",
        "SELECT file/* */\n('/etc/hostname')",
        "DESCRIBE TABLE file('/etc/hostname')",
        "DESC url('http://127.0.0.1:1/x')",
        "SELECT * FROM url('http://127.0.0.1:1/x', 'TSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
        "SELECT * FROM python(x)",
        "SELECT * FROM default.`/etc/hostname`",
        "SELECT aiGenerate('x')",
        "WITH 1 AS x INSERT INTO rides SELECT x",
    ],
)
def test_what_would_write_or_reach_outside_is_refused_as_readonly(gateway: Gateway, sql: str) -> None:
    answer = ask(gateway, sql)
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (500, "164")
    assert answer.text.startswith("Code: 164. DB::Exception: ")
    assert "READONLY" in answer.text


@pytest.mark.parametrize("sql", ["SELECT 1 INTO OUTFILE '{}'", "SELECT 1 into/**/outfile '{}' FORMAT TSV"])
def test_no_file_is_written(gateway: Gateway, tmp_path: Path, sql: str) -> None:
    target = tmp_path / "written"
    assert ask(gateway, sql.format(target)).headers["x-clickhouse-exception-code"] == "164"
    assert not target.exists()


def test_a_long_list_of_values_is_read(gateway: Gateway) -> None:
    numbers = ", ".join(str(number) for number in range(30_000))
    assert ask(gateway, f"SELECT count() FROM rides WHERE id IN ({numbers})").text == "30000\n"


def test_text_that_is_not_utf8_arrives(gateway: Gateway) -> None:
    assert (
        ask(gateway, r"SELECT x'ff00d4', '\xd4\xff', unhex('d4') FORMAT RawBLOB").content == b"\xff\x00\xd4\xd4\xff\xd4"
    )


def test_words_in_text_are_not_taken_for_commands(gateway: Gateway) -> None:
    sql = "SELECT 'file(1) INTO OUTFILE ''x'' FORMAT JSON; DROP TABLE rides' AS `url(` FORMAT TSV"
    assert ask(gateway, sql).text == "file(1) INTO OUTFILE \\'x\\' FORMAT JSON; DROP TABLE rides\n"


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELECT nope", 404, "47"),
        ("SELECT nope(1)", 404, "46"),
        ("SELECT * FROM nope", 404, "60"),
        ("SELEC 1", 400, "62"),
        ("SELECT 1; SELECT 2", 400, "62"),
        ("", 400, "62"),
        ("\\dt", 400, "62"),
        ("?? what is drift", 400, "62"),
        ("SELECT 1 FORMAT Nope", 404, "73"),
        ("SELECT {x:UInt8}", 500, "456"),
        ("SELECT '" + "x" * 3_000_000 + "'", 413, "229"),
        ("SELECT number FROM numbers(100000000) FORMAT JSON", 500, "396"),
        ("SELECT groupArray(number) FROM numbers(1000000000)", 500, "241"),
    ],
)
def test_errors_have_clickhouses_code_and_status(gateway: Gateway, sql: str, status: int, code: str) -> None:
    answer = ask(gateway, sql)
    assert (answer.headers["x-clickhouse-exception-code"], answer.status_code) == (code, status)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")


def test_clickhouse_connect_raises_the_servers_error(client: Any) -> None:
    with pytest.raises(DatabaseError, match="Unknown expression identifier `nope`") as error:
        client.query("SELECT nope FROM rides")
    assert error.value.code == 47


def test_an_error_in_the_middle_of_a_stream_is_not_taken_for_its_end(gateway: Gateway, client: Any) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        ask(gateway, f"{FAILS_LATE} FORMAT TSV")
    with pytest.raises(StreamFailureError, match="throwIf"):
        client.query_df(FAILS_LATE)


def test_the_rows_of_a_failed_query_do_not_come_out_in_the_next(gateway: Gateway) -> None:
    assert ask(gateway, f"{FAILS_LATE} FORMAT JSONCompact").headers["x-clickhouse-exception-code"] == "395"
    assert [ask(gateway, "SELECT 1").text for _ in range(8)] == ["1\n"] * 8


def test_a_query_whose_client_has_gone_is_stopped(gateway: Gateway) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(gateway.url, content=ENDLESS, timeout=0.5)
    running = [_running(gateway) for _ in range(10)]
    assert running[-1] == 0


def _running(gateway: Gateway) -> int:
    sql = "SELECT count() + sleepEachRow(0.1) FROM system.processes WHERE query LIKE '%sipHash%' AND query NOT LIKE '%LIKE%'"
    return int(gateway.ask(sql))


def test_a_query_beyond_its_time_ends_with_timeout_exceeded(tmp_path: Path) -> None:
    with Gateway(tmp_path, seconds=1) as hurried:
        answer = ask(hurried, ENDLESS)
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (408, "159")


def test_stopping_ends_running_queries(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        with Gateway(tmp_path, seconds=600) as stopped:
            pending = pool.submit(ask, stopped, ENDLESS)
            while _running(stopped) == 0:
                pass
        with pytest.raises(httpx.HTTPError):
            pending.result(20).raise_for_status()


def test_many_clients_at_once_are_all_answered(gateway: Gateway) -> None:
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda number: ask(gateway, f"SELECT {number}, sleep(0.01)").text, range(60)))
    assert answers == [f"{number}\t0\n" for number in range(60)]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8123", "localhost.evil.example", "192.168.1.5:8123"])
def test_a_foreign_host_is_refused(gateway: Gateway, host: str) -> None:
    answer = ask(gateway, "SELECT 1", headers={"Host": host})
    assert (answer.status_code, "clickhouse_http.allowed_hosts" in answer.text) == (403, True)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8123", "127.0.0.1", "[::1]:8123"])
def test_loopback_is_accepted_as_host(gateway: Gateway, host: str) -> None:
    assert ask(gateway, "SELECT 1", headers={"Host": host}).text == "1\n"


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "http://192.168.1.5"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=str,
)
def test_a_page_of_another_origin_is_refused(gateway: Gateway, headers: dict[str, str]) -> None:
    assert httpx.get(gateway.url, params={"query": "SELECT 1"}, headers=headers).status_code == 403


@pytest.mark.parametrize("sql", ["SELECT 1", "SELECT nope", "SELECT 1 FORMAT XML"])
def test_a_foreign_page_may_neither_run_an_answer_as_a_script_nor_embed_it(gateway: Gateway, sql: str) -> None:
    headers = ask(gateway, sql).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in ask(gateway, sql, headers={"Origin": "http://localhost"}).headers


def test_a_host_name_can_be_allowed(tmp_path: Path) -> None:
    with Gateway(tmp_path, allowed_hosts=["modelspan"]) as allowing:
        assert ask(allowing, "SELECT 1", headers={"Host": "modelspan:8123"}).text == "1\n"


def test_methods_and_paths_that_do_not_exist_are_refused(gateway: Gateway) -> None:
    assert httpx.put(gateway.url, content="SELECT 1").status_code == 405
    assert httpx.get(f"{gateway.url}/play").status_code == 404


def test_a_query_id_comes_back(gateway: Gateway) -> None:
    assert ask(gateway, "SELECT 1", query_id="mine").headers["x-clickhouse-query-id"] == "mine"


@pytest.mark.parametrize("field", ["default_format", "max_threads", "database", "param_a", "query_id", "query", "%ff"])
def test_a_field_that_is_not_utf8_is_refused(gateway: Gateway, field: str) -> None:
    answer = httpx.post(f"{gateway.url}/?{field}=%ff", content="SELECT 1")
    assert answer.status_code == 400
    assert answer.text.startswith("Code: 62. DB::Exception: The query, a setting or a parameter is not UTF-8.")


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br"])
def test_a_body_in_an_encoding_that_is_not_known_is_the_fault_of_the_client(gateway: Gateway, encoding: str) -> None:
    answer = httpx.post(gateway.url, content=b"SELECT 1", headers={"Content-Encoding": encoding})
    assert answer.status_code == 400
    assert answer.text.startswith(f"Code: 89. DB::Exception: Content-Encoding {encoding} of a query is not supported")


def test_the_name_of_an_encoding_may_be_in_capitals(gateway: Gateway) -> None:
    body = gzip.compress(b"SELECT 7")
    assert httpx.post(gateway.url, content=body, headers={"Content-Encoding": "GZIP"}).text == "7\n"


def test_a_query_id_that_cannot_be_printed_is_refused(gateway: Gateway) -> None:
    for query_id in ("a\r\nx-other: b", "a\0", "\x7f"):
        answer = ask(gateway, "SELECT 1", query_id=query_id)
        assert (answer.status_code, "query_id" in answer.text) == (400, True)


def test_a_setting_is_honoured_in_the_url_and_in_the_statement(gateway: Gateway) -> None:
    sql = "SELECT toUInt64(1) AS x FORMAT JSONEachRow"
    assert ask(gateway, sql, output_format_json_quote_64bit_integers="1").json() == {"x": "1"}
    assert ask(gateway, f"{sql} SETTINGS output_format_json_quote_64bit_integers = 1").json() == {"x": "1"}
    joined = "SELECT b FROM (SELECT 1 AS a) AS x LEFT JOIN (SELECT 2 AS a, 3 AS b) AS y USING a"
    assert ask(gateway, joined).text == "0\n"
    assert ask(gateway, joined, join_use_nulls="1").text == "\\N\n"
    assert ask(gateway, f"{joined} SETTINGS join_use_nulls = 1").text == "\\N\n"


@pytest.mark.parametrize("filters", ["{'rides': 'id < 10'}", "{'modelspan.rides': 'city = ''Rome'' AND id < 20'}"])
def test_a_filter_of_a_dashboard_holds_in_the_url_and_in_the_statement(gateway: Gateway, filters: str) -> None:
    sql = "SELECT count() FROM rides"
    assert ask(gateway, sql, additional_table_filters=filters).text == "10\n"
    assert ask(gateway, f"{sql} SETTINGS additional_table_filters = {filters}").text == "10\n"
    assert ask(gateway, f"{sql} SETTINGS additional_table_filters = {filters}, final = 1").text == "10\n"


@pytest.mark.parametrize("condition", ["file(city) = 1", "city IN (SELECT file(city))", "arrayExists(file, [city])"])
def test_the_conditions_in_a_filter_are_checked_like_the_statement(gateway: Gateway, condition: str) -> None:
    filters = f"{{'rides': '{condition}'}}"
    assert "READONLY" in ask(gateway, "SELECT count() FROM rides", additional_table_filters=filters).text
    assert "READONLY" in ask(gateway, f"SELECT 1 FROM rides SETTINGS additional_table_filters = {filters}").text
    assert "READONLY" in ask(gateway, "SELECT 1", additional_result_filter=condition).text


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("output_format_schema", "x", "164"),
        ("format_schema", "x", "164"),
        ("max_parser_depth", "100000", "164"),
        ("allow_introspection_functions", "1", "164"),
        ("dialect", "kusto", "164"),
        ("no_such_setting", "1", "115"),
        ("max_execution_time", "-1", "164"),
        ("additional_table_filters", "nonsense", "62"),
    ],
)
def test_a_setting_that_readers_may_not_make_is_refused_and_never_ignored(
    gateway: Gateway, name: str, value: str, code: str
) -> None:
    answer = ask(gateway, "SELECT 1", **{name: value})
    assert (answer.headers.get("x-clickhouse-exception-code"), name in answer.text or code == "62") == (code, True)


def test_of_two_limits_the_smaller_counts(gateway: Gateway) -> None:
    limit = "SELECT getSetting('max_execution_time')"
    assert ask(gateway, limit).text == "10\n"
    assert ask(gateway, limit, max_execution_time="2").text == "2\n"
    assert ask(gateway, limit, max_execution_time="300").text == "10\n"
    assert ask(gateway, limit, max_execution_time="0").text == "10\n"
    assert ask(gateway, f"{limit} SETTINGS max_execution_time = 3").text == "3\n"
    assert ask(gateway, ENDLESS, max_execution_time="1").headers["x-clickhouse-exception-code"] == "159"


def test_what_drivers_send_unasked_is_passed_over(gateway: Gateway) -> None:
    unasked = {"session_id": "1", "wait_end_of_query": "1", "readonly": "0", "send_progress_in_http_headers": "1"}
    assert ask(gateway, "SELECT getSetting('readonly')", **unasked).text == "1\n"


def test_a_taken_port_is_one_clear_error(gateway: Gateway) -> None:
    from modelspan.processor.ports import PortTaken, bind_socket

    with pytest.raises(PortTaken, match=f"already listens on 127.0.0.1:{gateway.port}"):
        bind_socket(f"127.0.0.1:{gateway.port}")

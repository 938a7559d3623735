"""One client of the SQL port cannot take it from the others: bounded heads, forms, connections and unread answers."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.gateway import Gateway

MEGABYTE = b"x" * 2**20
ROWS = "SELECT number, 'a text that fills the line' FROM numbers(1000000000) FORMAT TSV"
WHOLE = "SELECT number, repeat('x', 100) FROM numbers(200000) FORMAT JSONCompact"

NEVER_ENDS = "SELECT length(h3kRing(599119489002373119, 1000))"
"""Hours of work on one row, during which the engine looks at no limit."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("limits"), seconds=60, max_connections=100) as running:
        yield running


def connect(gateway: Gateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=60)


def post(gateway: Gateway, sql: str) -> socket.socket:
    """A request whose answer nobody reads yet."""
    client = connect(gateway)
    client.sendall(f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sql)}\r\n\r\n{sql}".encode())
    return client


def send_until_closed(gateway: Gateway, head: bytes, rest: Iterable[bytes]) -> int:
    """Bytes that were taken before the connection was closed."""
    taken = 0
    with connect(gateway) as client, contextlib.suppress(ConnectionError):
        client.sendall(head)
        for part in rest:
            client.sendall(part)
            taken += len(part)
    return taken


def is_well(gateway: Gateway) -> bool:
    return httpx.post(gateway.url, content="SELECT 1", timeout=30).text == "1\n"


@pytest.mark.parametrize(
    ("head", "rest"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"a: b\r\n" * 10000),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\na: ", MEGABYTE),
        (b"GET /?query=", MEGABYTE),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 10000),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;a=", MEGABYTE),
        (b"", b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"100000\r\n" + MEGABYTE + b"\r\n",
        ),
    ],
    ids=["headers", "header", "path", "trailers", "chunk extension", "pipelined requests", "body"],
)
def test_what_never_ends_on_one_connection_is_cut_off(gateway: Gateway, head: bytes, rest: bytes) -> None:
    assert send_until_closed(gateway, head, [rest] * 200) < 100 * 2**20
    assert is_well(gateway)


def test_a_form_of_many_empty_parts_is_refused(gateway: Gateway) -> None:
    body = b"--b\r\n\r\n\r\n" * 190_000 + b"--b--"
    answer = httpx.post(
        gateway.url, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}, timeout=60
    )
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (413, "229")
    assert "settings and parameters" in answer.text


def test_a_form_is_read_as_browsers_and_drivers_write_it(gateway: Gateway) -> None:
    files = {
        "query": (None, "SELECT {a:String}, {b:String}"),
        "param_a": (None, "x\\ny"),
        "param_b": ("b.txt", b"\xc3\xa9"),
    }
    assert httpx.post(gateway.url, files=files).text == "x\\ny\té\n"  # type: ignore[arg-type]
    unquoted = b"--b\r\ncontent-disposition: form-data; name=query\r\n\r\nSELECT 5\r\n--b--\r\n"
    headers = {"Content-Type": 'multipart/form-data; boundary="b"'}
    assert httpx.post(gateway.url, content=unquoted, headers=headers).text == "5\n"


def test_thousands_of_settings_are_refused(gateway: Gateway) -> None:
    answer = httpx.get(f"{gateway.url}/?query=SELECT+1&" + "&".join(f"a{number}=1" for number in range(2000)))
    assert answer.status_code == 413


@pytest.mark.parametrize(("sql", "readers"), [(ROWS, 80), (WHOLE, 8)], ids=["in blocks", "as a whole"])
def test_readers_that_do_not_read_hold_up_nobody(gateway: Gateway, sql: str, readers: int) -> None:
    with contextlib.ExitStack() as clients:
        for _ in range(readers):
            clients.enter_context(post(gateway, sql))
        assert is_well(gateway)
        assert len(httpx.post(gateway.url, content=WHOLE, timeout=60).json()["data"]) == 200_000
    assert is_well(gateway)


def test_a_reader_that_reads_gets_everything_while_others_do_not(gateway: Gateway) -> None:
    with contextlib.ExitStack() as clients:
        for _ in range(20):
            clients.enter_context(post(gateway, ROWS))
        answer = httpx.post(gateway.url, content="SELECT number FROM numbers(3000000) FORMAT TSV", timeout=60)
    assert answer.text.count("\n") == 3_000_000


def test_idle_connections_give_way_to_new_ones(gateway: Gateway) -> None:
    with contextlib.ExitStack() as clients:
        for _ in range(300):
            clients.enter_context(connect(gateway))
        assert is_well(gateway)


def test_statements_that_nothing_ends_hold_up_nobody(tmp_path: Path) -> None:
    with Gateway(tmp_path, seconds=600) as hurt, contextlib.ExitStack() as clients:
        for _ in range(4):
            clients.enter_context(post(hurt, NEVER_ENDS))
        for _ in range(3):
            assert is_well(hurt)


def test_a_client_is_told_that_nothing_ends_its_statement(tmp_path: Path) -> None:
    with Gateway(tmp_path) as hurt:
        for _ in range(2):
            answer = httpx.post(hurt.url, params={"max_execution_time": "0.1"}, content=NEVER_ENDS, timeout=60)
            assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (408, "159")
            assert "does not end when told to" in answer.text
        assert is_well(hurt)


def test_long_statements_of_many_clients_have_one_bound(gateway: Gateway) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n"
    with contextlib.ExitStack() as clients, selectors.DefaultSelector() as answered:
        for _ in range(40):
            client = clients.enter_context(connect(gateway))
            client.sendall(head + bytes(1_999_999))
            answered.register(client, selectors.EVENT_READ)
        [(first, _), *_] = answered.select(20)
        answer = first.fileobj.recv(1000)  # type: ignore[union-attr]
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer.lower()
        assert is_well(gateway)
    assert is_well(gateway)


def test_the_service_may_open_more_files_than_the_usual_limit(tmp_path: Path) -> None:
    program = "import resource; from modelspan.processor.descriptors import raise_limit; print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2048)),
    )
    assert ran.stdout == "2048 2048 2048\n"

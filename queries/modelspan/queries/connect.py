"""Finds the store and connects to it, for reading only.

In this order: the URL that was given, `MODELSPAN_URL`, the ClickHouse server that the configuration of the service names, the
running service that has the data directory open, a service at the configured address, and the data directory of a service that
does not run. A data directory that is named, in the environment or the file, is asked before a service at the default address.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from modelspan.queries.announcement import announced

_HTTP = "127.0.0.1:8123"


class NoStore(Exception):
    """There is nothing to ask; the message says where was looked and what to do."""


def connect(url: str | None, environment: Mapping[str, str]) -> Any:
    """Return a `clickhouse_connect` client that cannot write. Raises NoStore."""
    # The driver logs a traceback beside the error that it raises.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    given = url or environment.get("MODELSPAN_URL")
    if given:
        return _open(given)
    service = _ServiceSettings(environment)
    if service.store_url.startswith(("http:", "https:")):
        return _http(service.store_url, database=service.database, **service.login)
    address = announced(service.data_dir)
    if address is not None:
        return _http(f"http://{address}")
    if service.names_only_data and service.store_dir.is_dir():
        return _embedded(service.store_dir, service.database)
    if service.names_only_data:
        raise NoStore(
            f"There is no store in {service.store_dir.parent}, the configured data directory: start `modelspan serve`"
            " with the same configuration, or name a store with --url or MODELSPAN_URL."
        )
    if _listens(*service.host_and_port):
        return _http(f"http://{service.address}")
    if service.store_dir.is_dir():
        return _embedded(service.store_dir, service.database)
    raise NoStore(
        f"Nothing answers at http://{service.address} and there is no store in {service.store_dir.parent}: start"
        " `modelspan serve`, run this in its directory, or name a store with --url or MODELSPAN_URL."
    )


class _ServiceSettings:
    """The few keys of the service's configuration that say where its store is, from environment and file.

    The service checks its configuration; here, what cannot be read counts as not configured.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        try:
            self._file = yaml.safe_load(Path(environment.get("MODELSPAN_CONFIG", "modelspan.yaml")).read_text())
        except (OSError, ValueError, yaml.YAMLError):
            self._file = None
        self.store_url = self._value("store.url", "")
        self.database = self._value("store.database", "modelspan")
        self.login = {
            key: self._value(f"store.{key}", default) for key, default in (("username", "default"), ("password", ""))
        }
        address = self._value("clickhouse_http.address", "")
        self.address = (address or _HTTP).replace("0.0.0.0", "127.0.0.1")
        host, _, port = self.address.rpartition(":")
        self.host_and_port = (host.strip("[]"), int(port) if port.isdigit() else 0)
        data_dir = self._value("data_dir", "")
        self.data_dir = Path(data_dir or ".modelspan")
        self.store_dir = self.data_dir / "store"
        if self.store_url.startswith("chdb:"):
            self.store_dir = Path(unquote(urlsplit(self.store_url).path))
        self.names_only_data = bool(data_dir or self.store_url) and not address
        """Whether a data directory is named and no address: what listens at the default one may be another service."""

    def _value(self, key: str, default: str) -> str:
        named = self._environment.get(f"MODELSPAN_{key.replace('.', '__').upper()}")
        if named is not None:
            return named
        inner: Any = self._file
        for part in key.split("."):
            inner = inner.get(part) if isinstance(inner, dict) else None
        return default if inner is None else str(inner)


def _open(url: str) -> Any:
    if url.startswith("chdb:///"):
        return _embedded(Path(unquote(urlsplit(url).path)), "modelspan")
    if url.startswith(("http://", "https://")):
        return _http(url)
    raise NoStore(f"{url} is not the URL of a store: expected http://host:8123, https://host:8443 or chdb:///path.")


def _http(url: str, **login: Any) -> Any:
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise NoStore(f"{url.rpartition('@')[2]} is not the URL of a store: {error}.") from None
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        listens = _listens(parts.hostname or "", parts.port or (8443 if parts.scheme == "https" else 8123))
    except ValueError:
        raise NoStore(f"{shown} is not the URL of a store: its port is not a number from 0 to 65535.") from None
    if not listens:
        raise NoStore(f"{shown} does not answer: nothing listens there.")
    try:
        # Told the URL alone, the driver speaks TLS to the ports 443 and 8443 only.
        client = clickhouse_connect.get_client(dsn=url, interface=parts.scheme, connect_timeout=5, **login)
    except (ClickHouseError, ValueError, TypeError) as error:
        raise NoStore(_why_not(shown, sentence(error))) from None
    readonly = client.server_settings.get("readonly")
    if readonly is None or readonly.value == "0":
        client.set_client_setting("readonly", "1")
    return client


_NO_HTTP = re.compile("BadStatusLine|Connection aborted|WRONG_VERSION_NUMBER|UNEXPECTED_EOF|<html", re.IGNORECASE)


def _why_not(url: str, said: str) -> str:
    if _NO_HTTP.search(said):
        return (
            f"{url} does not answer as ClickHouse's HTTP interface does: name that port of the service or server, such as"
            " http://127.0.0.1:8123, with https:// only where it speaks TLS."
        )
    return f"{url} cannot be asked: {said}"


def _embedded(path: Path, database: str) -> Any:
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    if not (path / "metadata").is_dir():  # the engine would begin one in any directory
        raise NoStore(f"There is no store in {path}.")
    with _silent_engine() as said:
        try:
            client = clickhouse_connect.get_client(interface="chdb", path=str(path.resolve()), database=database)
            client.command("SET readonly = 1")
        except (ClickHouseError, ImportError) as error:
            if "Cannot lock file" in f"{error} {said()}":
                raise NoStore(
                    f"The store in {path} is open in another process, which does not say where it answers: name its URL"
                    " with --url, such as http://127.0.0.1:8123, or stop it."
                ) from None
            raise NoStore(f"The store in {path} cannot be opened: {sentence(error)}") from None
    return client


_AROUND = re.compile(
    r"^.*?(?=Code: )|(?:Code: \d+\. DB::Exception: )+(?=Code: )| FORMAT (?:Native|JSONCompactEachRowWithNames)\b"
    r"| \(for url .*| \(version [^)]*\)| Expected one of: (?:[^,]*,){8}.*?(?= \(SYNTAX_ERROR|$)"
)
"""Parts of a message that are no part of the error: additions of the driver, repetitions, and lists without end."""


def sentence(error: Exception) -> str:
    """ClickHouse's own words, without those that the driver and its versions put around them."""
    text = _AROUND.sub("", " ".join(str(error).split()))
    return re.sub(r"( \(\w+\))(?:\.?\1)+", r"\1", text).replace(": .", ".").replace(". .", ".")


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


@contextmanager
def _silent_engine() -> Iterator[Callable[[], str]]:
    """Keep what the embedded engine writes to standard error by itself, and offer it as text."""
    with tempfile.TemporaryFile() as kept:
        sys.stderr.flush()
        original = os.dup(2)
        os.dup2(kept.fileno(), 2)

        def said() -> str:
            kept.seek(0)
            return kept.read().decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(original, 2)
            os.close(original)

"""Trusted `Host` names of a listening port, and origins of web pages that may ask."""

from __future__ import annotations

import pytest

from modelspan.processor.hosts import TrustedHosts


def refusal(address: str, allowed: str = "", local: str | None = None, **headers: str) -> str | None:
    sent = {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    hosts = TrustedHosts(address, allowed.split(","), key="port.allowed_hosts")
    return hosts.refusal([(name.encode(), value.encode("latin-1")) for name, value in sent.items()], local)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8123",
        "localhost.",
        "127.0.0.1",
        "127.8.9.1:1",
        "[::1]:8123",
        "[::ffff:127.0.0.1]",
        "[0:0::1]",
    ],
)
def test_loopback_is_trusted_by_name_and_by_address(host: str) -> None:
    assert refusal("127.0.0.1:8123", host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "192.168.1.5",
        "169.254.169.254:80",
        "[fe80::1]",
        "0.0.0.0",
        "[::]",
        "2130706433",
        "localhost@evil.example",
        "evil.example@localhost",
        "localhost/evil",
        "localhost, evil.example",
        "localhost:8123:1",
        "*",
        ".",
        "",
    ],
)
@pytest.mark.parametrize("address", ["127.0.0.1:8123", "0.0.0.0:8123", ":8123", "[::]:8123"])
def test_every_other_host_is_refused_with_the_key_that_allows_it(host: str, address: str) -> None:
    assert "port.allowed_hosts" in (refusal(address, host=host) or "")


def test_the_bound_address_is_trusted_as_it_is_configured() -> None:
    assert refusal("192.168.1.5:8123", host="192.168.1.5:8123") is None
    assert refusal("[fe80::1]:8123", host="[FE80:0::1]") is None
    assert refusal("models.internal:8123", host="models.internal") is None


def test_where_every_interface_is_bound_the_address_of_the_connection_is_trusted() -> None:
    assert refusal("0.0.0.0:8123", host="10.1.2.3:8123", local="10.1.2.3") is None
    assert refusal("0.0.0.0:8123", host="10.1.2.4:8123", local="10.1.2.3") is not None


def test_names_and_addresses_can_be_allowed_one_by_one_or_all() -> None:
    assert refusal("127.0.0.1:1", "modelspan, 10.0.0.7", host="modelspan:8123") is None
    assert refusal("127.0.0.1:1", "modelspan, 10.0.0.7", host="10.0.0.7") is None
    assert refusal("127.0.0.1:1", "modelspan", host="other") is not None
    assert refusal("127.0.0.1:1", "*", host="anything.example") is None


def test_each_of_several_hosts_must_be_trusted() -> None:
    hosts = TrustedHosts("127.0.0.1:1", [], key="k")
    assert hosts.refusal([(b"host", b"localhost"), (b"host", b"evil.example")]) is not None
    assert "names no host" in (hosts.refusal([]) or "")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://192.168.1.5", "file://", "http://0.0.0.0:8123", ""]
)
def test_pages_of_a_foreign_origin_are_refused(origin: str) -> None:
    assert "web pages" in (refusal("127.0.0.1:8123", origin=origin) or "")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_a_foreign_page_that_sends_no_origin_is_known_by_sec_fetch_site(site: str) -> None:
    assert "web pages" in (refusal("127.0.0.1:8123", sec_fetch_site=site) or "")


def test_own_pages_and_typed_addresses_may_ask() -> None:
    assert refusal("127.0.0.1:8123", origin="http://localhost:8123", sec_fetch_site="same-origin") is None
    assert refusal("127.0.0.1:8123", sec_fetch_site="none") is None

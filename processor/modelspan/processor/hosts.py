"""Trusted hosts of a listening port: web pages reach loopback too, through their own scripts or a name that resolves to it.

A browser names the host it believes it talks to (`Host`), the page that asks (`Origin`, where it sends one) and how the two
are related (`Sec-Fetch-Site`). A page that points its own name at this machine (DNS rebinding) is recognised by the first.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from modelspan.processor.ports import parse_address

SAFE_HEADERS = [
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
]
"""Headers of every answer: foreign pages may not run it as a script, nor embed it."""

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]*)?", re.IGNORECASE)
_OWN_PAGE = {"same-origin", "none"}


class TrustedHosts:
    """Loopback, the address that the port is bound to, and the names in `allowed`; `*` in it allows any."""

    def __init__(self, address: str, allowed: Iterable[str], *, key: str) -> None:
        """`address`: the configured one, `host:port`. `key`: of the configuration, named when a host is refused."""
        self._names = {"localhost", _name(parse_address(address)[0]), *map(_name, allowed)} - {""}
        self._key = key

    def refusal(self, headers: Iterable[tuple[bytes, bytes]], local: str | None = None) -> str | None:
        """Say why a request with these ASGI headers is refused, or return None.

        `local` is the address at which its connection was accepted; it tells more than `address` where that is every interface.
        """
        sent = [(name, value.decode("latin-1").strip()) for name, value in headers]
        hosts = [value for name, value in sent if name == b"host"]
        if not hosts:
            return "The request names no host: send the header Host, as HTTP/1.1 requires."
        for host in hosts:
            if not self._trusts(host, local):
                return f"Host {host[:100]} is not trusted here: use localhost or the address of the port, or add it to {self._key}."
        for name, value in sent:
            if name == b"origin" and not self._trusts(re.sub(r"^https?://", "", value), local):
                return f"Requests of web pages from {value[:100]} are refused: their host is not in {self._key}."
            if name == b"sec-fetch-site" and value not in _OWN_PAGE:
                return "Requests of web pages from another origin are refused: open the address itself, or ask without a browser."
        return None

    def _trusts(self, authority: str, local: str | None) -> bool:
        found = _HOST.fullmatch(authority)
        if found is None:
            return False
        name = _name(found[1])
        return "*" in self._names or _is_loopback(name) or (name in self._names | {local} and not _is_every(name))


def _name(host: str) -> str:
    bare = re.sub(r"^\[(.*)\]$", r"\1", host.strip().lower()).rstrip(".")
    address = _address(bare)
    return str(address) if address else bare


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_loopback(name: str) -> bool:
    address = _address(name)
    return address is not None and address.is_loopback


def _is_every(name: str) -> bool:
    address = _address(name)
    return address is not None and address.is_unspecified

"""Listening addresses: how they are written, and what is said when one is taken."""

from __future__ import annotations

import errno
import socket


class PortTaken(OSError):
    """Another process listens where this one was told to."""


def parse_address(text: str) -> tuple[str, int]:
    """Split `host:port`, `[v6 host]:port` or `:port` (every interface) into host and port.

    Raises ValueError with a sentence that says what was expected.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r} is not an address: expected an IPv6 host in brackets, as in [::1]:4317")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(
            f"{text!r} is not an address: expected host:port, such as 127.0.0.1:4317, with a port from 1 to 65535 (0: any free one)"
        )
    return host or "0.0.0.0", int(port)


def bind_socket(address: str) -> socket.socket:
    """Listen on `address` and return the TCP socket for a server to take over. Port 0 takes a free one.

    Raises PortTaken where another process has the port, and OSError with the address in it for any other reason.
    """
    host, port = parse_address(address)
    try:
        family, _, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {address}: {error.strerror}") from error
    # With the protocol named, asyncio sends small answers at once; without it, they wait 40 ms for an acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(target)
        bound.listen(128)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                errno.EADDRINUSE, f"another process already listens on {address}: stop it or configure another address"
            ) from error
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
    return bound

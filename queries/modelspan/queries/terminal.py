"""The one way to a terminal: control, format and bidirectional characters are written as escapes.

Names, labels and errors come from strangers; what reaches a terminal raw can move its cursor, hide text, or look like a line of
its own. Tables, errors and the service's console log are escaped always, CSV and JSON where they go to a terminal. Files and pipes
of CSV, JSON and `FORMAT` get the bytes as they are.
"""

from __future__ import annotations

import argparse
import io
from typing import NoReturn, TextIO, cast


def one_line(text: str) -> str:
    """The text with everything escaped that does not print, line feeds included."""
    return text if text.isprintable() else "".join(map(_shown, text))


def lines(text: str) -> str:
    """The text with everything escaped that does not print, except line feeds and tabs."""
    if text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(letter if letter in "\n\t" else _shown(letter) for letter in text)


def printed(stream: TextIO) -> TextIO:
    """The stream itself; a terminal behind an escape."""
    return cast("TextIO", _Terminal(stream)) if stream.isatty() else stream


class Parser(argparse.ArgumentParser):
    """Says in one line which argument it cannot take."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, f"modelspan: {one_line(message)} (see `{self.prog} --help`).\n")


def _shown(letter: str) -> str:
    """Escapes that JSON reads, too."""
    if letter.isprintable():
        return letter
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


class _Terminal(io.TextIOBase):
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(lines(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

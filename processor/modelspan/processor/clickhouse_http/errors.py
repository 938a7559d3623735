"""Errors as ClickHouse words and numbers them, and the HTTP status that its server gives them."""

from __future__ import annotations

import re

_STATUS = {
    # Something that does not exist: function, identifier, type, storage, table, setting, format, database, query type ...
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511), 404),
    # Text that cannot be read: values, escapes, types, syntax, regular expressions.
    **dict.fromkeys(
        (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676),
        400,
    ),
    48: 501,
    89: 400,
    159: 408,
    202: 503,
    209: 503,
    76: 503,
    229: 413,
    439: 503,
    497: 403,
}
_CODE = re.compile(r"Code: (\d+)\. DB::Exception: ")

UNKNOWN_FUNCTION = 46
SYNTAX_ERROR = 62
UNKNOWN_SETTING = 115
UNKNOWN_FORMAT = 73
UNKNOWN_COMPRESSION_METHOD = 89
TOO_MANY_ROWS_OR_BYTES = 396
READONLY = 164
TOO_MANY_SIMULTANEOUS_QUERIES = 202
TIMEOUT_EXCEEDED = 159
QUERY_IS_TOO_LARGE = 229


class QueryError(Exception):
    """A query that was refused or failed; `code` is ClickHouse's number, the message is its sentence."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        """HTTP status by which ClickHouse's server answers with this error."""
        return _STATUS.get(self.code, 500)

    @property
    def text(self) -> str:
        """The body of the answer."""
        return f"Code: {self.code}. DB::Exception: {self}\n"

    @classmethod
    def of_engine(cls, error: Exception) -> QueryError:
        """Read number and sentence from an error of the embedded engine."""
        text = str(error)
        found = _CODE.search(text)
        if found is None:
            return cls(1001, text.strip() or type(error).__name__)
        return cls(int(found[1]), _CODE.sub("", text[found.end() :]).strip())

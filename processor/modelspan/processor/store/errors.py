"""Two classes of error, decided here once: try again, or never with these rows."""

from __future__ import annotations

import re

from clickhouse_connect.driver.exceptions import DatabaseError

# Errors of ClickHouse that the rows themselves cause, so that no retry can help: TYPE_MISMATCH, CANNOT_PARSE_TEXT,
# CANNOT_READ_ALL_DATA, ARGUMENT_OUT_OF_BOUND, CANNOT_CONVERT_TYPE, INCORRECT_DATA, TOO_LARGE_ARRAY_SIZE,
# TOO_LARGE_STRING_SIZE, CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN, VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE, UNKNOWN_EXCEPTION.
_REJECTED = frozenset({53, 6, 33, 69, 70, 117, 128, 131, 349, 321, 1002})

_OF_SERVER = re.compile(r"(Code: \d+\. DB::Exception: .*?)(?: \(for url [^)]*\))?$")


class StoreError(Exception):
    """The store did not do what was asked."""


class StoreUnavailable(StoreError):
    """It may work later: no connection, a timeout, no memory or disk, too many parts, a missing right."""


class StoreRejected(StoreError):
    """These rows will never be accepted."""


class StoreTooNew(StoreError):
    """The store was made by a newer version."""


def classed(error: Exception, action: str) -> StoreError:
    """The error as one of the two classes. What is not known to be the fault of the rows counts as temporary: they are kept."""
    code = getattr(error, "code", None) if isinstance(error, DatabaseError) else None
    kind = StoreRejected if code in _REJECTED else StoreUnavailable
    return kind(f"{action}: {_reason(error)}")


def _reason(error: Exception) -> str:
    """What the system or the server said, in a line, without what the driver puts around it."""
    said: BaseException | None = error
    while said is not None:
        if isinstance(said, OSError):
            return said.strerror or str(said)
        said = said.__cause__ or said.__context__
    first = next(iter(str(error).strip().splitlines()), "")
    of_server = _OF_SERVER.search(first)
    return (of_server[1] if of_server else f"{type(error).__name__}: {first}".removesuffix(": "))[:500]

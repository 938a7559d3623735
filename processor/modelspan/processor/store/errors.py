"""Classes of error, decided here once: try again (nobody answers, or the answer is no), try fewer rows, or never with these rows."""

from __future__ import annotations

import re

import pyarrow as pa
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

# Errors of ClickHouse that the rows themselves cause, so that no retry can help: TYPE_MISMATCH, CANNOT_PARSE_TEXT,
# CANNOT_READ_ALL_DATA, ARGUMENT_OUT_OF_BOUND, CANNOT_CONVERT_TYPE, INCORRECT_DATA, TOO_LARGE_ARRAY_SIZE,
# TOO_LARGE_STRING_SIZE, CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN, VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE, UNKNOWN_EXCEPTION.
_REJECTED = frozenset({53, 6, 33, 69, 70, 117, 128, 131, 349, 321, 1002})

_ACCOUNT = "check store.username and store.password"
_RIGHTS = "grant store.username the rights to create, alter, select from and insert into tables of store.database"
_SCHEMA = "someone has changed or dropped tables of store.database: restore them, or configure another database"
_BUSY = "it is tried again; if that goes on, give ClickHouse more memory, cores or faster disks"
_ELSE = "it is tried again; the log of ClickHouse may say more"
_TO_DO = {
    **dict.fromkeys(
        (192, 193, 194, 516), _ACCOUNT
    ),  # UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED
    **dict.fromkeys((164, 497), _RIGHTS),  # READONLY, ACCESS_DENIED
    # NO_SUCH_COLUMN_IN_TABLE, THERE_IS_NO_COLUMN, UNKNOWN_IDENTIFIER, UNKNOWN_TABLE
    **dict.fromkeys((16, 8, 47, 60), _SCHEMA),
    81: "restart modelspan, which creates the database",  # UNKNOWN_DATABASE
    # TIMEOUT_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES, SOCKET_TIMEOUT, MEMORY_LIMIT_EXCEEDED, TOO_MANY_PARTS
    **dict.fromkeys((159, 202, 209, 241, 252), _BUSY),
    243: "free space on its disk",  # NOT_ENOUGH_SPACE
    115: "modelspan needs a newer ClickHouse, or a user who may change this setting",  # UNKNOWN_SETTING
}

# Errors that another number of rows does not change: all of the above but a query that took too long or too much memory, and
# trouble of the disk or of a cluster: CANNOT_READ_FROM_FILE_DESCRIPTOR, CANNOT_WRITE_TO_FILE_DESCRIPTOR, CANNOT_OPEN_FILE,
# NETWORK_ERROR, ABORTED, TABLE_IS_READ_ONLY, ALL_CONNECTION_TRIES_FAILED, QUERY_WAS_CANCELLED, KEEPER_EXCEPTION.
_OF_STORE = frozenset(_TO_DO.keys() - {159, 241}) | {74, 75, 76, 210, 236, 242, 279, 394, 999}
_OF_PROCESS = (
    pa.ArrowException,
    MemoryError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""Errors of this process on the way to ClickHouse: other rows, or fewer, may not meet them."""

_OF_SERVER = re.compile(r"(Code: \d+\. DB::Exception: .*?)(?: \(for url [^)]*\))?$")


class StoreError(Exception):
    """The store did not do what was asked."""


class StoreUnavailable(StoreError):
    """It may work later: no connection, or a timeout."""

    problem = "store unreachable"
    """Two words for whoever looks after it."""


class StoreRefused(StoreUnavailable):
    """It may work later, mostly after someone has acted: ClickHouse answers, with an error. The message says what to do."""

    problem = "store refuses"


class StoreStrained(StoreRefused):
    """It may be too much at once: the same rows in smaller inserts may be accepted."""


class StoreRejected(StoreError):
    """These rows will never be accepted."""


class StoreTooNew(StoreError):
    """The store was made by a newer version."""


def of_insert(error: Exception, action: str) -> StoreError:
    """The error as one of the classes. What is neither the fault of the rows nor of their number counts as temporary: they are kept."""
    if _code(error) in _REJECTED:
        return StoreRejected(f"{action}: {_reason(error)}")
    answered = isinstance(error, DatabaseError) and not isinstance(error, OperationalError)
    answered = answered and _code(error) not in _OF_STORE
    if answered or isinstance(error, _OF_PROCESS):
        return StoreStrained(f"{action}: {_reason(error)}")
    return of_query(error, action)


def of_query(error: Exception, action: str) -> StoreUnavailable:
    """The error as one of those that may pass: no rows were given that could be at fault."""
    if isinstance(error, StoreUnavailable):
        return error
    code = _code(error)
    if code is None:
        return StoreUnavailable(f"{action}: {_reason(error)}")
    return StoreRefused(f"{action}: {_reason(error)}; {_TO_DO.get(code, _ELSE)}")


def _code(error: Exception) -> int | None:
    """Number of an error with which ClickHouse answered."""
    return getattr(error, "code", None) if isinstance(error, DatabaseError) else None


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

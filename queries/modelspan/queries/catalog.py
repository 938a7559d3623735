"""Saved queries: `.sql` files with a typed header, read and checked.

    -- title: Slowest predictions
    -- description: The predictions that took longest.
    -- param model String = '' : name of a model; empty means all
    -- param status String(drifted, ok) = '' : only this status
    -- param limit UInt = 20 : how many
    SELECT ... WHERE model_name = {model:String} LIMIT {limit:UInt64}

A parameter without `= default` is required; one with a list takes its values only. `-- when empty: NAME` names the query whose
answer says why there is none. The body names parameters in ClickHouse's own form, so that values never become part
of the statement; `TYPES` says which type of the header is which type of ClickHouse.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from importlib import resources

from modelspan.queries import iso8601


class QueryError(Exception):
    """A query or a parameter that cannot be used; the message says what can."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a saved query."""

    name: str
    type: str
    description: str
    default: str | None
    """As it is written on the command line; None where a value is required."""
    choices: tuple[str, ...] = ()
    """The only values it takes, beside its default; empty: any."""

    @property
    def shown_type(self) -> str:
        """The type for people: the choices where there are any."""
        return "|".join(self.choices) or self.type

    def convert(self, text: str) -> str:
        """Turn what a user wrote into what ClickHouse reads. Raises QueryError."""
        kind = TYPES[self.type]
        if self.choices and text not in (*self.choices, self.default):
            raise QueryError(
                f"Parameter {self.name} is {text!r}, but it takes one of {listed(self.choices)}{hint(text, self.choices)}"
            )
        try:
            return kind.convert(text.strip() if self.type != "String" else text)
        except (ValueError, OverflowError):
            raise QueryError(f"Parameter {self.name} is {text!r}, but it takes {kind.expected}.") from None


@dataclass(frozen=True)
class SavedQuery:
    """A statement with what is needed to run it."""

    name: str
    title: str
    description: str
    parameters: tuple[Parameter, ...]
    sql: str
    empty: str = ""
    """Name of the query, of the same parameters, that says why this one found nothing."""

    @property
    def when_empty(self) -> SavedQuery | None:
        """The query that says why this one found nothing."""
        return catalog()[self.empty] if self.empty else None

    def bind(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the value of every parameter, in ClickHouse's text form. Raises QueryError."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                takes = f"It takes {listed(known)}" if known else "It takes none"
                raise QueryError(f"Query {self.name} has no parameter {name}{hint(name, known)} {takes}.")
        return {parameter.name: parameter.convert(self._value(parameter, given)) for parameter in self.parameters}

    def _value(self, parameter: Parameter, given: Mapping[str, str]) -> str:
        value = given.get(parameter.name, parameter.default)
        if value is None:
            wanted = f"--param {parameter.name}=VALUE ({parameter.description})"
            raise QueryError(f"Query {self.name} needs {wanted}.")
        return value


@dataclass(frozen=True)
class Kind:
    """A type of parameter."""

    clickhouse: str
    expected: str
    convert: Callable[[str], str]


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_INTERVAL = re.compile(r"(\d+)([smhdw])")
_MOST_DAYS = 100 * 366
_MOST_UNSIGNED = 2**64 - 1


def _unsigned(text: str) -> str:
    value = int(text)
    if not 0 <= value <= _MOST_UNSIGNED:
        raise ValueError
    return str(value)


def _float(text: str) -> str:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return repr(value)


def _seconds(text: str) -> int:
    parts = _INTERVAL.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < seconds <= _MOST_DAYS * 86400:
        raise ValueError
    return seconds


def _time(text: str) -> str:
    if text.startswith("now"):
        back = text.removeprefix("now").removeprefix("-")
        time = datetime.now(timezone.utc) - timedelta(seconds=_seconds(back) if back else 0)
    else:
        time = iso8601.read(text)
    return time.strftime("%Y-%m-%d %H:%M:%S.") + f"{time.microsecond // 1000:03d}"


TYPES = {
    "String": Kind("String", "text", str),
    "UInt": Kind("UInt64", f"a whole number from 0 to {_MOST_UNSIGNED}", _unsigned),
    "Float": Kind("Float64", "a number", _float),
    "DateTime": Kind("DateTime64(3, 'UTC')", "a time such as now, now-2h or 2025-01-31T12:00:00Z", _time),
    "Interval": Kind(
        "UInt64",
        f"a length of time such as 30s, 5m, 1h30m or 7d, from 1s to {_MOST_DAYS}d",
        lambda text: str(_seconds(text)),
    ),
}
"""Types of the header; an Interval reaches ClickHouse as a number of seconds."""

_HEADER = re.compile(r"--\s*(title|description|param|when empty)\b\s*:?\s*(.*)")
_PARAM = re.compile(r"(\w+)\s+(\w+)(?:\(([^)]*)\))?\s*(?:=\s*('[^']*'|[^\s:]+)\s*)?:\s*(.+)")
_USE = re.compile(r"\{(\w+):([^}]+)\}")


def parse(name: str, text: str) -> SavedQuery:
    """Read one file. Raises ValueError with what is wrong in it."""
    facts: dict[str, str] = {}
    parameters: list[Parameter] = []
    lines = text.splitlines()
    for count, line in enumerate(lines):  # noqa: B007
        header = _HEADER.fullmatch(line.strip())
        if header is None:
            break
        if header[1] == "param":
            parameters.append(_parameter(name, header[2]))
        else:
            facts[header[1]] = header[2]
    query = SavedQuery(
        name=name,
        title=facts.get("title", ""),
        description=facts.get("description", ""),
        parameters=tuple(parameters),
        sql="\n".join(lines[count:]).strip(),
        empty=facts.get("when empty", ""),
    )
    _check(query)
    return query


def catalog() -> dict[str, SavedQuery]:
    """Return all saved queries by name, in the order of their names."""
    files = (resources.files(__package__) / "sql").iterdir()
    texts = {file.name.removesuffix(".sql"): file.read_text("utf-8") for file in files if file.name.endswith(".sql")}
    return {name: parse(name, texts[name]) for name in sorted(texts)}


def find(name: str) -> SavedQuery:
    """Return one saved query. Raises QueryError that names the closest one and all others."""
    queries = catalog()
    plain = name.replace("-", "_")
    if plain not in queries:
        raise QueryError(f"There is no query {name}{hint(plain, queries)} There are {listed(queries)}.")
    return queries[plain]


def _parameter(query: str, text: str) -> Parameter:
    found = _PARAM.fullmatch(text)
    if found is None:
        raise ValueError(f"{query}: cannot read the parameter {text!r}; expected: name Type = default : description")
    name, kind, choices, default, description = found.groups()
    if kind not in TYPES:
        raise ValueError(f"{query}: parameter {name} has the type {kind}; expected one of {listed(TYPES)}")
    parameter = Parameter(
        name,
        kind,
        description.strip(),
        default.strip("'") if default is not None else None,
        tuple(re.split(r",\s*", choices)) if choices else (),
    )
    if parameter.default is not None:
        try:
            parameter.convert(parameter.default)
        except QueryError as error:
            raise ValueError(f"{query}: default of {error}") from None
    return parameter


def _check(query: SavedQuery) -> None:
    for part in ("title", "description", "sql"):
        if not getattr(query, part):
            raise ValueError(f"{query.name}: has no {part}")
    declared = {parameter.name: TYPES[parameter.type].clickhouse for parameter in query.parameters}
    if len(declared) != len(query.parameters):
        raise ValueError(f"{query.name}: declares a parameter twice")
    used = _USE.findall(query.sql)
    for name, kind in used:
        if declared.get(name) != kind:
            raise ValueError(
                f"{query.name}: uses {{{name}:{kind}}}, but declares {declared.get(name, 'nothing')} for {name}"
            )
    for name in declared.keys() - {name for name, _ in used}:
        raise ValueError(f"{query.name}: declares the parameter {name} and does not use it")


def hint(name: str, known: Iterable[str]) -> str:
    """End of a sentence about a name that is not known: the closest one that is."""
    names = {one.casefold(): one for one in known}
    close = difflib.get_close_matches(name.casefold(), names, n=1)
    return f"; did you mean {names[close[0]]}?" if close else "."


def listed(names: Iterable[str]) -> str:
    """Names within a sentence."""
    return ", ".join(names)

"""Time zones in a statement: the engine takes the name of one for a path and opens what lies there, a pipe as well.

A zone is the argument of a function, or part of the text that names a type. Either must be written out, so that it can be
read here; only then is it known that it names no file outside of the directory of time zones.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence

from modelspan.processor.clickhouse_http.syntax import Node, refused

CATEGORIES = {"Dates and Times", "Time Window", "Type Conversion", "UUID"}
"""Categories of functions of which most take a zone, or a type with one, many without a word in their documentation."""

_PATH = re.compile(r"file:|/|.*\.\.", re.IGNORECASE | re.DOTALL)
_TYPE_WITH_PATH = re.compile(r"(?:datetime|timestamp).*\(.*(?:file:|\.\.|\\|(?<!\w)/)", re.IGNORECASE | re.DOTALL)
# How many arguments, from the first, may be computed: they are values, and a zone comes after them.
_VALUES = (
    (re.compile(r"now\w*"), 0),
    (re.compile(r"(?:add|subtract|change|time_?diff|date_?trunc|date_?name|timeslots)\w*"), 2),
    (re.compile(r"formatrow\w*"), sys.maxsize),
    (re.compile(r"todecimal\w+ordefault"), 3),
    (re.compile(r"to(?!date_?time)\w+ordefault"), 2),
    (re.compile(r"datediff|age|makedate|makedate32|maketime"), 3),
    (re.compile(r"makedatetime|maketime64"), 6),
    (re.compile(r"makedatetime64"), 7),
)
_CAST = re.compile(r"_?cast|accuratecast\w*|reinterpret")
_TYPED_LAST = re.compile(r"jsonextract(?:keysandvalues)?(?:caseinsensitive)?")
_TYPED = re.compile(
    r"defaultvalueoftypename|structureto\w+|gettypeserializationstreams|dynamicelement|variantelement|getsubcolumn"
)
# Functions of no text: a computed scale, interval, origin or default is no zone.
_OF_NO_TEXT = re.compile(
    r"to(?:u?int|float|decimal|interval|date|startof|lastday|unixtimestamp|monday|timezone)\w*|now\w*|today|yesterday|makedate\w*"
    r"|plus|minus|multiply|divide|intdiv|modulo|negate|tuple|array"
)


def check_zone(text: str) -> None:
    """Raise QueryError for the name of a zone that may be a path."""
    if _PATH.match(text):
        raise refused(f"{text[:100]} is not the name of a time zone, of which system.time_zones has the list")


def check_type(text: str) -> None:
    """Raise QueryError for a text that names a type with such a zone."""
    if _TYPE_WITH_PATH.search(text):
        raise refused(f"{text[:100]} has a time zone that is not one of system.time_zones")


def check_arguments(
    name: str, arguments: Sequence[Node], zoned: Mapping[str, str], parameters: Mapping[str, str]
) -> None:
    """Raise QueryError unless all zones and types among the arguments are written out and name no path.

    `zoned` has the functions that may take one, by alias, with their own names; `parameters` are those of the request.
    """
    own = zoned.get(name.lower(), name.lower())
    if _CAST.fullmatch(own):
        chosen = arguments[1:2]
    elif _TYPED_LAST.fullmatch(own):
        chosen = arguments[-1:]
    elif _TYPED.fullmatch(own):
        chosen = [part for part in arguments[-1:] if own != "gettypeserializationstreams" or part["type"] == "Literal"]
    elif name.lower() in zoned:
        chosen = arguments[_values(own, len(arguments)) :]
    else:
        return
    for argument in chosen:
        text = _text(argument, parameters)
        if text is None:
            raise refused(f"an argument of {name} may be a time zone or a type; write it out, as in '{_EXAMPLE}'")
        check_zone(text)
        check_type(text)


def _values(name: str, count: int) -> int:
    if name.startswith("todecimal") and count == 1:
        return 0  # The engine takes it for a zone before it misses the scale.
    return next((values for names, values in _VALUES if names.fullmatch(name)), 1)


def _text(node: Node, parameters: Mapping[str, str]) -> str | None:
    """The text of an argument, empty where it is none; None where it is not known."""
    kind = node.get("type")
    if kind == "Literal":
        value = node["value"]
        return str(value["value"]) if value.get("field_type") == "String" else ""
    if kind == "QueryParameter":
        return parameters.get(str(node["name"]))
    if kind == "Function" and _OF_NO_TEXT.fullmatch(str(node["name"]).lower()):
        return ""
    return None


_EXAMPLE = "Europe/Berlin"

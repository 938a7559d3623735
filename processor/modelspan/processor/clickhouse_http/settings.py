"""Settings that a request makes, in its URL or in the SETTINGS clause of the statement: honoured, or refused with a reason.

None is dropped that could change a result. Those of transport, logging and writing mean nothing here and are passed over, as
drivers send them unasked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from modelspan.processor.clickhouse_http.errors import UNKNOWN_SETTING, QueryError
from modelspan.processor.clickhouse_http.syntax import Node, nodes, quoted, refused
from modelspan.processor.clickhouse_http.zones import check_zone

_TRANSPORT = re.compile(
    r"(?:http|log|input_format|insert|async_insert|session|send|receive|connect|network|stream|tcp|idle)_\w+"
    r"|add_http_cors_header|allow_experimental_analyzer|async|buffer_size|cancel_http_readonly_queries_on_client_close"
    r"|client_protocol_version|compress|database|decompress|default_format|enable_http_compression|poll_interval|priority|query"
    r"|query_id|quota_key|readonly|role|password|select_sequential_consistency|stacktrace|user|wait_end_of_query"
    r"|wait_for_async_insert"
)
_HONOURED = re.compile(
    r"output_format_(?!\w*schema)\w+|format_(?:csv|tsv|custom)_\w+|date_time_output_format|session_timezone|join_use_nulls"
    r"|extremes|final|limit|offset|max_result_rows|max_(?:rows|bytes)_to_(?:read|group_by|sort)|max_columns_to_read"
    r"|(?:result|read|group_by|sort|timeout)_overflow_mode|(?:union|except|intersect)_default_mode|join_default_strictness"
    r"|join_algorithm|transform_null_in|cast_keep_nullable|prefer_column_name_to_alias|data_type_default_nullable"
    r"|additional_(?:table_filters|result_filter)"
)
# Switches of the planner and of semantics: a number can name no file and no host.
_SWITCH = re.compile(
    r"(?!\w*(?:cache|filesystem|hive|remote|hdfs|s3|azure|iceberg|delta|url|dialect|profiler|python))"
    r"(?:optimize|query_plan|enable|use|group_by|join|any_join|aggregate_functions|asterisk_include|describe|legacy|compile|function_json"
    r"|allow_(?:suspicious|simdjson|deprecated_error|experimental_(?:correlated|join|window|json|variant|dynamic|object)))_\w+"
)
_NUMBER = re.compile(r"true|false|[0-9]{1,9}")
_FILTERS, _FILTER = "additional_table_filters", "additional_result_filter"

Check = Callable[[str], Node]


class Settings:
    """The rules; `known` are the names that the engine has, `most` the limits of a query that a request may only lower."""

    def __init__(self, known: Collection[str], most: Mapping[str, int]) -> None:
        self._known = known
        self._most = most

    def choose(self, url: Mapping[str, str], tree: Node, check: Check) -> dict[str, str]:
        """Return what to set, as literals by name: those of the URL, then those of the statement. Raises QueryError.

        `check` parses and checks a statement, for the conditions that are written in settings.
        """
        chosen: dict[str, str] = {}
        for name, text in url.items():
            if not _is_transport(name):
                value = _map_of(text, check) if name == _FILTERS else {"field_type": "String", "value": text}
                chosen[name] = self._literal(name, value, check, lower=True)
        for change in _of_statement(tree):
            chosen[change["name"]] = self._literal(change["name"], change["value"], check, lower=False)
        return chosen

    def _literal(self, name: str, value: Node, check: Check, *, lower: bool) -> str:
        if name not in self._known:
            raise QueryError(UNKNOWN_SETTING, f"Unknown setting {name!r}. (UNKNOWN_SETTING)")
        if name in self._most:
            return self._at_most(name, str(value["value"]), lower=lower)
        if name == _FILTERS:
            return _filters(value, check)
        text = _text(value)
        if not _HONOURED.fullmatch(name) and not (_SWITCH.fullmatch(name) and _NUMBER.fullmatch(text)):
            raise refused(f"the setting {name} is not one that readers may set")
        if name == "session_timezone":
            check_zone(text)
        if name == _FILTER:
            check(f"SELECT {text}")
        return quoted(text)

    def _at_most(self, name: str, text: str, *, lower: bool) -> str:
        most = self._most[name]
        try:
            asked = float(text) or float("inf")
        except ValueError:
            asked = float("nan")
        if not asked > 0:
            raise refused(f"the setting {name} is not a number: {text[:100]}")
        if asked > most and not lower:
            raise refused(f"the setting {name} is {text}, and readers may have {most}")
        return str(most) if asked > most else text


def _is_transport(name: str) -> bool:
    return name.startswith("param_") or (_TRANSPORT.fullmatch(name) is not None and not _HONOURED.fullmatch(name))


def _of_statement(tree: Node) -> list[Node]:
    """Changes of the SETTINGS clauses that hold for the whole statement. Raises QueryError where others have one."""
    root = tree.get("query", tree)
    selects = root.get("list_of_selects", {}).get("children", [{}])
    whole = [part for part in (selects[-1].get("settings"), root.get("settings_ast"), tree.get("settings_ast")) if part]
    of_explain = [tree["settings"]] if tree.get("type") == "ExplainQuery" and "settings" in tree else []
    for node in nodes(tree):
        if node.get("type") == "SetQuery" and all(node is not part for part in whole + of_explain):
            raise refused("SETTINGS of a part of a statement; write them at its end")
    for change in (change for part in of_explain for change in part["changes"]):
        if change["value"]["field_type"] not in ("UInt64", "Bool"):
            raise refused(f"the setting {change['name']} of EXPLAIN is not a number")
    return [change for part in whole for change in part["changes"]]


def _text(value: Node) -> str:
    content = value["value"]
    return str(int(content)) if isinstance(content, bool) else str(content)


def _map_of(text: str, check: Check) -> Node:
    changes = _of_statement(check(f"SELECT 1 SETTINGS {_FILTERS} = {text}"))
    value: Node = changes[0]["value"] if len(changes) == 1 else {}
    return value


def _filters(value: Node, check: Check) -> str:
    if value.get("field_type") != "Map":
        raise refused(f"the setting {_FILTERS} is not a map of tables and conditions")
    pairs: list[tuple[Any, Any]] = [(pair["value"][0]["value"], pair["value"][1]["value"]) for pair in value["value"]]
    for _, condition in pairs:
        check(f"SELECT {condition}")
    return "{" + ", ".join(f"{quoted(str(table))}: {quoted(str(condition))}" for table, condition in pairs) + "}"

"""Read-only guard: an allow-list over the syntax tree of a statement; anything it does not know is refused.

The engine is told `readonly=1` as well, but as an embedded engine it trusts the process it runs in: read-only, it still reads
files and the environment (the function `file`, also where it is only named, as in `arrayMap(file, ...)` or `* APPLY file`),
writes files (INTO OUTFILE), and opens connections (table functions, DESCRIBE of one). It has no users and no grants.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from modelspan.processor.clickhouse_http.catalogue import SYSTEM_TABLES, TABLE_FUNCTIONS, Catalogue
from modelspan.processor.clickhouse_http.errors import UNKNOWN_FUNCTION, QueryError
from modelspan.processor.clickhouse_http.syntax import READS, Node, Statement, nodes, refused
from modelspan.processor.clickhouse_http.zones import check_arguments, check_type

_STATEMENTS = {
    "SelectWithUnionQuery",
    "ExplainQuery",
    "ShowTablesQuery",
    "ShowColumnsQuery",
    "ShowIndexesQuery",
    "UseQuery",
}
_EXPLAIN = {f"EXPLAIN{kind}" for kind in ("", " AST", " SYNTAX", " QUERY TREE", " PIPELINE", " ESTIMATE")}
_OUTPUT = "is_outfile_append is_outfile_truncate is_into_outfile_with_stdout format_ast settings_ast"
# The nodes that may occur, and what they may have beside `type` and `alias`.
_NODES = {
    "ArrayJoin": "kind expression_list",
    "Asterisk": "transformers",
    "ColumnsApplyTransformer": "func_name parameters lambda lambda_arg column_name_prefix",
    "ColumnsExceptTransformer": "is_strict children pattern",
    "ColumnsListMatcher": "column_list transformers",
    "ColumnsRegexpMatcher": "pattern transformers",
    "ColumnsReplaceTransformer": "is_strict children",
    "ColumnsReplaceTransformerReplacement": "name children",
    "ColumnsTransformerList": "children",
    "ExplainQuery": f"kind query settings {_OUTPUT}",
    "ExpressionList": "children separator",
    "Function": "name arguments parameters is_operator is_lambda_function kind no_empty_args window_definition"
    " is_window_function window_name nulls_action",
    "Identifier": "name name_parts",
    "InterpolateElement": "column expr",
    "Literal": "value",
    "OrderByElement": "direction nulls_direction expression nulls_direction_was_explicitly_specified with_fill collation"
    " fill_from fill_to fill_step fill_staleness",
    "QualifiedAsterisk": "qualifier transformers",
    "QualifiedColumnsListMatcher": "qualifier column_list transformers",
    "QualifiedColumnsRegexpMatcher": "qualifier pattern transformers",
    "QueryParameter": "name param_type",
    "SampleRatio": "numerator denominator",
    "SelectIntersectExceptQuery": "final_operator children list_of_selects",
    "SelectQuery": "with select tables prewhere where group_by having window qualify order_by limit_by_offset limit_by_length"
    " limit_by limit_by_all limit_offset limit_length limit_with_ties settings interpolate distinct group_by_with_totals"
    " group_by_with_rollup group_by_with_cube group_by_with_grouping_sets group_by_all order_by_all recursive_with cte_aliases",
    "SelectWithUnionQuery": f"union_mode list_of_modes list_of_selects {_OUTPUT}",
    "SetQuery": "is_standalone changes",
    "ShowColumnsQuery": f"table database full extended like not_like case_insensitive_like where_expression limit_length {_OUTPUT}",
    "ShowIndexesQuery": f"table database extended where_expression {_OUTPUT}",
    "ShowTablesQuery": "databases clusters cluster cluster_str dictionaries settings merges changed full temporary like not_like"
    f" case_insensitive_like from where_expression limit_length {_OUTPUT}",
    "Subquery": "children",
    "TableExpression": "database_and_table_name subquery table_function final sample_size sample_offset column_aliases",
    "TableIdentifier": "name name_parts",
    "TableJoin": "kind strictness locality on_expression using_expression_list is_natural",
    "TablesInSelectQuery": "children",
    "TablesInSelectQueryElement": "table_expression table_join array_join",
    "UseQuery": "database",
    "WindowDefinition": "frame_is_default frame_type frame_begin_type frame_begin_preceding frame_begin_offset frame_end_type"
    " frame_end_preceding frame_end_offset order_by partition_by parent_window_name",
    "WindowListElement": "name definition",
    "WithElement": "name subquery aliases is_materialized",
}
_PARTS = {kind: {"type", "alias", *parts.split()} for kind, parts in _NODES.items()}
_SAID = {
    "out_file": "INTO OUTFILE would write a file; use FORMAT and save the answer",
    "default_settings": "settings cannot be reset",
}
_IN = {f"{locality}{word}{ending}" for locality in ("", "global") for word in ("in", "notin", "nullin", "notnullin")
       for ending in ("", "ignoreset")}  # fmt: skip
_STRUCTURED = {"generaterandom", "null", "sqlstandardvalues", "values"}
_FORMATS_ROWS = {"formatrow", "formatrownonewline"}


@dataclass(frozen=True)
class Guard:
    """The rules for one request: `database` is the current one, `databases` are those that hold tables of the store.

    `parameters` are the values that the request gives.
    """

    catalogue: Catalogue
    database: str
    databases: Collection[str]
    parameters: Mapping[str, str] = field(default_factory=dict)

    def check(self, statement: Statement) -> None:
        """Raise QueryError (164, READONLY) unless the statement only reads the store."""
        kind = statement.tree.get("type")
        if kind not in _STATEMENTS:
            raise refused(f"only {READS} can be run")
        self.check_tree(statement.tree)

    def check_tree(self, tree: Node) -> None:
        """Raise QueryError unless the tree only reads the store."""
        table_functions = {id(node["table_function"]) for node in nodes(tree) if "table_function" in node}
        names = {str(node.get("name")) for node in nodes(tree) if node.get("type") == "WithElement"}
        for node in nodes(tree):
            kind = node.get("type")
            if kind is None:
                continue
            unknown = node.keys() - _PARTS.get(kind, set())
            if unknown:
                said = next((_SAID[part] for part in sorted(unknown) if part in _SAID), None)
                raise refused(
                    said or f"{kind} with {', '.join(sorted(unknown - {'type'}))} is not known to be harmless"
                )
            if id(node) in table_functions:
                self._check_table_function(node)
            elif kind == "TableIdentifier":
                # A name of WITH may hold in another part of the statement only, so it hides no table of the engine.
                if not (len(_parts(node)) == 1 and _parts(node)[0] in names - self.catalogue.system_tables):
                    self._check_table(_parts(node))
            elif kind in _CHECKS:
                _CHECKS[kind](self, node)

    def check_database(self, name: str) -> None:
        """Raise QueryError for a database that holds no tables of the store, and is not one that describes them."""
        if name not in self.databases and name not in _DESCRIBING:
            known = ", ".join(sorted({*self.databases, *_DESCRIBING}))
            raise refused(f"the database {name} may be one of files or of another server; readers may use {known}")

    def _check_table(self, parts: list[str]) -> None:
        database, table = ([self.database, *parts])[-2:]
        if len(parts) > 2:
            raise refused(f"{'.'.join(parts)} is not the name of a table")
        self.check_database(database)
        if database == "system" and table not in SYSTEM_TABLES:
            raise refused(f"system.{table} is not among the system tables that readers may see")

    def _check_table_function(self, node: Node) -> None:
        if str(node["name"]).lower() not in TABLE_FUNCTIONS:
            raise refused(f"the table function {node['name']} could reach outside of the store")
        first = next(iter(node.get("arguments", {}).get("children", [])), {"type": "Literal"})
        if str(node["name"]).lower() in _STRUCTURED and first["type"] != "Literal" and first.get("name") != "tuple":
            raise refused(f"the first argument of {node['name']} may be the structure of a table; write it out")

    def _check_function(self, node: Node) -> None:
        name = str(node["name"])
        self._check_name(name)
        arguments = node.get("arguments", {}).get("children", [])
        check_arguments(name, arguments, self.catalogue.zoned, self.parameters)
        if name.lower() in _IN and len(arguments) == 2 and arguments[1].get("type") == "Identifier":
            self._check_table(_parts(arguments[1]))
        if name.lower() in _FORMATS_ROWS:
            chosen = arguments[0].get("value", {}).get("value") if arguments else None
            if str(chosen).lower() not in self.catalogue.formats:
                raise refused(f"{name} takes the name of a format that needs no schema and no template")

    def _check_apply(self, node: Node) -> None:
        if node.get("func_name"):
            self._check_name(str(node["func_name"]))

    def _check_name(self, name: str) -> None:
        if name.lower() in self.catalogue.unstoppable:
            raise refused(f"no limit of time stops the function {name} once it compares long values")
        if name.lower() in self.catalogue.withheld:
            raise refused(f"the function {name} could see or do more than read the store")
        if not self.catalogue.may_call(name):
            raise QueryError(UNKNOWN_FUNCTION, f"Function with name `{name}` is not known here. (UNKNOWN_FUNCTION)")

    def _check_identifier(self, node: Node) -> None:
        parts = _parts(node)
        check_type(".".join(parts))  # A part of a column of several types is named by its type.
        if len(parts) == 1 and parts[0].lower() in self.catalogue.nameable:
            raise refused(
                f"{parts[0]} may be taken for the function of that name, which readers may not call;"
                " a column is meant by table.column"
            )
        if len(parts) > 1 and (parts[0] in _DESCRIBING or parts[0] in self.databases or parts[0] == "default"):
            self._check_table(parts[:2])

    def _check_parameter(self, node: Node) -> None:
        kind = str(node["param_type"]).partition("(")[0].strip().lower()
        if kind not in self.catalogue.types:
            raise refused(f"the parameter {node['name']} has no value, or its type {node['param_type']} is none")
        check_type(str(node["param_type"]))
        check_type(self.parameters.get(str(node["name"]), ""))

    def _check_literal(self, node: Node) -> None:
        if node["value"].get("field_type") == "String":
            check_type(str(node["value"]["value"]))

    def _check_explain(self, node: Node) -> None:
        if node["kind"] not in _EXPLAIN or "query" not in node or node["query"].get("type") != "SelectWithUnionQuery":
            raise refused(f"{node['kind']} is not for readers; EXPLAIN takes a SELECT")

    def _check_show_tables(self, node: Node) -> None:
        if "from" in node:
            self._check_named(node["from"])

    def _check_show_of_table(self, node: Node) -> None:
        self._check_table([str(node[key]) for key in ("database", "table") if node.get(key)])

    def _check_use(self, node: Node) -> None:
        self._check_named(node["database"])

    def _check_named(self, node: Node) -> None:
        # Drivers name the database default unasked; it is harmless as long as none of its tables is named.
        if (name := _parts(node)[0]) != "default":
            self.check_database(name)


_DESCRIBING = ("system", "information_schema", "INFORMATION_SCHEMA")
_CHECKS: dict[str, Callable[[Guard, Node], None]] = {
    "Function": Guard._check_function,
    "ColumnsApplyTransformer": Guard._check_apply,
    "Identifier": Guard._check_identifier,
    "Literal": Guard._check_literal,
    "QueryParameter": Guard._check_parameter,
    "ExplainQuery": Guard._check_explain,
    "ShowTablesQuery": Guard._check_show_tables,
    "ShowColumnsQuery": Guard._check_show_of_table,
    "ShowIndexesQuery": Guard._check_show_of_table,
    "UseQuery": Guard._check_use,
}


def _parts(node: Node) -> list[str]:
    return [str(part) for part in node.get("name_parts") or [node.get("name", "")]]

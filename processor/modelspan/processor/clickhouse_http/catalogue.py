"""Functions, table functions, tables and formats of the engine that readers may use.

All of it is read from the engine, and what this file does not know is refused, so that a new version of the engine opens no
door. A function is known by its category: a new one that computes on text, dates or arrays works at once; one in a category
that also holds functions which see files, connections, the configuration or the host works when it is named here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from modelspan.processor.clickhouse_http.zones import CATEGORIES as _ZONED

# Categories whose functions see their arguments and nothing else.
_PURE = {
    "Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional", "Dates and Times", "Distance", "Encoding",
    "Encryption", "Financial", "Geo", "Geo Polygon", "Hash", "IP Address", "JSON", "Logical", "Map", "Mathematical", "Null",
    "NumericIndexedVector", "QBit", "Random Number", "Rounding", "String", "String Replacement", "String Search",
    "String Splitting", "Time Series", "Time Window", "Tuple", "Type Conversion", "URL", "UUID",
}  # fmt: skip
# Of the other categories, mostly `Other`: these see their arguments, the query and its session.
_NAMES_ELSEWHERE = """
    _CAST MACNumToString MACStringToNum MACStringToOUI arrayJoin assignCentroid bar blockNumber blockSerializedSize blockSize
    byteSize caseWithExpression colorOKLABToSRGB colorOKLCHToSRGB colorSRGBToOKLAB colorSRGBToOKLCH countDigits currentDatabase
    currentQueryID currentRoles currentSchemas currentUser defaultValueOfArgumentType defaultValueOfTypeName digits
    dumpColumnStructure errorCodeToName finalizeAggregation flipCoordinates formatQuery formatQueryOrNull formatQuerySingleLine
    formatQuerySingleLineOrNull formatReadableDecimalSize formatReadableQuantity formatReadableSize formatReadableTimeDelta
    getSetting getSettingOrDefault getSizeOfEnumType getSubcolumn getTypeSerializationStreams globalVariable highlightQuery
    identity ignore indexHint initialQueryID initializeAggregation isConstant isDecimalOverflow lowCardinalityIndices
    lowCardinalityKeys materialize minSampleSizeContinuous minSampleSizeConversion neighbor nested normalizeQuery
    normalizeQueryKeepNames normalizedQueryHash normalizedQueryHashKeepNames parseISO8601Duration parseReadableSize
    parseReadableSizeOrNull parseReadableSizeOrZero parseTimeDelta partitionId pgGetUserById pgTableIsVisible queryID revision
    rowNumberInAllBlocks rowNumberInBlock runningAccumulate runningDifference runningDifferenceStartingWithFirstValue shardCount
    shardNum sleep sleepEachRow throwIf toColumnTypeName toTypeName tokenizeQuery transform uptime variantElement variantType
    version visibleWidth evalMLMethod
    """
_PURE_ELSEWHERE = frozenset(_NAMES_ELSEWHERE.split())
# Of the pure categories, these read word lists that the configuration names.
_IMPURE = {"stem", "lemmatize", "synonyms"}
# These take a time that grows with the product of two lengths, and the engine stops in none of them, however long it runs.
_UNSTOPPABLE = re.compile(
    r"(?:edit|(?:damerau|array)?levenshtein)distance\w*|jaro(?:winkler)?\w*|stringjaccard\w*|arraysimilarity\w*",
    re.IGNORECASE,
)
# The parser's own, which `system.functions` does not list.
_SYNTAX = {"lambda", "grouping", "untuple", "exists"}

TABLE_FUNCTIONS = {
    "numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "generaterandom", "primes", "values",
    "sqlstandardvalues", "view", "null",
}  # fmt: skip
"""Table functions that make their rows of their arguments, in lower case."""

_SYSTEM_TABLES = """
    aggregate_function_combinators clusters codecs collations columns completions constraints contributors current_roles
    dashboards data_skipping_index_types data_skipping_indices data_type_families database_engines databases detached_parts
    dictionaries disks documentation dropped_tables enabled_roles events formats functions keywords licenses merge_tree_settings
    merges metrics moves mutations numbers numbers_mt one parts parts_columns primes projections projection_parts
    projection_parts_columns quotas replicas replication_queue roles settings statements storage_policies table_engines
    table_functions tables time_zones tokenizers unicode zeros zeros_mt
    """
SYSTEM_TABLES = frozenset(_SYSTEM_TABLES.split())
"""Tables of the database `system` that describe the store and the language: no configuration, processes, users or stacks."""

# Formats of families that need nothing but the rows: no schema or template file, no registry.
_FORMAT = re.compile(
    r"(TabSeparated|TSV|CSV|CustomSeparated|JSON|PrettyJSON|NDJSON|PrettyNDJSON|Pretty|RowBinary|LineAsString|Raw|GeoJSON"
    r"|Markdown|MD|Vertical|Values|XML|TSKV|SQLInsert|Prometheus|Native|Arrow|Parquet|ORC|Avro|MsgPack|Npy|BSON|Hash|PNG"
    r"|HiveText|Null)"
    r"(Raw|BLOB|Compact|Columns|Strings|Object|EachRow|Lines?|L|WithNames|AndTypes|WithProgress|WithMetadata|MonoBlock|NoEscapes"
    r"|Space|Stream)*"
)

_FUNCTIONS = r"""
SELECT concatWithSeparator('\t', name, if(alias_to = '', name, alias_to), toString(is_aggregate), toString(origin = 'System'),
    categories, toString(match(trimBoth(syntax), '^\\w+\\(\\s*\\)$')))
FROM system.functions
"""

Column = Callable[[str], list[str]]


@dataclass(frozen=True)
class Catalogue:
    """Names by which the engine is asked; functions and types in lower case, as many may be written in either."""

    functions: set[str] = field(default_factory=set)
    """Functions that readers may call."""
    withheld: set[str] = field(default_factory=set)
    """Functions that they may not call."""
    nameable: set[str] = field(default_factory=set)
    """Withheld functions that take arguments, so that a bare name could stand for one, as in `arrayMap(file, ...)`."""
    unstoppable: set[str] = field(default_factory=set)
    """Withheld functions that only compute, but that no limit of time ends."""
    zoned: dict[str, str] = field(default_factory=dict)
    """Functions that may take a time zone or a type, by alias, with their own names."""
    aggregates: set[str] = field(default_factory=set)
    combinators: tuple[str, ...] = ()
    system_tables: set[str] = field(default_factory=set)
    """All tables of the database `system`, also those that readers may not see."""
    types: set[str] = field(default_factory=set)
    formats: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Output formats that readers may ask for: name and content type, by the name in lower case."""

    @classmethod
    def read(cls, column: Column) -> Catalogue:
        """Read it from the engine; `column` returns the only column of a query, as text."""
        rows = [line.split("\t") for line in column(_FUNCTIONS)]
        of_name = {name: (category, without_arguments) for name, _, _, _, category, without_arguments in rows}
        allowed, withheld, nameable, aggregates = set(_SYNTAX), set(), set(), set()
        unstoppable = {name.lower() for name, original, *_ in rows if _UNSTOPPABLE.fullmatch(original)}
        zoned = {
            name.lower(): original.lower()
            for name, original, is_aggregate, *_ in rows
            if is_aggregate != "1" and of_name.get(original, ("", "0"))[0] in _ZONED
        }
        for name, original, is_aggregate, is_builtin, *_ in rows:
            category, without_arguments = of_name.get(original, ("", "0"))
            if is_builtin == "1" and (is_aggregate == "1" or _is_pure(original, category)):
                allowed.add(name.lower())
                if is_aggregate == "1":
                    aggregates.add(name.lower())
            else:
                withheld.add(name.lower())
                if without_arguments != "1":
                    nameable.add(name.lower())
        combinators = column("SELECT name FROM system.aggregate_function_combinators WHERE NOT is_internal")
        return cls(
            functions=allowed - withheld,
            withheld=withheld,
            nameable=nameable,
            unstoppable=unstoppable,
            zoned=zoned,
            aggregates=aggregates,
            combinators=tuple(name.lower() for name in combinators),
            system_tables={*column("SELECT name FROM system.tables WHERE database = 'system'")},
            types={name.lower() for name in column("SELECT name FROM system.data_type_families")},
            formats=_formats(column),
        )

    def may_call(self, name: str) -> bool:
        """True if readers may call the function: an allowed one, or an aggregate with combinators (`sumIf`)."""
        name = name.lower()
        return name in self.functions or self._is_combined(name)

    def _is_combined(self, name: str) -> bool:
        return any(
            name.endswith(combinator)
            and (name.removesuffix(combinator) in self.aggregates or self._is_combined(name.removesuffix(combinator)))
            for combinator in self.combinators
        )


def _is_pure(name: str, category: str) -> bool:
    return (category in _PURE and name not in _IMPURE and not _UNSTOPPABLE.fullmatch(name)) or name in _PURE_ELSEWHERE


def _formats(column: Column) -> dict[str, tuple[str, str]]:
    names = column("SELECT name FROM system.formats WHERE is_output ORDER BY name")
    types = column("SELECT content_type FROM system.formats WHERE is_output ORDER BY name")
    return {name.lower(): (name, kind) for name, kind in zip(names, types, strict=True) if _FORMAT.fullmatch(name)}

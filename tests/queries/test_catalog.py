"""The header of a saved query, and the values of its parameters."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest

from modelspan.queries import QueryError, catalog, find
from modelspan.queries.catalog import TYPES, Parameter, parse

GOOD = """-- title: T
-- description: D.
-- param model String = '' : name: with a colon
-- param limit UInt : how many
SELECT {model:String}, {limit:UInt64} -- param of nothing
"""


def test_a_header_gives_title_description_parameters_and_the_rest_is_sql() -> None:
    query = parse("q", GOOD)
    assert (query.title, query.description) == ("T", "D.")
    assert query.parameters == (
        Parameter("model", "String", "name: with a colon", ""),
        Parameter("limit", "UInt", "how many", None),
    )
    assert query.sql.startswith("SELECT")


@pytest.mark.parametrize(
    ("change", "to", "says"),
    [
        ("-- title: T\n", "", "no title"),
        ("UInt :", "Int :", "type Int"),
        ("String = ''", "UInt = many", "default"),
        ("{limit:UInt64}", "1", "does not use"),
        ("{limit:UInt64}", "{limit:String}", "uses {limit:String}"),
        ("-- param limit UInt : how many\n", "", "declares nothing for limit"),
        ("-- param limit UInt", "-- param limit", "cannot read"),
    ],
)
def test_a_header_that_does_not_fit_its_body_is_refused(change: str, to: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse("q", GOOD.replace(change, to))


def test_the_saved_queries_are_those_that_are_promised() -> None:
    assert set(catalog()) >= {
        "models",
        "predictions_per_minute",
        "drift_now",
        "drift_over_time",
        "feature_distribution",
        "slowest_predictions",
        "telemetry_loss",
        "windows",
        "prediction",
        "references",
    }


def test_no_saved_query_needs_a_particular_engine() -> None:
    special = re.compile(r"(?<!\.)\b(file|url|remote|cluster|system\.|SETTINGS|chdb)\b", re.IGNORECASE)
    assert [query.name for query in catalog().values() if special.search(query.sql)] == []


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("String", " x ", " x "),
        ("UInt", "12", "12"),
        ("Float", "1e-3", "0.001"),
        ("Interval", "1h30m", "5400"),
        ("Interval", "2w", "1209600"),
        ("DateTime", "2025-01-31T12:00:00Z", "2025-01-31 12:00:00.000"),
        ("DateTime", "2025-01-31 12:00:00.25+02:00", "2025-01-31 10:00:00.250"),
        ("DateTime", "2025-01-31", "2025-01-31 00:00:00.000"),
    ],
)
def test_values_are_turned_into_what_clickhouse_reads(kind: str, text: str, value: str) -> None:
    assert Parameter("p", kind, "", None).convert(text) == value


def test_now_and_times_before_it_are_understood() -> None:
    before = datetime.now(timezone.utc).timestamp()
    read = [Parameter("p", "DateTime", "", None).convert(text) for text in ("now-1h", "now")]
    hour_ago, now = (datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp() for text in read)
    assert now >= before - 0.001
    assert 3599 < now - hour_ago < 3700


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("UInt", "-1"),
        ("UInt", "x"),
        ("Float", "nan"),
        ("Interval", "0s"),
        ("Interval", "5"),
        ("DateTime", "soon"),
        ("UInt", "9" * 30),
        ("Interval", "99999999d"),
    ],
)
def test_a_bad_value_is_refused_with_the_expected_type(kind: str, text: str) -> None:
    with pytest.raises(QueryError, match=re.escape(TYPES[kind].expected)):
        Parameter("p", kind, "", None).convert(text)


def test_the_largest_number_is_said_and_taken() -> None:
    assert Parameter("p", "UInt", "", None).convert("18446744073709551615") == "18446744073709551615"
    with pytest.raises(QueryError, match="from 0 to 18446744073709551615"):
        Parameter("p", "UInt", "", None).convert("18446744073709551616")
    assert Parameter("p", "Interval", "", None).convert("36600d") == str(36600 * 86400)
    with pytest.raises(QueryError, match="from 1s to 36600d"):
        Parameter("p", "Interval", "", None).convert("36601d")


def test_unknown_names_are_answered_with_the_closest_one() -> None:
    with pytest.raises(QueryError, match="did you mean drift_now"):
        find("drift_nwo")
    with pytest.raises(QueryError, match="did you mean last"):
        find("windows").bind({"lasst": "1h"})
    with pytest.raises(QueryError, match="id=VALUE"):
        find("prediction").bind({})


def test_a_parameter_with_a_list_takes_its_values_and_names_them() -> None:
    query = parse("q", "-- title: T\n-- description: D.\n-- param k String(one, two) = '' : which\nSELECT {k:String}")
    assert [query.bind({"k": given})["k"] for given in ("one", "two", "")] == ["one", "two", ""]
    with pytest.raises(QueryError, match=r"k is 'tow', but it takes one of one, two; did you mean two\?"):
        query.bind({"k": "tow"})


def test_words_of_the_saved_queries_are_checked() -> None:
    for name, parameter in (("drift_now", "status"), ("drift_over_time", "kind"), ("feature_distribution", "kind")):
        required = {"model": "m"} if name == "feature_distribution" else {}
        with pytest.raises(QueryError, match="takes one of"):
            find(name).bind({**required, parameter: "nonsense"})

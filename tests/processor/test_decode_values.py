"""Attribute values become the strings that the Collector makes of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.common.v1.common_pb2 import KeyValueList

from modelspan.processor.decode.number_maps import numbers
from modelspan.processor.decode.values import raw, raws, text, texts
from tests.processor.otlp import any_value, pairs


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        ("", ""),
        ("text", "text"),
        (True, "true"),
        (False, "false"),
        (-(2**63), "-9223372036854775808"),
        (1.0, "1"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-10, "1.5e-10"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (math.nan, "json: unsupported value: NaN"),
        (-math.inf, "json: unsupported value: -Inf"),
        (b"\x00\xff", "AP8="),
        ([], "[]"),
        ({}, "{}"),
        ([1, 2.0, "a", None, True, b"\x00"], '[1,2,"a",null,true,"AA=="]'),
        ({"b": 1.5, "a": [{"d": 1e-9, "c": 1e16}]}, '{"a":[{"c":10000000000000000,"d":1e-9}],"b":1.5}'),
        ({"<&>": "\u2028\n\t\x01é"}, '{"\\u003c\\u0026\\u003e":"\\u2028\\n\\t\\u0001é"}'),
        ({"a": math.nan}, ""),
        ([math.inf], ""),
        ({"feature1e5": 0.5, "x.0,": "null"}, '{"feature1e5":0.5,"x.0,":"null"}'),
    ],
)
def test_text_of_a_value(value: Any, expected: str) -> None:
    assert text(raw(any_value(value))) == expected


def test_maps_of_the_store_have_sorted_keys_and_the_last_of_two_values() -> None:
    attributes = [*pairs({"b": 1, "a": 2.5}), *pairs({"b": "again"})]
    assert list(texts(raws(attributes)).items()) == [("a", "2.5"), ("b", "again")]


def kvlist(values: dict[str, Any]) -> KeyValueList:
    return KeyValueList(values=pairs(values))


def test_maps_of_numbers_read_in_one_piece_are_those_read_one_by_one() -> None:
    rng = np.random.default_rng(0)
    names = ["", "ü" * 70, "k" * 200, *(f"f{i}" for i in range(20))]
    for _ in range(200):
        chosen = [str(name) for name in rng.permutation(names)[: rng.integers(1, len(names))]]
        for _ in range(3):
            values = {name: float(v) for name, v in zip(chosen, rng.normal(size=len(chosen)), strict=True)}
            entries = kvlist(values)
            assert raw(any_value(values)) == raws(entries.values) == values
            assert list(numbers(entries) or values) == list(values)


def test_a_map_that_only_has_the_length_of_the_last_one_is_walked() -> None:
    floats = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    assert numbers(kvlist(floats)) is None
    assert numbers(kvlist(floats)) == floats
    for other in ({"x": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}, {"a": "8 bytes!", "b": 2.0, "c": 3.0, "d": 4.0}):
        assert raw(any_value(other)) == other
        assert raw(any_value(floats)) == floats


def test_nan_and_signed_zero_survive_the_quick_way() -> None:
    values = {"a": math.nan, "b": -0.0, "c": math.inf, "d": 5e-324}
    raw(any_value(values))
    quick = numbers(kvlist(values))
    assert quick is not None
    assert math.isnan(quick.pop("a"))
    assert math.copysign(1, quick["b"]) == -1
    assert quick == {"b": 0.0, "c": math.inf, "d": 5e-324}

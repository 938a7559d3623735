"""Attribute values become the strings that the Collector makes of them."""

from __future__ import annotations

import math
from typing import Any

import pytest

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

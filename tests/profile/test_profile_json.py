from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from modelspan.profile import InvalidProfile, Profile, categorical_profile, from_json, numeric_profile, to_json

NUMERIC = {
    "kind": "feature", "name": "amount", "type": "numeric", "rows": 5000, "missing": 12,
    "cuts": [1.5, 2.5], "counts": [10, 4970, 8], "mean": 2.0, "stddev": 0.4, "min": 0.0, "max": 9.0,
}  # fmt: skip
CATEGORICAL = {
    "kind": "label", "name": "", "type": "categorical", "rows": 5000, "missing": 0,
    "categories": ["DE", "FR"], "counts": [4000, 990, 10],
}  # fmt: skip


def written(*series: Any) -> bytes:
    return json.dumps({"format": 1, "series": list(series)}).encode()


def test_the_example_of_the_wire_document_is_read() -> None:
    amount, label = from_json(written(NUMERIC, CATEGORICAL)).series
    assert (amount.name, amount.missing, amount.counts.tolist()) == ("amount", 12.0, [10.0, 4970.0, 8.0])
    assert (label.kind, label.rows, label.counts.tolist()) == ("label", 5000.0, [4000.0, 990.0, 10.0])


def test_what_was_written_is_read_back_bit_for_bit() -> None:
    rng = np.random.default_rng(3)
    profile = Profile(
        (
            numeric_profile(rng.normal(size=999), kind="feature", name="a", weights=rng.random(999)),
            numeric_profile([np.nan, np.inf], kind="score", name=""),
            numeric_profile(rng.integers(0, 9, 50) * 5e-324, kind="feature", name="tiny"),
            categorical_profile(["ü", "", '"', None], kind="feature", name="é"),
            categorical_profile([], kind="label", name=""),
        )
    )
    again = from_json(to_json(profile))
    assert to_json(again) == to_json(profile)
    assert np.array_equal(again.series[0].counts, profile.series[0].counts)


def test_text_that_utf8_cannot_hold_does_not_stop_a_profile() -> None:
    made = from_json(to_json(Profile((categorical_profile(["\ud800"], kind="feature", name="x"),))))
    assert made.series[0].rows == 1.0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cuts": [2.5, 1.5]}, "not strictly increasing"),
        ({"cuts": [1.5, 1.5]}, "not strictly increasing"),
        ({"cuts": [1.5]}, "need 2 counts"),
        ({"cuts": [1.5, "2"]}, "finite numbers"),
        ({"cuts": [1.5, True]}, "finite numbers"),
        ({"cuts": None}, "list"),
        ({"cuts": [0.0] * 3000}, "at most"),
        ({"counts": [-1, 4981, 8]}, "negative"),
        ({"counts": [10, 4970, 9]}, "add up"),
        ({"counts": [10, 4970, 10**400]}, "finite"),
        ({"rows": -1}, "rows"),
        ({"rows": "many"}, "rows"),
        ({"mean": "2"}, "mean"),
        ({"kind": "target"}, "none of feature, label, score, value"),
        ({"kind": 3}, "string"),
        ({"name": "x" * 10_000}, "string of at most"),
        ({"type": "text"}, "neither numeric nor categorical"),
    ],
)
def test_a_malformed_numeric_series_is_refused_with_a_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidProfile, match=sentence):
        from_json(written({**NUMERIC, **change}))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"categories": ["DE", "DE"]}, "twice"),
        ({"categories": ["DE"]}, "need 2 counts"),
        ({"categories": ["DE", 3]}, "list of strings"),
        ({"categories": "DE"}, "list of strings"),
    ],
)
def test_a_malformed_categorical_series_is_refused_with_a_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidProfile, match=sentence):
        from_json(written({**CATEGORICAL, **change}))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not UTF-8 JSON"),
        (b"\xff", "not UTF-8 JSON"),
        (b"[" * 100_000, "not UTF-8 JSON"),
        (b"1" * 5_000, "not UTF-8 JSON"),
        (b"[]", "format"),
        (b'{"format": 2, "series": []}', "format"),
        (b'{"format": 1}', "list"),
        (b'{"format": 1, "series": [1]}', "not an object"),
        (b" " * (16 * 1024 * 1024 + 1), "at most"),
        (written(NUMERIC, NUMERIC), "same kind and name"),
        (written(NUMERIC).replace(b"2.0", b"NaN"), "mean"),
        (written(NUMERIC).replace(b"4970", b"1e999"), "finite"),
    ],
)
def test_bytes_that_are_no_profile_are_refused_with_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(InvalidProfile, match=sentence):
        from_json(data)


def test_no_damage_to_a_profile_raises_anything_else() -> None:
    rng = np.random.default_rng(11)
    strange: list[Any] = [None, [], {}, "", -1, 1e308, True, float("nan"), [None], [[1]], {"a": 1}, 10**400]
    refused = 0
    for _ in range(2000):
        series = copy.deepcopy([NUMERIC, CATEGORICAL][rng.integers(2)])
        field = list(series)[rng.integers(len(series))]
        series[field] = strange[rng.integers(len(strange))]
        try:
            from_json(written(series))
        except InvalidProfile:
            refused += 1
    assert refused > 1000


def test_no_damage_to_the_bytes_raises_anything_else() -> None:
    rng = np.random.default_rng(12)
    whole = written(NUMERIC, CATEGORICAL)
    refused = 0
    for _ in range(2000):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(256)
        try:
            from_json(bytes(data))
        except InvalidProfile:
            refused += 1
    assert refused > 1000

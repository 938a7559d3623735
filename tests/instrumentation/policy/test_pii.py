"""Personal data that is plain to see in texts does not leave the process, and what was found is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from modelspan.instrumentation import config
from modelspan.instrumentation.recorder.pii import Detectors, passes_luhn
from modelspan.semconv import attributes as ml
from modelspan.semconv import metrics


class Reader(BaseEstimator):  # type: ignore[misc]
    def fit(self, X: Any, y: Any = None) -> Reader:
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to ada.lovelace+x@mail.example.co.uk.", "write to [email]."),
        ("card 4111 1111 1111 1111, thanks", "card [card], thanks"),
        ("5500-0000-0000-0004", "[card]"),
        ("order 4111111111111112", "order 4111111111111112"),
        ("0000 0000 0000 0000", "0000 0000 0000 0000"),
        ("to DE89 3704 0044 0532 0130 00 by Friday", "to [iban] by Friday"),
        ("AB12 transfer to GB82WEST12345698765432", "AB12 transfer to [iban]"),
        ("DE88 3704 0044 0532 0130 00", "DE88 3704 0044 0532 0130 00"),
        ("call +49 30 901820, or mail a@b.de", "call [phone], or mail [email]"),
        ("call 030 901820", "call 030 901820"),
        ("nothing 2024-01-02 1234.5678 here", "nothing 2024-01-02 1234.5678 here"),
        ("", ""),
    ],
)
def test_what_is_found_is_masked_and_the_rest_stays(text: str, masked: str) -> None:
    cleaned, _ = Detectors("mask", None, None).clean([text])
    assert cleaned == [masked]


def test_with_a_region_national_phone_numbers_are_found() -> None:
    assert Detectors("mask", "DE", None).clean(["Tel. 030 901820"])[0] == ["Tel. [phone]"]


@pytest.mark.parametrize(("number", "valid"), [("79927398713", True), ("79927398710", False), ("0000000000", False)])
def test_check_digits_of_cards(number: str, valid: bool) -> None:
    assert passes_luhn(number) is valid


def test_a_text_with_personal_data_is_dropped_or_its_data_hashed() -> None:
    texts = ["x a@b.de", "x a@b.de", "x c@d.de", None, "plain"]
    assert Detectors("drop", None, None).clean(texts)[0] == [None, None, None, None, "plain"]
    one, again, other, missing, plain = Detectors("hash", None, b"key").clean(texts)[0]
    assert one == again != other
    assert one is not None
    assert one.startswith("x [email:")
    assert (missing, plain) == (None, "plain")
    assert Detectors("hash", None, None).clean(texts)[0][:1] == [None], "without a key nothing is hashed"


def test_nothing_of_an_address_is_left_where_a_text_was_cut(again: Callable[..., Any]) -> None:
    telemetry = again(pii="mask")
    Reader().predict(["x" * 500 + " b@c.de " + "y" * 500 + " ada.lovelace@example.org"])
    (text,) = telemetry.batch().to_pydict()["feature.text"]
    assert "ada" not in text
    assert "[email]" in text


def test_it_is_off_unless_asked_for(telemetry: Any) -> None:
    Reader().predict(["a@b.de"])
    assert telemetry.batch().to_pydict()["feature.text"] == ["a@b.de"]


def test_what_was_found_is_said_and_counted(again: Callable[..., Any]) -> None:
    telemetry = again(pii="mask", span_features=True)
    model = Reader()
    model.predict([{"note": "a@b.de and c@d.de", "n": 1}])
    model.predict([{"note": "+49 30 901820", "n": 2}])
    ((attributes, table),) = telemetry.batches()
    assert table.to_pydict()["feature.note"] == ["[email] and [email]", "[phone]"]
    assert attributes[ml.ML_REDACTION_FEATURES] == ("note",)
    assert attributes[ml.ML_REDACTION_METHODS] == ("masked",)
    counted = {
        p.attributes[ml.ML_REDACTION_DETECTOR]: p.value for p in telemetry.points(metrics.MODELSPAN_RECORDER_REDACTED)
    }
    assert counted == {"email": 2, "phone": 1}
    assert "@" not in str([dict(span.attributes or {}) for span in telemetry.spans()])


@pytest.mark.parametrize(
    ("text", "action"),
    [("off", None), ("", None), ("MASK", "mask"), ("drop", "drop"), ("hash", "hash"), ("yes", "mask")],
)
def test_a_setting_that_is_not_understood_hides_too(text: str, action: str | None) -> None:
    assert config.load({"OTEL_INSTRUMENTATION_ML_PII": text}).pii == action

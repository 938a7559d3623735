"""A rule for a feature that no model has is named in one warning, and a rule for another model of the process is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from modelspan.instrumentation import failure, flush, identify, set_reference
from modelspan.instrumentation.recorder import unmatched
from modelspan.instrumentation.recorder.unmatched import Unmatched

FRAME = pd.DataFrame({"country": [1.0, 2.0, 3.0], "amount": [4.0, 5.0, 7.0]})
OTHER = pd.DataFrame({"balance": [1.0, 2.0, 3.0]})


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure, "_said", set())


def predict(frame: Any, name: str) -> None:
    model = LinearRegression().fit(frame, [1, 2, 3])
    identify(model, name=name)
    for _ in range(3):
        model.predict(frame)
        assert flush()


NEAR = [
    ({"features": "contry=drop"}, "FEATURES names 'contry'", "country"),
    ({"features": {"Country": "hash"}}, "FEATURES names 'Country'", "country"),
    ({"features": "total_amount=mask,amuont=mask,country=drop"}, "FEATURES names 'amuont'", "amount"),
    ({"capture": "country,amuont"}, "CAPTURE names 'amuont'", "amount"),
]


@pytest.mark.parametrize(("options", "rule", "near"), NEAR)
def test_a_name_nearly_that_of_a_feature_is_named_at_once(
    again: Callable[..., Any], caplog: pytest.LogCaptureFixture, options: Any, rule: str, near: str
) -> None:
    again(**options)
    predict(FRAME, "fraud")
    (said,) = [record.message for record in caplog.records]
    effect = "No feature is captured" if "capture" in options else "Nothing is done to a feature"
    assert said == (
        f"OTEL_INSTRUMENTATION_ML_{rule}, which is none of the 2 features of model fraud; did you mean '{near}'?"
        f" {effect} by that name."
    )


RIGHT = [
    "country=drop",
    "country=drop,amount=mask",
    "count*=drop,nothing_like_it*=hash",
    "drop",
    "country=drop,balance=drop",
    "country=drop,income_1=drop",
]


@pytest.mark.parametrize("rules", RIGHT)
def test_rules_that_fit_a_model_of_the_process_or_may_fit_another_are_not_named_at_once(
    again: Callable[..., Any], caplog: pytest.LogCaptureFixture, rules: str
) -> None:
    again(features=rules)
    predict(FRAME.assign(income_2=1.0), "fraud")
    predict(OTHER, "credit")
    assert caplog.records == []


def test_a_name_by_which_the_program_passes_a_feature_fits(
    again: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    again(features="country=drop")
    LinearRegression().fit(FRAME.to_numpy(), [1, 2, 3]).predict(FRAME)
    assert flush()
    assert caplog.records == []


def test_what_is_made_of_a_feature_fits_its_rule() -> None:
    rules = Unmatched((), ["ssn", "image", "a.b"])
    rules.see("m", ["ssn.1", "image.norm", "a.b.c"], ())
    assert rules.left == {}


def test_a_rule_is_compared_with_the_features_of_references_too(
    again: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    again(features="contry=drop")
    set_reference(LinearRegression().fit(FRAME, [1, 2, 3]), FRAME)
    assert flush()
    assert any("did you mean 'country'?" in record.message for record in caplog.records)


def test_what_fits_no_model_is_named_at_the_exit(program: Callable[..., str]) -> None:
    source = """
    import logging, sys
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    set_up_sdk()
    SklearnInstrumentor().instrument(features="iban=drop,x1=drop,*_id=hash")
    from sklearn.linear_model import LinearRegression
    LinearRegression().fit(np.eye(2), [1, 2]).predict(np.eye(2))
    """
    assert program(source) == (
        "OTEL_INSTRUMENTATION_ML_FEATURES names 'iban', which is no feature of any model so far"
        " (LinearRegression has x0, x1). Nothing is done to a feature by that name."
    )


def test_what_fits_no_model_for_a_while_is_named(
    again: Callable[..., Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unmatched, "PATIENCE", -1.0)
    again(features="iban=drop,country=drop")
    predict(FRAME, "fraud")
    predict(FRAME, "credit")
    (said,) = [record.message for record in caplog.records]
    assert "names 'iban', which is no feature of any model so far (fraud has country, amount)" in said

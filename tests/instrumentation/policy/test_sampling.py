"""A sample of the rows estimates sums over all of them without bias, whatever rules keep; and what a rule keeps is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation import config
from modelspan.instrumentation.recorder.keep import KeepRules, parse_keep
from modelspan.instrumentation.recorder.quantile import RunningQuantile
from modelspan.instrumentation.recorder.texts import from_strings
from modelspan.semconv import attributes as ml
from modelspan.semconv import metrics

ROWS = 20_000
X = np.random.default_rng(11).normal(size=(ROWS, 3))
MODEL = LogisticRegression().fit(X, X[:, 0] + X[:, 1] > 0)


def rows_of(telemetry: Any) -> dict[str, list[Any]]:
    """All rows of all batches, by column; weight 1 where there is none."""
    found: dict[str, list[Any]] = {}
    for _, table in telemetry.batches():
        columns = table.to_pydict()
        columns.setdefault("weight", [1.0] * table.num_rows)
        columns.setdefault("keep_reason", [None] * table.num_rows)
        for name, values in columns.items():
            found.setdefault(name, []).extend(values)
    return found


def test_a_row_weighs_as_many_as_it_stands_for(again: Callable[..., Any]) -> None:
    telemetry = again(sample=0.1, keep="none")
    MODEL.predict(X)
    rows = rows_of(telemetry)
    kept = len(rows["weight"])
    assert abs(kept - 0.1 * ROWS) < 5 * np.sqrt(ROWS * 0.09)
    assert set(rows["weight"]) == {10.0}
    assert set(rows["keep_reason"]) == {None}


def test_a_row_that_a_rule_keeps_stands_for_itself_alone(again: Callable[..., Any]) -> None:
    telemetry = again(sample=0.1, keep="uncertain:0.5")
    probabilities = MODEL.predict_proba(X)
    uncertain = np.abs(probabilities[:, 1] - probabilities[:, 0]) < 0.5
    rows = rows_of(telemetry)
    weights, reasons = np.array(rows["weight"]), np.array(rows["keep_reason"])
    assert (weights[reasons == "uncertain"] == 1).all()
    assert (reasons == "uncertain").sum() == uncertain.sum(), "every one of them"
    assert (weights[reasons != "uncertain"] == 10).all()


@pytest.mark.parametrize("keep", ["none", "uncertain:0.3", "uncertain:0.9"])
def test_sums_over_all_rows_are_estimated_without_bias(again: Callable[..., Any], keep: str) -> None:
    telemetry = again(sample=0.2, keep=keep)
    probabilities = MODEL.predict_proba(X)[:, 1]
    rows = rows_of(telemetry)
    weights, scores = np.array(rows["weight"]), np.array(rows["score"])
    for statistic in (
        np.ones_like,
        lambda p: p,
        lambda p: (p > 0.8).astype(float),
        lambda p: (abs(p - 0.5) < 0.1) * 1.0,
    ):
        exact = statistic(probabilities)
        error = (weights * statistic(scores)).sum() - exact.sum()
        # The variance of the Horvitz-Thompson estimator with independent rows; none from those that a rule keeps.
        assert abs(error) < 5 * np.sqrt((0.8 / 0.2) * (exact**2).sum()) + 1e-6


def test_of_a_call_too_large_to_copy_a_row_kept_by_a_rule_stands_for_its_stratum(again: Callable[..., Any]) -> None:
    telemetry = again(sample=0.5, keep="uncertain:0.5", call_bytes=24 * 2000)
    MODEL.predict_proba(X)
    rows = rows_of(telemetry)
    weights, reasons = np.array(rows["weight"]), np.array(rows["keep_reason"])
    assert set(weights[reasons == "uncertain"]) == {10.0}
    assert set(weights[reasons != "uncertain"]) == {20.0}


def test_calls_that_raise_are_always_kept(again: Callable[..., Any]) -> None:
    telemetry = again(sample=1e-9)
    for _ in range(5):
        with pytest.raises(ValueError, match="features"):
            MODEL.predict(X[:1, :2])
    MODEL.predict(X[:100])
    rows = rows_of(telemetry)
    assert rows["keep_reason"] == ["error"] * 5
    assert rows["error_type"] == ["ValueError"] * 5
    assert rows["weight"] == [1.0] * 5


class Sleeper(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    def fit(self, X: Any, y: Any) -> Sleeper:
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, X: Any) -> Any:
        time.sleep(float(X[0, 0]))
        return np.zeros(len(X), dtype=int)


def test_calls_that_take_longer_than_a_limit_are_always_kept(again: Callable[..., Any]) -> None:
    telemetry = again(sample=1e-9, keep="slow:50ms")
    model = Sleeper().fit(None, None)
    for seconds in (0.0, 0.06, 0.0):
        model.predict(np.array([[seconds]]))
    rows = rows_of(telemetry)
    assert rows["keep_reason"] == ["slow"]
    assert rows["feature.x0"] == [0.06]


def test_calls_slower_than_most_so_far_are_always_kept(again: Callable[..., Any]) -> None:
    telemetry = again(sample=1e-9, keep="slow:p99")
    model = Sleeper().fit(None, None)
    for _ in range(150):
        model.predict(np.array([[0.0]]))
    telemetry.logs()
    model.predict(np.array([[0.2]]))
    assert rows_of(telemetry)["keep_reason"] == ["slow"]


def test_a_running_quantile_is_near_the_exact_one_and_follows_the_stream() -> None:
    rng = np.random.default_rng(0)
    running = RunningQuantile(0.99)
    for scale in (1e5, 1e7):
        for _ in range(100):
            values = (rng.lognormal(size=1000) * scale).astype(np.int64)
            above = running.exceeded(values).mean()
        assert 0 < above < 0.03


def wants_large(rows: Mapping[str, Any]) -> Any:
    return [value > 2.5 for value in rows["feature.x2"]]


@pytest.mark.parametrize("rule", [wants_large, f"{__name__}:wants_large"])
def test_a_rule_of_the_program_keeps_what_it_wants(again: Callable[..., Any], rule: Any, request: Any) -> None:
    import sys

    sys.modules.setdefault(__name__, request.module)
    telemetry = again(sample=1e-9, keep="none", keep_rule=rule)
    MODEL.predict(X)
    rows = rows_of(telemetry)
    assert sorted(rows["feature.x2"]) == sorted(X[X[:, 2] > 2.5, 2].tolist())
    assert set(rows["keep_reason"]) == {"forced"}


@pytest.mark.parametrize("rule", [lambda rows: [True], lambda rows: 1 / 0, "no.such.module:rule"])
def test_a_rule_that_fails_keeps_nothing_and_is_said_once(
    again: Callable[..., Any], rule: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelspan.instrumentation import failure

    monkeypatch.setattr(failure, "_said", set())
    telemetry = again(sample=0.5, keep="none", keep_rule=rule)
    for _ in range(2):
        MODEL.predict(X[:1000])
        telemetry.logs()
    assert 700 < len(rows_of(telemetry)["weight"]) < 1300
    assert [r.message for r in caplog.records if "which rows to keep" in r.message] == [
        "Modelspan could not ask the program which rows to keep; predictions continue without it. Said once."
    ]


def test_a_rule_that_wants_to_exit_loses_no_row(again: Callable[..., Any]) -> None:
    asked = threading.Event()

    def rule(rows: Any) -> Any:
        asked.set()
        raise SystemExit

    telemetry = again(sample=0.5, keep_rule=rule, flush_interval=0.01)
    MODEL.predict(X[:1000])
    assert asked.wait(60)
    last = telemetry.numbered()[-1]
    assert last[ml.MODELSPAN_RECORDER_ROWS_DROPPED] == 0
    assert 300 < last[ml.MODELSPAN_RECORDER_ROWS_RECORDED] < 700


def test_what_was_made_is_what_was_kept_dropped_and_left_out(again: Callable[..., Any]) -> None:
    telemetry = again(sample=0.3, call_bytes=24 * 2000)
    MODEL.predict(X)
    MODEL.predict(X[:10])
    MODEL.predict_proba(X[:200])  # so many that some are handed on
    last = telemetry.numbered()[-1]
    accounted = (
        last[ml.MODELSPAN_RECORDER_ROWS_RECORDED],
        last[ml.MODELSPAN_RECORDER_ROWS_DROPPED],
        last[ml.MODELSPAN_RECORDER_ROWS_UNSAMPLED],
    )
    assert sum(accounted) == ROWS + 210 == sum(point.value for point in telemetry.points(metrics.ML_PREDICTIONS))


def test_without_a_setting_every_row_is_handed_on(telemetry: Any) -> None:
    MODEL.predict_proba(X[:1000])
    table = telemetry.batch()
    assert table.num_rows == 1000
    assert not {"weight", "keep_reason"} & set(table.column_names)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("none", KeepRules()),
        ("", KeepRules()),
        ("error, uncertain:0.1,slow:p99.9", KeepRules(True, 0.1, 0.999, None)),
        ("slow:250ms,slow:p50", KeepRules(False, 0.0, 0.5, 0.25)),
    ],
)
def test_rules_as_text(text: str, rules: KeepRules) -> None:
    found = parse_keep(text)
    assert (found.errors, found.margin, found.slow_seconds) == (rules.errors, rules.margin, rules.slow_seconds)
    assert found.slow_share == (None if rules.slow_share is None else pytest.approx(rules.slow_share))


@pytest.mark.parametrize("text", ["errors", "slow", "slow:3", "slow:p200", "uncertain", "uncertain:2"])
def test_a_rule_that_there_is_not_is_named_and_the_default_taken(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_keep(text)
    assert config.load({"OTEL_INSTRUMENTATION_ML_KEEP": text}).keep == config.Config().keep


def test_strings_at_any_places() -> None:
    texts = from_strings(["", "a", "äöü", "bc", ""])
    assert texts.taken(np.array([3, 2, 2, 0, 4, 1])).tolist() == ["bc", "äöü", "äöü", "", "", "a"]
    assert texts[1:4].taken(np.array([2, 0])).tolist() == ["bc", "a"]
    assert texts.taken(np.array([], dtype=np.int64)).tolist() == []

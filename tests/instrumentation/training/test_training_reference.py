"""What a model is fitted on becomes the reference of that fitted state, and of no other fit."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    permutation_test_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelspan.instrumentation import failure, flush, identify, set_reference
from modelspan.instrumentation.patching.wrappers import guarded_train
from modelspan.instrumentation.recorder import current, duty, training
from modelspan.instrumentation.recorder.fingerprint import fingerprint
from modelspan.profile.wire import from_json
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

RNG = np.random.default_rng(3)
X = RNG.normal(size=(400, 3))
Y = X[:, 0] > 0


def references(telemetry: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Attributes of every reference, and its series by kind and name."""
    found = [dict(record.attributes) for record in telemetry.events(events.ML_REFERENCE_PROFILE)]
    profiles = [from_json(attributes.pop(ml.ML_REFERENCE_PROFILE_DATA)) for attributes in found]
    return [
        (attributes, {(one.kind, one.name): one for one in profile.series})
        for attributes, profile in zip(found, profiles, strict=True)
    ]


def reference(telemetry: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The only one."""
    (found,) = references(telemetry)
    return found


def named(telemetry: Any) -> list[tuple[str, str, str]]:
    """Model name, version and source of every reference."""
    keys = ml.ML_MODEL_NAME, ml.ML_MODEL_VERSION, ml.ML_REFERENCE_SOURCE
    return [tuple(attributes[key] for key in keys) for attributes, _ in references(telemetry)]


def version_of(model: Any) -> str:
    return f"fit-{fingerprint(model)[:12]}"


def test_a_fit_makes_a_reference_for_the_version_of_its_predictions(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    model.predict(X[:2])
    attributes, series = reference(telemetry)
    (batch, _), *_ = telemetry.batches()
    assert attributes[ml.ML_MODEL_NAME] == batch[ml.ML_MODEL_NAME]
    assert attributes[ml.ML_MODEL_VERSION] == batch[ml.ML_MODEL_VERSION] == version_of(model)
    assert attributes[ml.ML_REFERENCE_SAMPLE_COUNT] == 400
    assert set(series) == {("feature", "x0"), ("feature", "x1"), ("feature", "x2")}
    assert series["feature", "x1"].mean == pytest.approx(X[:, 1].mean())


def test_data_given_by_name_is_found(telemetry: Any) -> None:
    LogisticRegression().fit(y=Y, X=X)
    assert len(references(telemetry)) == 1


def test_the_columns_of_a_frame_keep_their_names_and_types_and_targets_stay_out(telemetry: Any) -> None:
    frame = pd.DataFrame({"amount": X[:, 0], "country": RNG.choice(["DE", "FR"], 400), "late": Y})
    encoded = make_column_transformer((StandardScaler(), ["amount"]), (OneHotEncoder(), ["country"]))
    model = make_pipeline(encoded, LogisticRegression()).fit(frame, np.where(Y, "secret", "target"))
    attributes, series = reference(telemetry)
    assert set(series) == {("feature", "amount"), ("feature", "country")}
    assert set(series["feature", "country"].categories) == {"DE", "FR"}
    assert (attributes[ml.ML_MODEL_NAME], attributes[ml.ML_MODEL_VERSION]) == ("LogisticRegression", version_of(model))


@pytest.mark.parametrize(
    "fit",
    [
        lambda: GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(X, Y),
        lambda: RandomForestClassifier(5, n_jobs=2, oob_score=True).fit(X, Y),
        lambda: StackingClassifier([("a", LogisticRegression()), ("b", SGDClassifier())], cv=2).fit(X, Y),
        lambda: BaggingClassifier(LogisticRegression(), 3, n_jobs=2).fit(X, Y),
        lambda: KMeans(2, n_init=1).fit_predict(X),
        lambda: LogisticRegression().fit(X.tolist(), Y),
        lambda: LogisticRegression().fit([tuple(row) for row in X], Y),
        lambda: LogisticRegression().fit(tuple(map(tuple, X)), Y),
        lambda: LogisticRegression().fit(tuple(X), Y),
        lambda: LogisticRegression().fit(scipy.sparse.csr_matrix(X), Y),
        lambda: make_pipeline(CountVectorizer(), SGDClassifier()).fit(["yes", "no"] * 200, Y),
    ],
)
@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB")
def test_the_outermost_fit_alone_makes_one_reference(telemetry: Any, fit: Callable[[], Any]) -> None:
    fit()
    assert len(references(telemetry)) == 1


def test_a_search_and_its_best_estimator_have_the_same_reference(telemetry: Any) -> None:
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [1, 2]}, cv=2
    )
    search.fit(X, Y)
    search.best_estimator_.predict(X[:1])
    (batch, _), *_ = telemetry.batches()
    assert named(telemetry) == [(batch[ml.ML_MODEL_NAME], batch[ml.ML_MODEL_VERSION], "fit")]


@pytest.mark.parametrize(
    "fit",
    [
        lambda: cross_val_score(LogisticRegression(), X, Y, cv=2),
        lambda: cross_val_score(LogisticRegression(), X, Y, cv=2, n_jobs=2),
        lambda: cross_val_predict(LogisticRegression(), X, Y, cv=2),
        lambda: learning_curve(LogisticRegression(), X, Y, cv=2),
        lambda: permutation_test_score(LogisticRegression(), X, Y, cv=2, n_permutations=2),
        lambda: SequentialFeatureSelector(LogisticRegression(), cv=2).fit(X, Y),
        lambda: SGDClassifier().partial_fit(X, Y, classes=[False, True]),
        lambda: StandardScaler().fit_transform(X),
        lambda: TruncatedSVD(2).fit(X),
        lambda: make_pipeline(StandardScaler(), TruncatedSVD(2)).fit(X),
        lambda: DBSCAN().fit_predict(X),
        lambda: LogisticRegression().fit(X[:50], Y[:50]),
    ],
)
def test_what_is_no_fit_of_a_model_that_predicts_or_is_too_small_makes_none(
    telemetry: Any, fit: Callable[[], Any]
) -> None:
    fit()
    assert references(telemetry) == []


def test_a_fit_that_raises_makes_none(telemetry: Any) -> None:
    with pytest.raises(ValueError, match="inconsistent numbers"):
        LogisticRegression().fit(X, Y[:-1])
    assert telemetry.logs() == []


def test_the_data_is_copied_before_the_fit_changes_it(telemetry: Any) -> None:
    data = X.copy() + 100
    make_pipeline(StandardScaler(copy=False), LinearRegression()).fit(data, Y)
    assert abs(data.mean()) < 1e-9
    _, series = reference(telemetry)
    assert series["feature", "x0"].mean == pytest.approx(X[:, 0].mean() + 100)


def test_of_much_data_a_bounded_sample_is_taken_that_is_the_same_each_time(telemetry: Any) -> None:
    values = RNG.normal(size=(200_000, 1))
    for _ in range(2):
        LinearRegression().fit(values, values[:, 0])
    (first, series), (second, _) = references(telemetry)
    assert first[ml.ML_REFERENCE_SAMPLE_COUNT] == training.MAX_ROWS
    assert first[ml.ML_REFERENCE_ID] == second[ml.ML_REFERENCE_ID]
    assert series["feature", "x0"].stddev == pytest.approx(1.0, abs=0.02)


def test_a_large_sparse_matrix_is_not_converted_while_the_fit_waits(
    telemetry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "MAX_ROWS", 150)
    monkeypatch.setattr(training, "MOST_BY_COLUMN", 100)
    rows = scipy.sparse.random(300, 5, 0.5, format="csr", random_state=0)
    for held in (rows, rows.tocsc(), rows.tocoo(), rows[:150].tocsc()):
        LogisticRegression().fit(held, np.arange(held.shape[0]) % 2)
    assert len(telemetry.events(events.ML_REFERENCE_PROFILE)) == 2


def test_a_wide_sparse_matrix_is_bounded_by_what_it_is_when_dense(
    telemetry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "MAX_BYTES", 8 * 50 * 120)
    LogisticRegression().fit(scipy.sparse.random(400, 50, 0.01, format="csr", random_state=0), Y)
    attributes, _ = reference(telemetry)
    assert attributes[ml.ML_REFERENCE_SAMPLE_COUNT] == 120


def test_the_sample_reaches_over_all_of_sorted_data(telemetry: Any) -> None:
    values = np.arange(200_000.0)[:, None]
    LinearRegression().fit(values, values[:, 0])
    _, series = reference(telemetry)
    assert series["feature", "x0"].mean == pytest.approx(100_000, rel=0.01)
    assert (series["feature", "x0"].min, series["feature", "x0"].max) == pytest.approx((0, 200_000), abs=10)


def test_the_random_numbers_of_the_program_stay_as_they_are(telemetry: Any) -> None:
    values = RNG.normal(size=(60_000, 1))
    np.random.seed(0)
    LinearRegression().fit(values, values[:, 0])
    assert np.random.random() == np.random.RandomState(0).random()
    assert len(references(telemetry)) == 1


def test_each_refit_has_its_own_reference(telemetry: Any) -> None:
    model = LogisticRegression()
    versions = [version_of(model.fit(X + shift, Y)) for shift in (0, 1)]
    assert [version for _, version, _ in named(telemetry)] == versions
    means = [series["feature", "x0"].mean for _, series in references(telemetry)]
    assert means[1] - means[0] == pytest.approx(1)


def test_a_model_that_is_gone_before_it_was_looked_at_has_its_reference(telemetry: Any) -> None:
    version = version_of(LogisticRegression().fit(X, Y))
    gc.collect()
    assert named(telemetry) == [("LogisticRegression", version, "fit")]


@pytest.mark.parametrize("when", ["before the fit", "after it", "after the reference went out"])
def test_the_reference_has_the_name_that_the_program_gives(telemetry: Any, when: str) -> None:
    model = LogisticRegression()
    if when == "before the fit":
        identify(model, name="churn", version="7")
    model.fit(X, Y)
    if when == "after the reference went out":
        assert flush()
    if when != "before the fit":
        identify(model, name="churn", version="7")
    assert named(telemetry)[-1] == ("churn", "7", "fit")
    assert len(named(telemetry)) == (2 if when == "after the reference went out" else 1)


def test_a_reference_that_the_program_sets_replaces_it(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    assert set_reference(model, X + 5)
    assert named(telemetry) == [("LogisticRegression", version_of(model), "training")]


def test_it_can_be_switched_off(again: Callable[..., Any]) -> None:
    telemetry = again(reference="off")
    model = LogisticRegression().fit(X, Y)
    model.predict(X[:1])
    assert references(telemetry) == []
    assert telemetry.rows() == 1
    assert set_reference(model, X)
    assert len(references(telemetry)) == 1


def test_features_that_are_not_captured_are_not_profiled(again: Callable[..., Any]) -> None:
    telemetry = again(capture="x1")
    LogisticRegression().fit(X, Y)
    assert set(reference(telemetry)[1]) == {("feature", "x1")}


def test_where_no_features_are_captured_there_is_no_reference(again: Callable[..., Any]) -> None:
    telemetry = again(capture="none")
    LogisticRegression().fit(X, Y)
    assert references(telemetry) == []


def test_a_loop_of_fits_makes_no_more_references_than_allowed_and_says_so_once(
    telemetry: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "AT_ONCE", 3)
    monkeypatch.setattr(training, "PER_SECOND", 0.0)
    with caplog.at_level(logging.WARNING):
        for shift in range(10):
            LinearRegression().fit(X, X[:, 0] + shift)
    assert len(references(telemetry)) == 3
    assert [r.message for r in caplog.records].count(training.TOO_MANY) <= 1


def test_references_of_a_loop_of_fits_take_their_share_of_time_and_no_more(
    again: Callable[..., Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure, "_said", set())
    monkeypatch.setattr(duty, "REFERENCES", 1e-6)
    telemetry = again(duty=1e-9)
    for shift in range(10):
        LinearRegression().fit(X, X[:, 0] + shift).predict(X[:2])
    assert len(references(telemetry)) == 1
    assert telemetry.rows() == 20  # which have a time of their own
    assert [r.message for r in caplog.records].count(training.TOO_MANY) == 1


def test_predictions_keep_half_of_the_queue(again: Callable[..., Any]) -> None:
    telemetry = again(queue_bytes=40_000)
    with current.get()._work:
        for _ in range(20):
            LinearRegression().fit(X, X[:, 0])
        assert current.get().queue.bytes <= 20_000
    assert len(references(telemetry)) >= 1


class Strange(ClassifierMixin, BaseEstimator):
    """A model of a user, which fits another one, and itself twice."""

    def fit(self, X: Any, y: Any) -> Strange:
        self.inner_ = clone(LogisticRegression()).fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict(self, X: Any) -> Any:
        return self.inner_.predict(X)


def test_models_of_the_program_itself_have_references(telemetry: Any) -> None:
    model = Strange().fit(X, Y)
    assert named(telemetry) == [("Strange", version_of(model), "fit")]


def test_data_that_cannot_be_read_twice_is_left_alone(telemetry: Any) -> None:
    model = make_pipeline(CountVectorizer(), SGDClassifier())
    model.fit((text for text in ["yes", "no"] * 200), Y)
    assert (model.predict(["yes"])[0], references(telemetry)) == (True, [])


def test_a_fault_in_it_changes_no_fit(telemetry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise ZeroDivisionError

    for part in ("_sample", "_predicts", "Training"):
        with monkeypatch.context() as patch:
            patch.setattr(training, part, broken)
            assert LogisticRegression().fit(X, Y).score(X, Y) > 0.9
    assert references(telemetry) == []


def test_a_function_that_returns_a_fitted_model_gives_it_a_reference(telemetry: Any) -> None:
    def train(parameters: dict[str, Any], data: Any, rounds: int = 1) -> Any:
        return LinearRegression(**parameters).fit(data, data[:, 0])

    def data_of(parameters: Any, data: Any, rounds: int = 1) -> Any:
        return data

    wrapped = guarded_train(train, data_of, current.get())
    model = wrapped({"fit_intercept": False}, data=X)
    assert model.coef_[0] == pytest.approx(1)
    assert named(telemetry) == [("LinearRegression", version_of(model), "fit")]
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        wrapped({})


def test_a_training_program_that_ends_at_once_loses_no_reference(program: Callable[..., str]) -> None:
    source = """
    set_up_sdk()
    SklearnInstrumentor().instrument(flush_interval=1000)
    import atexit
    from sklearn.linear_model import LinearRegression

    def report():
        print([log.log_record.event_name for log in logs.get_finished_logs()])

    atexit.register(report)
    x = np.random.default_rng(0).normal(size=(1000, 3))
    LinearRegression().fit(x, x[:, 0])
    """
    assert program(source) == f"['{events.ML_MODEL_LOADED}', '{events.ML_REFERENCE_PROFILE}']"

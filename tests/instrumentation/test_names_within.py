"""Features have the names that a model was fitted with, whichever estimator within it knows them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pytest
import xgboost as xgb
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from modelspan.instrumentation import set_reference
from modelspan.profile import from_json
from modelspan.semconv import attributes as ml
from modelspan.semconv import events
from tests.instrumentation.conftest import Telemetry
from tests.instrumentation.test_names import NAMED, POSITIONS, Y, feature_names, recorded

__all__ = ["recorded"]

X = np.random.default_rng(0).normal(size=(200, 3))
FRAME = pd.DataFrame(X, columns=NAMED)
LABELS = (X[:, 0] > 0).astype(int)


class Own(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A step of a program, which remembers no names."""

    def fit(self, X: Any, y: Any = None) -> Own:
        return self

    def transform(self, X: Any) -> Any:
        return np.asarray(X)


class Wrapper(BaseEstimator):  # type: ignore[misc]
    """A model of a program around one of a library."""

    def fit(self, X: Any, y: Any) -> Wrapper:
        self.model = LogisticRegression().fit(X, y)
        return self

    def predict(self, X: Any) -> Any:
        return self.model.predict(X)


def passing(*steps: tuple[str, Any]) -> Pipeline:
    return Pipeline([*(steps or [("first", "passthrough")]), ("model", LogisticRegression())])


MODELS: dict[str, Callable[[], Any]] = {
    "passthrough": passing,
    "None": lambda: passing(("first", None)),
    "a function": lambda: passing(("first", FunctionTransformer())),
    "a nested pipeline": lambda: passing(("first", Pipeline([("first", "passthrough"), ("scale", StandardScaler())]))),
    "a union": lambda: passing(
        ("first", FeatureUnion([("a", FunctionTransformer()), ("b", "passthrough"), ("c", StandardScaler())]))
    ),
    "a search": lambda: GridSearchCV(passing(), {"model__C": [1.0, 2.0]}, cv=2),
    "calibrated": lambda: CalibratedClassifierCV(passing(), cv=2),
    "voting": lambda: VotingClassifier([("a", passing()), ("b", passing())]),
    "stacking": lambda: StackingClassifier([("a", passing())], LogisticRegression(), cv=2),
    "bagging": lambda: BaggingClassifier(passing(), n_estimators=2, max_features=0.5),
    "one against the rest": lambda: OneVsRestClassifier(passing()),
    "several outputs": lambda: MultiOutputClassifier(passing()),
    "a chain": lambda: ClassifierChain(passing()),
    "transformed targets": lambda: TransformedTargetRegressor(
        Pipeline([("first", "passthrough"), ("model", LinearRegression())])
    ),
    "self-training": lambda: SelfTrainingClassifier(passing()),
    "LightGBM": lambda: Pipeline(
        [("first", "passthrough"), ("m", lgb.LGBMClassifier(n_estimators=2, n_jobs=1, verbose=-1))]
    ),
    "XGBoost": lambda: OneVsRestClassifier(
        Pipeline([("first", None), ("m", xgb.XGBClassifier(n_estimators=2, n_jobs=1))])
    ),
    "a step of the program": lambda: passing(("own", Own())),
    "a search over a step of the program": lambda: GridSearchCV(passing(("own", Own())), {"model__C": [1.0]}, cv=2),
    "voting of steps of the program": lambda: VotingClassifier([("a", passing(("own", Own())))]),
    "a model of the program": Wrapper,
}
INPUTS: dict[str, Callable[[], Any]] = {
    "frame": lambda: FRAME[:4],
    "frame of two types": lambda: FRAME[:4].astype({"age": "float32"}),
    "array": lambda: X[:4],
    "polars": lambda: pl.DataFrame(FRAME[:4]),
    "sparse": lambda: sparse.csr_matrix(X[:4]),
    "lists": lambda: X[:4].tolist(),
}


def names_of_reference(recorded: Telemetry) -> list[str]:
    reference = recorded.events(events.ML_REFERENCE_PROFILE)[-1]
    return [one.name for one in from_json(reference.attributes[ml.ML_REFERENCE_PROFILE_DATA]).series]


def served(recorded: Telemetry) -> list[list[str]]:
    return [feature_names(table) for _, table in recorded.batches() if "error_type" not in table.column_names]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fitted", ["frame", "array"])
@pytest.mark.parametrize("model", MODELS)
def test_a_model_has_the_names_of_the_estimator_that_takes_its_input(
    recorded: Telemetry, model: str, fitted: str
) -> None:
    made = MODELS[model]()
    targets = np.c_[LABELS, 1 - LABELS] if isinstance(made, (MultiOutputClassifier, ClassifierChain)) else LABELS
    made.fit(FRAME if fitted == "frame" else X, targets)
    taken = 0
    for make in INPUTS.values():
        try:
            made.predict(make())
            taken += 1
        except Exception:  # the model does not take it
            continue
    expected = NAMED if fitted == "frame" else POSITIONS
    assert taken >= 3
    assert names_of_reference(recorded) == expected
    found = served(recorded)
    assert found == [expected] * len(found)


def test_a_loaded_pipeline_names_arrays_as_the_first_estimator_that_knows_the_columns(telemetry: Telemetry) -> None:
    class Kept(Own):
        def transform(self, X: Any) -> Any:
            return X

    model = passing(("own", Kept()))
    model.steps[-1][1].fit(FRAME, LABELS)  # by another process, as far as the pipeline knows
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(X[:4])
    model.predict(FRAME[:4])
    assert served(telemetry) == [NAMED, NAMED]


def test_a_reference_names_the_columns_of_a_model_that_does_not_know_them(telemetry: Telemetry) -> None:
    model = Wrapper()
    model.model = LogisticRegression().fit(X, LABELS)
    assert set_reference(model, FRAME)
    model.predict(X[:4])
    assert served(telemetry) == [NAMED]


COLUMNS: dict[str, Any] = {
    "spaces": ["my col", "b  c", "d"],
    "tuples": pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", 1)]),
    "integers": [10, 20, 30],
    "dates": list(pd.date_range("2026-01-01", periods=3).date),
    "an empty one": [None, "a", "b"],
    "signs": ['a"b', "c:d", "e,f"],
}
EMPTY = str(pd.Index([None, "a"])[0])
"""As this version of pandas writes a label that is missing."""
LIBRARIES: dict[str, Callable[[Any], Any]] = {
    "scikit-learn": lambda x: LinearRegression().fit(x, Y),
    "LightGBM": lambda x: lgb.LGBMRegressor(n_estimators=2, n_jobs=1, verbose=-1).fit(x, Y),
    "LightGBM in a pipeline": lambda x: Pipeline(
        [("first", "passthrough"), ("m", lgb.LGBMRegressor(n_estimators=2, n_jobs=1, verbose=-1))]
    ).fit(x, Y),
    "XGBoost": lambda x: xgb.XGBRegressor(n_estimators=2, n_jobs=1).fit(x, Y),
}
WRITTEN: dict[tuple[str, str], list[str]] = {
    ("scikit-learn", "spaces"): ["my col", "b  c", "d"],
    ("LightGBM", "spaces"): ["my_col", "b__c", "d"],
    ("LightGBM in a pipeline", "spaces"): ["my_col", "b__c", "d"],
    ("XGBoost", "spaces"): ["my col", "b  c", "d"],
    ("scikit-learn", "tuples"): POSITIONS,
    ("XGBoost", "tuples"): ["a x", "a y", "b 1"],
    ("scikit-learn", "integers"): POSITIONS,
    ("LightGBM", "integers"): ["10", "20", "30"],
    ("XGBoost", "integers"): ["10", "20", "30"],
    ("scikit-learn", "dates"): POSITIONS,
    ("LightGBM", "dates"): ["2026-01-01", "2026-01-02", "2026-01-03"],
    ("XGBoost", "dates"): ["2026-01-01", "2026-01-02", "2026-01-03"],
    ("LightGBM", "an empty one"): [EMPTY, "a", "b"],
    ("XGBoost", "an empty one"): [EMPTY, "a", "b"],
    ("scikit-learn", "signs"): ['a"b', "c:d", "e,f"],
    ("XGBoost", "signs"): ['a"b', "c:d", "e,f"],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("library", "columns"), WRITTEN)
def test_a_label_is_written_as_the_library_writes_it(recorded: Telemetry, library: str, columns: str) -> None:
    frame = pd.DataFrame(X, columns=COLUMNS[columns])
    model = LIBRARIES[library](frame)
    of_two_types = frame[:4].astype({frame.columns[1]: "float32"})
    for given in (frame[:4], of_two_types, X[:4]):
        model.predict(given)
    assert set_reference(model, frame)
    expected = WRITTEN[library, columns]
    assert served(recorded) == [expected] * 3
    assert names_of_reference(recorded) == expected


MIXED = FRAME.assign(city=["a", "b"] * 100, note="n")
TAKEN = ["age", "debt", "city"]


def encoded(*more: tuple[str, Any, Any]) -> ColumnTransformer:
    return ColumnTransformer([("n", StandardScaler(), ["age", "debt"]), ("c", OneHotEncoder(), ["city"]), *more])


USING: dict[str, Callable[[], Any]] = {
    "a pipeline": lambda: passing(("columns", encoded())),
    "a search": lambda: GridSearchCV(passing(("columns", encoded())), {"model__C": [1.0]}, cv=2),
    "dropped by name": lambda: passing(("columns", encoded(("d", "drop", ["note"])))),
    "voting": lambda: VotingClassifier(
        [("a", passing(("columns", encoded()))), ("b", passing(("columns", encoded())))]
    ),
}
PARTS: dict[str, Callable[[], Any]] = {
    "all columns": lambda: MIXED[:4],
    "those used": lambda: MIXED[TAKEN][:4],
    "more columns": lambda: MIXED.assign(more=1, another="a")[:4],
    "another order": lambda: MIXED[TAKEN[::-1]][:4],
    # A ColumnTransformer of scikit-learn before 1.4 reads no other frames than those of pandas.
    **({"polars": lambda: pl.DataFrame(MIXED[:4])} if find_spec("sklearn.utils._indexing") else {}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", USING)
def test_columns_that_a_column_transformer_drops_are_no_features(telemetry: Telemetry, model: str) -> None:
    made = USING[model]().fit(MIXED, LABELS)
    for make in PARTS.values():
        made.predict(make())
    assert names_of_reference(telemetry) == TAKEN
    assert [sorted(names) for names in served(telemetry)] == [sorted(TAKEN)] * len(PARTS)
    assert set_reference(made, MIXED[TAKEN])
    assert not set_reference(made, MIXED.drop(columns="age"))


def test_columns_that_are_chosen_by_position_keep_their_positions(telemetry: Telemetry) -> None:
    model = passing(("columns", ColumnTransformer([("n", StandardScaler(), [0, 2])]))).fit(X, LABELS)
    model.predict(X[:4])
    model.predict(FRAME[:4])
    assert names_of_reference(telemetry) == ["x0", "x2"]
    assert served(telemetry) == [["x0", "x2"]] * 2
    assert telemetry.batches()[1][1]["feature.x2"].to_pylist() == X[:4, 2].tolist()


def test_columns_that_are_passed_on_are_features(telemetry: Telemetry) -> None:
    rest = ColumnTransformer([("n", StandardScaler(), ["age"])], remainder="passthrough")
    passing(("columns", rest)).fit(FRAME, LABELS).predict(FRAME[:4])
    assert served(telemetry) == [NAMED]

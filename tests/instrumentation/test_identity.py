"""A model has a name and a version that everyone sees, and that are the same wherever it is loaded."""

from __future__ import annotations

import copy
import datetime
import gc
import pickle
import uuid
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler

from modelspan.instrumentation import identify
from modelspan.instrumentation.recorder import fingerprint as module
from modelspan.instrumentation.recorder.fingerprint import fingerprint
from modelspan.instrumentation.recorder.identity import identities
from modelspan.instrumentation.recorder.kinds import Kind
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

RNG = np.random.default_rng(3)
X = RNG.normal(size=(80, 4))
Y = (X[:, 0] > 0).astype(int)


def versions(telemetry: Any) -> list[str]:
    return [attributes["ml.model.version"] for attributes, _ in telemetry.batches()]


def test_the_version_is_the_same_in_every_process_that_loads_the_model(
    program: Callable[..., str], tmp_path: Path
) -> None:
    models = [
        LogisticRegression(),
        RandomForestClassifier(10, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
        HistGradientBoostingClassifier(max_iter=5),
    ]
    for model in models:
        model.fit(X, Y)
        model.predict(X)
    models.append(
        make_pipeline(TfidfVectorizer(stop_words=["the"]), LogisticRegression()).fit(["the yes", "no"], [1, 0])
    )
    (tmp_path / "models.pickle").write_bytes(pickle.dumps(models))
    source = """
    import pickle, sys, joblib, io
    from pathlib import Path
    from modelspan.instrumentation.recorder.fingerprint import fingerprint
    models = pickle.loads(Path(sys.argv[1]).read_bytes())
    again = io.BytesIO()
    joblib.dump(models, again)
    again.seek(0)
    print(*map(fingerprint, models), *map(fingerprint, joblib.load(again)))
    """
    here = [fingerprint(model) for model in models]
    assert len(set(here)) == 5
    for seed in ("0", "1"):
        there = program(source, str(tmp_path / "models.pickle"), prelude="", PYTHONHASHSEED=seed)
        assert there.split() == here * 2


def test_what_was_learnt_makes_the_version_and_nothing_else() -> None:
    first, same, other = (LogisticRegression().fit(X, y) for y in (Y, Y, 1 - Y))
    assert fingerprint(first) == fingerprint(same) != fingerprint(other)


@pytest.mark.parametrize(
    "model",
    [
        KNeighborsClassifier(algorithm="kd_tree"),
        make_pipeline(StandardScaler(), KNeighborsClassifier(algorithm="ball_tree")),
        LocalOutlierFactor(novelty=True),
        VotingClassifier([("a", LogisticRegression()), ("b", SGDClassifier())]),
        StackingClassifier([("a", LogisticRegression()), ("b", KNeighborsClassifier())], cv=2),
        RandomForestClassifier(3, random_state=np.random.RandomState(5)),
        MLPClassifier((2,), max_iter=2),
        GradientBoostingClassifier(n_estimators=2),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_predicting_and_being_saved_a_model_keeps_its_version(model: Any) -> None:
    learnt = fingerprint(model.fit(X, Y))
    model.predict(X)
    assert fingerprint(model) == learnt
    assert fingerprint(copy.deepcopy(model)) == learnt
    loaded = pickle.loads(pickle.dumps(model))
    assert fingerprint(loaded) == learnt
    loaded.predict(X)
    assert fingerprint(loaded) == learnt


def test_what_a_server_sets_to_run_faster_is_not_what_was_learnt() -> None:
    model = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0, n_jobs=-1, verbose=0)).fit(X, Y)
    learnt = fingerprint(model)
    model.set_params(randomforestclassifier__n_jobs=1, randomforestclassifier__verbose=1)
    assert fingerprint(model) == learnt


def test_what_a_program_writes_on_a_model_after_its_fit_is_not_what_was_learnt() -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    before = fingerprint(model)
    model.threshold = 0.4
    model[-1].comment = "of May"
    assert fingerprint(pickle.loads(pickle.dumps(model))) == before
    model[-1].coef_[0, 0] += 1e-9
    assert fingerprint(model) != before
    own = Chain().fit(X)
    before = fingerprint(own)
    own.threshold = 0.4
    assert fingerprint(own) != before, "a class of the program may well predict with it"


def test_dates_are_learnt_too() -> None:
    days = np.array([["2026-01-01"], ["2026-01-02"], ["NaT"]], dtype="datetime64[ns]")
    first, same, other = (OrdinalEncoder().fit(one) for one in (days, days.copy(), days[:2]))
    assert fingerprint(first) == fingerprint(same) != fingerprint(other)
    assert fingerprint(pickle.loads(pickle.dumps(first))) == fingerprint(first)


def test_functions_of_numpy_are_told_apart() -> None:
    assert len({fingerprint(FunctionTransformer(one)) for one in (np.log1p, np.sqrt, np.mean, np.linalg.norm)}) == 4


def test_scalars_have_the_same_digest_under_every_version_of_numpy() -> None:
    scalars = [np.float64(0.1), np.float32(0.1), np.int64(3), np.bool_(True), np.str_("a"), np.datetime64("2026-01-01")]
    assert fingerprint(scalars) == "5139bd9faebffe5b2e886547fda9a792"


def test_a_search_has_the_version_of_the_model_that_it_found(telemetry: Any) -> None:
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(X, Y)
    search.predict(X)
    search.best_estimator_.predict(X)
    first, second = versions(telemetry)
    assert first == second


def test_sets_cycles_shared_and_strange_objects_have_a_fingerprint() -> None:
    shared = [1, 2]
    cycle: list[Any] = [shared, shared, {"b", "a"}, lambda: 1, (x for x in ()), open]
    cycle.append(cycle)
    assert fingerprint(cycle) == fingerprint(cycle)
    assert fingerprint([[1, 2], [1, 2]]) == fingerprint([shared, shared])
    assert (
        len({fingerprint(value) for value in (1, 1.0, True, "1", b"1", None, [1], (1,), {1}, {1: 1}, np.array([1]))})
        == 11
    )


def test_a_huge_model_is_digested_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OBJECTS", 50)
    assert fingerprint([[i] for i in range(40)]) != fingerprint([[i] for i in range(1, 41)])
    assert fingerprint([[i] for i in range(100)]) == fingerprint([[i] for i in range(99)] + [[0]])


def test_a_refit_gets_a_new_version_and_earlier_predictions_keep_theirs(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    before = fingerprint(model)[:12]
    model.predict(X[:1])
    model.fit(X, 1 - Y).predict(X[:1])
    assert versions(telemetry) == [f"fit-{before}", f"fit-{fingerprint(model)[:12]}"]


def test_learning_on_keeps_the_version(telemetry: Any) -> None:
    model = SGDClassifier().fit(X, Y)
    for _ in range(3):
        model.predict(X[:1])
        model.partial_fit(X, Y)
    assert len(set(versions(telemetry))) == 1


def test_what_identify_says_is_on_everything(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    when = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
    identify(model, name="pricing", version="7", run_id="r1", trained_at=when, revision="abc", artifact_hash="sha256:1")
    model.predict(X[:1])
    (attributes, _), (span,) = telemetry.batches()[0], telemetry.spans()
    (loaded,) = telemetry.events(events.ML_MODEL_LOADED)
    for one in (attributes, span.attributes, loaded.attributes, telemetry.points("ml.predictions")[0].attributes):
        assert (one["ml.model.name"], one["ml.model.version"]) == ("pricing", "7")
    assert span.name == "predict pricing"
    expected = {
        "ml.training.run.id": "r1",
        "ml.training.end_time": when.isoformat(),
        "vcs.ref.head.revision": "abc",
        "artifact.hash": "sha256:1",
        "ml.task.type": "binary_classification",
        "ml.framework.name": "sklearn",
        "ml.model.type": "sklearn.linear_model._logistic.LogisticRegression",
        "ml.model.classes": ("0", "1"),
    }
    assert expected.items() <= dict(loaded.attributes).items()


def test_what_identify_is_given_as_other_types_is_text_and_what_is_empty_is_not_given(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    run = uuid.UUID(int=7)
    identify(model, name="", version="", run_id=run, model_id=np.int64(5), trained_at=datetime.date(2026, 1, 2))
    model.predict(X[:1])
    (loaded,) = telemetry.events(events.ML_MODEL_LOADED)
    assert {
        "ml.model.name": "LogisticRegression",
        "ml.model.version": f"fit-{fingerprint(model)[:12]}",
        "ml.training.run.id": str(run),
        "ml.model.id": "5",
        "ml.training.end_time": "2026-01-02",
    }.items() <= dict(loaded.attributes).items()


def test_a_model_is_announced_once(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    for _ in range(3):
        model.predict(X[:1])
        assert len(telemetry.events(events.ML_MODEL_LOADED)) == 1


def test_the_environment_names_models_that_nobody_identifies(again: Callable[..., Any]) -> None:
    telemetry = again(model_name="shop", model_version="9")
    model = LogisticRegression().fit(X, Y)
    model.predict(X[:1])
    named = LogisticRegression().fit(X, Y)
    identify(named, name="other")
    named.predict(X[:1])
    found = [(a["ml.model.name"], a["ml.model.version"]) for a, _ in telemetry.batches()]
    assert found == [("shop", "9"), ("other", "9")]


def test_a_model_is_not_kept_alive(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    identify(model, name="m")
    model.predict(X[:1])
    telemetry.batches()
    gone, key = weakref.ref(model), id(model)
    del model
    gc.collect()
    assert gone() is None
    assert key not in identities.by_id


def test_models_that_allow_no_weak_reference_or_hash_are_identified(telemetry: Any) -> None:
    class Unhashable(BaseEstimator):
        def __eq__(self, other: object) -> bool:
            raise TypeError

        __hash__ = None  # type: ignore[assignment]

        def predict(self, X: Any) -> Any:
            return np.ones(len(X))

    class Slots:
        __slots__ = ()

    model, other = Unhashable(), Slots()
    identify(model, name="a")
    identify(other, name="b")
    model.predict(X[:1])
    assert telemetry.batches()[0][0]["ml.model.name"] == "a"
    assert identities.get(other).name == "b"


class Chain(BaseEstimator):  # type: ignore[misc]  # no types
    """Has steps, which are no steps of a pipeline."""

    def __init__(self, steps: Any = ()) -> None:
        self.steps = steps

    def fit(self, X: Any, y: Any = None) -> Chain:
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


@pytest.mark.parametrize("steps", [[LogisticRegression()], [1, 2], ["ab"], [("a", 1, 2)], [None]])
def test_steps_that_are_none_of_a_pipeline_do_not_name_a_model(telemetry: Any, steps: Any) -> None:
    Chain(steps).fit(X).predict(X[:3])
    ((attributes, table),) = telemetry.batches()
    assert (attributes[ml.ML_MODEL_NAME], table.num_rows) == ("Chain", 3)


@pytest.mark.parametrize("question", ["name", "digest", "framework", "task"])
def test_a_model_that_cannot_be_asked_is_recorded_anyway(
    telemetry: Any, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    def refuse(*_: Any) -> Any:
        raise ValueError("no")

    monkeypatch.setattr(Kind, question, refuse)
    Chain().fit(X).predict(X[:3])
    ((attributes, table),) = telemetry.batches()
    assert (attributes[ml.ML_MODEL_NAME], attributes[ml.ML_FRAMEWORK_NAME], table.num_rows) == ("Chain", "sklearn", 3)
    assert (attributes[ml.ML_MODEL_VERSION] == "fit-unknown") == (question == "digest")

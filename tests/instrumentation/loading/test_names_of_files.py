"""A model that nobody named goes by the name of the file that it was loaded from."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import catboost
import cloudpickle
import joblib
import lightgbm
import numpy as np
import pytest
import skops.io
import torch
import xgboost
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from modelspan.instrumentation import failure, identify
from modelspan.instrumentation.catboost import CatBoostInstrumentor
from modelspan.instrumentation.lightgbm import LightGBMInstrumentor
from modelspan.instrumentation.loading import LoadingInstrumentor, names
from modelspan.instrumentation.recorder.fingerprint import fingerprint
from modelspan.instrumentation.torch import TorchInstrumentor
from modelspan.instrumentation.xgboost import XGBoostInstrumentor
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

X = np.random.default_rng(0).normal(size=(200, 3))
Y = (X[:, 0] > 0).astype(int)
MODEL = LogisticRegression().fit(X, Y)
OTHER = LogisticRegression().fit(X, 1 - Y)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer(x)
        return found


class Scorer:
    """A class of a program around a model."""

    def __init__(self, inner: Any) -> None:
        self.threshold, self.inner = 0.5, inner

    def predict(self, x: Any) -> Any:
        return self.inner.predict(x)


@pytest.fixture
def shared_names() -> None:
    """It is said here."""


@pytest.fixture
def libraries(loads: Any) -> Iterator[None]:
    """The boosters and PyTorch are instrumented as well."""
    started = [make() for make in (XGBoostInstrumentor, LightGBMInstrumentor, CatBoostInstrumentor, TorchInstrumentor)]
    for one in started:
        one.instrument()
    yield
    for one in started:
        one.uninstrument()


def called(telemetry: Any) -> list[str]:
    return [attributes[ml.ML_MODEL_NAME] for attributes, _ in telemetry.batches()]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/models/fraud.joblib", "fraud"),
        ("/models/fraud.pkl.gz", "fraud"),
        ("/models/fraud-2.1", "fraud-2.1"),
        ("C:\\models\\fraud\\clf.pkl", "fraud"),
        ("/models/de/model.joblib", "de"),
        ("/models/churn/BestModel.pkl", "churn"),
        ("/models/churn/model_v2.json", "churn"),
        ("/models/churn/2026-03-01.json", "churn"),
        ("/models/churn/epoch=3-step=400.ckpt", "churn"),
        ("/models/churn/550e8400-e29b-41d4-a716-446655440000.json", "churn"),
        ("/models/churn/3/model.onnx", "churn"),
        ("/app/model.joblib", None),
        ("/opt/ml/model/model.tar.gz", None),
        ("/mlruns/1/models/m-0a1b2c3d4e5f60718293a4b5c6d7e8f9/artifacts/model.pkl", None),
        ("/tmp/tmpab_2cd34/tmpab12cd34.pkl", None),
        ("/model.joblib", None),
        (str(Path.home() / "model.joblib"), None),
    ],
)
def test_the_stem_names_a_model_else_the_folder_else_neither(path: str, name: str | None) -> None:
    assert names.of_file(path) == name


def test_the_keys_of_several_models_tell_them_apart_and_say_no_more() -> None:
    def named(name: str | None, *parts: names.Keys) -> list[str | None]:
        return list(names.of_parts(name, parts).values())

    assert named("fraud", ("model",)) == ["fraud"]
    assert named("fraud", ("models", "DE"), ("models", "FR", "0")) == ["fraud.DE", "fraud.FR.0"]
    assert named("fraud", ("0",), ("1",)) == ["fraud.0", "fraud.1"]
    assert named("fraud", ("model",), ("calibrator",)) == ["fraud", "fraud.calibrator"]
    assert named(None, ("model",), ("best",)) == ["model", "best"]
    assert [names.key_of(key, 4) for key in ("DE", 7, np.int64(8), ("DE", 1), object)] == ["DE", "7", "8", "DE.1", "4"]


def dumped(library: Any) -> Callable[[Any, Path], Any]:
    def load(model: Any, path: Path) -> Any:
        path.write_bytes(pickle.dumps(model))
        with path.open("rb") as file:
            return library.load(file)

    return load


def skopsed(model: Any, path: Path) -> Any:
    skops.io.dump(model, path)
    return skops.io.load(path)


@pytest.mark.parametrize("load", [dumped(joblib), dumped(pickle), dumped(cloudpickle), skopsed])
def test_two_models_of_one_class_go_by_their_files(
    loads: Any, tmp_path: Path, load: Callable[[Any, Path], Any]
) -> None:
    for name, model in (("fraud", MODEL), ("churn", OTHER)):
        load(model, tmp_path / f"{name}.bin").predict(X[:1])
    assert called(loads) == ["fraud", "churn"]


def test_native_files_of_the_boosters_name_their_models(loads: Any, tmp_path: Path, libraries: None) -> None:
    xgboost.XGBClassifier(n_estimators=2).fit(X, Y).save_model(tmp_path / "fraud.json")
    lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, Y).booster_.save_model(tmp_path / "churn.txt")
    made = catboost.CatBoostClassifier(iterations=2, verbose=0, allow_writing_files=False).fit(X, Y)
    made.save_model(str(tmp_path / "price.cbm"))
    loads.logs()
    served = xgboost.XGBClassifier()
    served.load_model(tmp_path / "fraud.json")
    served.predict(X[:1])
    xgboost.Booster(model_file=tmp_path / "fraud.json").predict(xgboost.DMatrix(X[:1]))
    lightgbm.Booster(model_file=str(tmp_path / "churn.txt")).predict(X[:1])
    catboost.CatBoostClassifier().load_model(str(tmp_path / "price.cbm")).predict(X[:1])
    assert called(loads) == ["fraud", "fraud", "churn", "price"]


def test_files_of_pytorch_name_their_modules(loads: Any, tmp_path: Path, libraries: None) -> None:
    torch.save(Net(), tmp_path / "whole.pt")
    torch.save({"state_dict": Net().state_dict(), "epoch": 3}, tmp_path / "weights_de.pt")
    torch.save({"encoder": Net().state_dict(), "decoder": Net().state_dict()}, tmp_path / "both.pt")
    torch.jit.script(Net()).save(tmp_path / "scripted.pt")
    served = [torch.load(tmp_path / "whole.pt", weights_only=False), Net(), Net(), Net()]
    served[1].load_state_dict(torch.load(tmp_path / "weights_de.pt")["state_dict"])
    weights = torch.load(tmp_path / "both.pt")
    served[2].load_state_dict(weights["encoder"])
    served[3].load_state_dict(weights["decoder"])
    served.append(torch.jit.load(tmp_path / "scripted.pt"))
    with torch.inference_mode():
        for module in served:
            module.eval()(torch.zeros(1, 3))
    assert called(loads) == ["whole", "weights_de", "both.encoder", "both.decoder", "scripted"]


def test_the_models_of_a_bundle_go_by_file_and_key(loads: Any, tmp_path: Path) -> None:
    joblib.dump({"models": {"DE": MODEL, 7: OTHER}, "champion": MODEL}, tmp_path / "fraud.joblib")
    bundle = joblib.load(tmp_path / "fraud.joblib")
    for model in (bundle["models"]["DE"], bundle["models"][7], bundle["champion"]):
        model.predict(X[:1])
    assert called(loads) == ["fraud.DE", "fraud.7"], "one object has one name"


def test_the_only_model_of_a_bundle_goes_by_the_file(loads: Any, tmp_path: Path) -> None:
    bundle = {"clf": MODEL, "scaler": StandardScaler().fit(X), "threshold": 0.4}
    joblib.dump(bundle, tmp_path / "fraud.joblib")
    joblib.load(tmp_path / "fraud.joblib")["clf"].predict(X[:1])
    joblib.dump(Scorer(OTHER), tmp_path / "churn.joblib")
    joblib.load(tmp_path / "churn.joblib").predict(X[:1])
    assert called(loads) == ["fraud", "churn"]


def test_a_bundle_of_many_models_names_each(loads: Any, tmp_path: Path) -> None:
    joblib.dump({f"store-{i}": MODEL if i else OTHER for i in range(300)}, tmp_path / "demand.joblib")
    loaded = joblib.load(tmp_path / "demand.joblib")
    loaded["store-0"].predict(X[:1])
    assert called(loads) == ["demand.store-0"]


def test_what_the_program_and_the_environment_say_comes_before_the_file(
    loads: Any, again: Callable[..., Any], tmp_path: Path
) -> None:
    LoadingInstrumentor().uninstrument()
    telemetry = again(model_name="shop")
    LoadingInstrumentor().instrument()
    joblib.dump(MODEL, tmp_path / "fraud.joblib")
    first, second = (joblib.load(tmp_path / "fraud.joblib") for _ in range(2))
    identify(second, name="mine")
    first.predict(X[:1])
    second.predict(X[:1])
    assert called(telemetry) == ["shop", "mine"]


def test_a_file_that_says_nothing_leaves_the_class(loads: Any, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    joblib.dump(MODEL, folder / "final_model.joblib")
    joblib.load(folder / "final_model.joblib").predict(X[:1])
    assert called(loads) == ["LogisticRegression"]


def test_a_model_keeps_the_name_that_it_has(loads: Any, tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, Y)
    model.predict(X[:1])
    joblib.dump(model, tmp_path / "fraud.joblib")
    model.predict(X[:1])
    served = joblib.load(tmp_path / "fraud.joblib")
    served.predict(X[:1])
    served.fit(X, 1 - Y)
    served.predict(X[:1])
    model.predict(X[:1])
    assert sorted(called(loads)) == ["LogisticRegression"] * 2 + ["fraud"] * 2


def test_an_object_that_takes_over_another_file_goes_by_that_one(loads: Any, tmp_path: Path, libraries: None) -> None:
    for name, y in (("fraud", Y), ("churn", 1 - Y), ("model", Y)):
        xgboost.XGBClassifier(n_estimators=2).fit(X, y).save_model(tmp_path / f"{name}.json")
    loads.logs()
    served = xgboost.XGBClassifier()
    for name in ("fraud", "churn"):
        served.load_model(tmp_path / f"{name}.json")
        served.predict(X[:1])
    assert called(loads) == ["fraud", "churn"]


def test_the_reference_of_a_fit_and_the_loaded_model_say_the_same_digest(loads: Any, tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, Y)
    joblib.dump(model, tmp_path / "fraud.joblib")
    joblib.load(tmp_path / "fraud.joblib").predict(X[:1])
    (reference,) = loads.events(events.ML_REFERENCE_PROFILE)
    assert reference.attributes[ml.ML_MODEL_DIGEST] == fingerprint(model)
    said = {
        e.attributes[ml.ML_MODEL_NAME]: e.attributes[ml.ML_MODEL_DIGEST] for e in loads.events(events.ML_MODEL_LOADED)
    }
    assert said == {"LogisticRegression": fingerprint(model), "fraud": fingerprint(model)}


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "both called" in record.getMessage()]


def test_two_unnamed_models_of_one_class_say_once_how_to_name_them(
    loads: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure, "_said", set())
    caplog.set_level(logging.INFO)

    class Tree(DecisionTreeClassifier):
        """Of which no other test has models."""

    first = Tree(max_depth=1).fit(X, Y)
    same = copy.deepcopy(first)
    for model in (first, same):
        model.predict(X[:1])
    loads.logs()
    assert said(caplog) == []
    others = [Tree(max_depth=1).fit(X[:, i:], 1 - Y) for i in (0, 1)]
    for model in others:
        model.predict(X[:1, -model.n_features_in_ :])
    loads.logs()
    (message,) = said(caplog)
    assert "'Tree'" in message
    assert "identify(model, name=...)" in message


def test_models_that_are_only_fitted_and_scored_say_nothing(
    loads: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure, "_said", set())

    class Stump(DecisionTreeClassifier):
        """Of which no other test has models."""

    models = [Stump(max_depth=depth).fit(X, Y) for depth in (1, 2, 3)]
    scores = [model.score(X, Y) for model in models]
    models[int(np.argmax(scores))].predict(X[:1])
    loads.logs()
    assert said(caplog) == []


def test_named_models_and_versions_of_one_file_say_nothing(
    loads: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure, "_said", set())
    served = []
    for model in (MODEL, OTHER):
        joblib.dump(model, tmp_path / "fraud.joblib")
        served.append(joblib.load(tmp_path / "fraud.joblib"))
        served.append(pickle.loads(pickle.dumps(model)))
        identify(served[-1], name="churn")
    for model in served:
        model.predict(X[:1])
    loads.logs()
    assert said(caplog) == []

"""XGBoost, LightGBM and CatBoost in processes of their own: instrumented in any order, and models that go from one to another."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost as cb
import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelspan.instrumentation.catboost import CatBoostInstrumentor
from modelspan.instrumentation.lightgbm import LightGBMInstrumentor
from modelspan.instrumentation.recorder.kinds import kind_of
from modelspan.instrumentation.xgboost import XGBoostInstrumentor

RNG = np.random.default_rng(6)
X = RNG.normal(size=(120, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)

FITTED = """
import sys, joblib, numpy as np
from modelspan.instrumentation.recorder.kinds import kind_of
from modelspan.instrumentation.xgboost import XGBoostInstrumentor
from modelspan.instrumentation.lightgbm import LightGBMInstrumentor
from modelspan.instrumentation.catboost import CatBoostInstrumentor
for instrumentor in (XGBoostInstrumentor, LightGBMInstrumentor, CatBoostInstrumentor):
    instrumentor().instrument()
import xgboost as xgb, lightgbm as lgb, catboost as cb
folder = sys.argv[1]
def show(name, *models):
    print(name, *[kind_of(model).digest(model) for model in models])
"""

LOADED = """
for name in ("xgb", "lgb", "cb"):
    show(name, joblib.load(f"{folder}/{name}.pipeline"), joblib.load(f"{folder}/{name}.pickle"))
for path in ("xgb.ubj", "xgb.json"):
    model = xgb.XGBClassifier(n_jobs=1)
    model.load_model(f"{folder}/{path}")
    model.predict(np.eye(3))
    show("xgb", model, xgb.Booster(model_file=f"{folder}/{path}"))
booster = lgb.Booster(model_file=f"{folder}/lgb.txt")
booster.predict(np.eye(3))
show("lgb", booster)
show("cb", cb.CatBoostClassifier().load_model(f"{folder}/cb.cbm"), cb.CatBoost().load_model(f"{folder}/cb.cbm"))
show("cb", cb.CatBoostClassifier().load_model(f"{folder}/cb.json", format="json"))
"""


@pytest.fixture
def recorded(telemetry: Any) -> Any:
    instrumentors = (XGBoostInstrumentor(), LightGBMInstrumentor(), CatBoostInstrumentor())
    for instrumentor in instrumentors:
        instrumentor.instrument()
    yield telemetry
    for instrumentor in instrumentors:
        instrumentor.uninstrument()


def test_versions_are_equal_in_every_process_and_however_the_model_is_loaded(
    program: Callable[..., str], recorded: Any, tmp_path: Path
) -> None:
    models: dict[str, Any] = {
        "xgb": xgb.XGBClassifier(n_estimators=3, n_jobs=2),
        "lgb": lgb.LGBMClassifier(n_estimators=3, n_jobs=2, verbose=-1),
        "cb": cb.CatBoostClassifier(iterations=3, verbose=0, allow_writing_files=False),
    }
    pipelines = {name: make_pipeline(StandardScaler(), model).fit(X, Y) for name, model in models.items()}
    for name, model in models.items():
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps(model))
        (tmp_path / f"{name}.pipeline").write_bytes(pickle.dumps(pipelines[name]))
    models["xgb"].save_model(tmp_path / "xgb.ubj")
    models["xgb"].save_model(tmp_path / "xgb.json")
    models["lgb"].booster_.save_model(tmp_path / "lgb.txt")
    models["cb"].save_model(str(tmp_path / "cb.cbm"))
    models["cb"].save_model(str(tmp_path / "cb.json"), format="json")

    found: dict[str, list[str]] = {"xgb": [], "lgb": [], "cb": []}
    for line in program(LOADED, str(tmp_path), prelude=FITTED).splitlines():
        name, *digests = line.split()
        found[name] += digests
    for name, model in models.items():
        assert found[name][0] == kind_of(pipelines[name]).digest(pipelines[name])
        before = kind_of(model).digest(model)
        assert len(found[name]) > 2
        assert set(found[name][1:]) == {before}
        model.fit(X, 1 - Y)
        assert kind_of(model).digest(model) != before


def test_a_classifier_of_named_classes_and_its_booster_alone_have_one_digest(recorded: Any) -> None:
    model = lgb.LGBMClassifier(n_estimators=3, verbose=-1).fit(X, np.where(Y, "yes", "no"))
    served = lgb.Booster(model_str=model.booster_.model_to_string())
    assert kind_of(served).digest(served) == kind_of(model).digest(model)


@pytest.mark.parametrize(
    "steps",
    [
        ("import", "instrument", "sdk"),
        ("instrument", "import", "sdk"),
        ("instrument", "uninstrument", "import", "instrument", "sdk"),
    ],
)
def test_in_every_order_of_importing_instrumenting_and_setting_up_the_sdk(
    program: Callable[..., str], steps: tuple[str, ...]
) -> None:
    source = """
    import sys
    from modelspan.instrumentation.xgboost import XGBoostInstrumentor
    from modelspan.instrumentation.lightgbm import LightGBMInstrumentor
    from modelspan.instrumentation.catboost import CatBoostInstrumentor
    assert not {"xgboost", "lightgbm", "catboost", "pandas", "sklearn"} & sys.modules.keys()
    for step in sys.argv[1:]:
        if step == "import":
            import xgboost, lightgbm, catboost
        elif step == "sdk":
            set_up_sdk()
        else:
            for instrumentor in (XGBoostInstrumentor, LightGBMInstrumentor, CatBoostInstrumentor):
                getattr(instrumentor(), step)()
    x, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
    xgboost.train({"nthread": 1}, xgboost.DMatrix(x, label=y), 1).predict(xgboost.DMatrix(x))
    lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(x, y), 1).predict(x)
    catboost.CatBoost(dict(iterations=1, verbose=0, thread_count=1, allow_writing_files=False)).fit(x, y).predict(x)
    print(rows())
    """
    assert program(source, *steps) == "120"


def test_an_unchanged_program_is_recorded_under_opentelemetry_instrument(tmp_path: Path) -> None:
    source = """
import numpy as np, xgboost, lightgbm, catboost, logging
x, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
models = [
    xgboost.XGBClassifier(n_estimators=1, n_jobs=1),
    lightgbm.LGBMClassifier(n_estimators=1, n_jobs=1, verbose=-1),
    catboost.CatBoostClassifier(iterations=1, verbose=0, thread_count=1, allow_writing_files=False),
]
for model in models:
    model.fit(x, y).predict(x)
"""
    path = tmp_path / "program.py"
    path.write_text(source)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            "PATH": "/usr/bin:/bin",
            "OTEL_LOGS_EXPORTER": "console",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
        },
        check=True,
    )
    for name in ("XGBClassifier", "LGBMClassifier", "CatBoostClassifier"):
        assert done.stdout.count(f'"ml.model.name": "{name}"') >= 2, done.stdout + done.stderr
    assert done.stdout.count('"event_name": "ml.prediction.batch"') == 3

"""CatBoost writes a folder `catboost_info` where it fits, unless it is told not to. What records a model writes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pytest

from modelspan.instrumentation import set_reference
from modelspan.semconv import events

X = np.random.default_rng(0).normal(size=(300, 3))
Y = (X[:, 0] > 0).astype(int)
UNTOLD = {"iterations": 2, "verbose": 0, "thread_count": 1}


def test_the_working_directory_stays_as_it_is(recorded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = catboost.CatBoostClassifier(**UNTOLD, train_dir=str(tmp_path / "said"))
    trained.fit(X, Y).save_model(str(tmp_path / "model.cbm"))
    served = tmp_path / "served"
    served.mkdir()
    monkeypatch.chdir(served)
    model = catboost.CatBoostClassifier(**UNTOLD)
    model.load_model("../model.cbm")
    for data in (X, X[0], catboost.Pool(X)):
        model.predict(data)
        model.predict_proba(data)
    assert set_reference(model, X)
    assert recorded.rows() == 2 * (300 + 1 + 300)
    assert len(recorded.events(events.ML_REFERENCE_PROFILE)) == 2
    assert list(served.iterdir()) == []

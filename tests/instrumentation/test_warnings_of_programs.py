"""A warning names the line that it names without instrumentation."""

from __future__ import annotations

import logging
import traceback
import warnings
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from torch import nn

from modelspan.instrumentation.torch import TorchInstrumentor

X = np.zeros((120, 2))


def warn() -> None:
    warnings.warn("old", DeprecationWarning, stacklevel=3)
    logging.getLogger("program").warning("old", stacklevel=3)


class Warns(BaseEstimator):  # type: ignore[misc]  # without annotations
    def fit(self, X: Any, y: Any = None) -> Any:
        warn()
        return self

    def predict(self, X: Any) -> Any:
        warn()
        return np.zeros(len(X))

    def score_samples(self, X: Any, scale: float = 1.0) -> Any:
        warn()
        return np.zeros(len(X))

    def score(self, X: Any, y: Any = None) -> float:
        warn()
        raise KeyError


@pytest.mark.parametrize("method", ["fit", "predict", "score_samples", "score"])
@pytest.mark.parametrize("arguments", [{}, {"scale": 2.0}])
def test_the_line_is_that_of_the_program(
    telemetry: Any, caplog: pytest.LogCaptureFixture, method: str, arguments: dict[str, float]
) -> None:
    call = getattr(Warns(), method)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with suppress(KeyError):
            call(X, **(arguments if method == "score_samples" else {}))
    assert [one.filename for one in said] == [__file__]
    assert [one.pathname for one in caplog.records] == [__file__]


def test_a_traceback_through_what_is_passed_over_has_its_lines(telemetry: Any) -> None:
    with pytest.raises(KeyError) as raised:
        Warns().score(X)
    assert "return original(*args, **kwargs)" in "".join(traceback.format_exception(raised.value))


def test_a_warning_of_pytorch_names_the_line_that_it_names_without(telemetry: Any) -> None:
    def said() -> list[tuple[str, int]]:
        with warnings.catch_warnings(record=True) as found, torch.no_grad():
            warnings.simplefilter("always")
            nn.Softmax()(torch.zeros(2, 2))
        return [(one.filename, one.lineno) for one in found]

    before = said()
    TorchInstrumentor().instrument()
    try:
        assert len(before) == 1
        assert said() == before
    finally:
        TorchInstrumentor().uninstrument()

"""Predictions of an ensemble after each of its steps: no predictions of the ensemble, nor of what it consists of."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from modelspan.instrumentation.patching.signatures import wraps
from modelspan.instrumentation.patching.unseen import pass_over
from modelspan.instrumentation.recorder.scope import INSIDE, around

STAGED = ("staged_predict", "staged_predict_proba", "staged_decision_function", "staged_score")


def guarded_steps(original: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """A generator function of whose steps nothing is recorded, unlike of what the program does between them."""

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Iterator[Any]:
        steps = original(*args, **kwargs)
        while True:
            token = around.set(INSIDE)
            try:
                value = next(steps)
            except StopIteration:
                return
            finally:
                around.reset(token)
            yield value

    return call


pass_over(sys.modules[__name__])

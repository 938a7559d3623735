"""A handler of a signal that raises does so at any point of a call, within the instrumentation as well: the program gets its exception,
and the next call is recorded as ever.
"""

from __future__ import annotations

import dis
import functools
import itertools
import signal
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xgboost
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation.recorder.scope import around
from modelspan.instrumentation.torch import TorchInstrumentor
from modelspan.instrumentation.xgboost import XGBoostInstrumentor

RNG = np.random.default_rng(8)
X = RNG.normal(size=(120, 3))
Y = (X[:, 0] > 0).astype(int)


class TimeLimit(Exception):
    """What the handler raises: no BaseException, which nobody would catch."""


@pytest.fixture
def calls(telemetry: Any) -> Iterator[dict[str, Callable[[], Any]]]:
    others = TorchInstrumentor(), XGBoostInstrumentor()
    for one in others:
        one.instrument()
    model, frame = LogisticRegression().fit(X, Y), pd.DataFrame(X, columns=["a", "b", "c"])
    named = LogisticRegression().fit(frame, Y)
    matrix = xgboost.DMatrix(X, Y)
    booster = xgboost.train({"max_depth": 2}, matrix, 2)
    module, batch = torch.nn.Linear(3, 2).eval(), torch.zeros(2, 3)
    yield {
        "array": lambda: model.predict(X),
        "frame": lambda: named.predict_proba(frame),
        "matrix": lambda: booster.predict(matrix),
        "margin": lambda: booster.predict(matrix, output_margin=True),
        "module": lambda: torch.no_grad()(lambda: module(batch))(),
        "fit": lambda: model.fit(X[:20], Y[:20]),
    }
    for one in others:
        one.uninstrument()


@functools.cache
def _before(code: CodeType) -> dict[int, str]:
    """What was done before each operation, in its line."""
    found = list(dis.get_instructions(code))
    return {two.offset: one.opname for one, two in itertools.pairwise(found) if not two.starts_line}


def _raise(signum: int, frame: FrameType | None) -> None:
    raise TimeLimit


def _interrupt(call: Callable[[], Any], point: int) -> None:
    """Make a call that is interrupted where it is for the n-th time in a function of ours and Python looks for signals, after a
    call; returns if that is never.
    """
    passed = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal passed
        if "modelspan" not in frame.f_code.co_filename or frame.f_code.co_filename == __file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and _before(frame.f_code).get(frame.f_lasti, "").startswith("CALL"):
            passed += 1
            if passed == point:
                signal.raise_signal(signal.SIGUSR1)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    assert passed < point, f"the exception of the program was lost at point {point}"


@pytest.mark.parametrize("kind", ["array", "frame", "matrix", "margin", "module", "fit"])
def test_wherever_a_signal_interrupts_a_call_the_program_gets_its_exception(
    telemetry: Any, calls: dict[str, Callable[[], Any]], kind: str
) -> None:
    calls[kind]()
    telemetry.rows()
    before = signal.signal(signal.SIGUSR1, _raise)
    points = 1
    try:
        while True:
            try:
                _interrupt(calls[kind], points)
                break
            except TimeLimit:
                assert around.get() is None
                points += 1
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert points > 5
    recorded = telemetry.rows()
    calls["array"]()
    assert telemetry.rows() == recorded + len(X)

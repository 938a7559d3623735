"""A model may change while the background thread asks about it: XGBoost and LightGBM free what the answer is read from."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from modelspan.instrumentation.recorder.changing import lock_of

X = np.random.default_rng(0).normal(size=(60, 3))

PROGRAM = """
import threading
import lightgbm as lgb
import numpy as np
import xgboost as xgb
from modelspan.instrumentation.lightgbm import LightGBMInstrumentor
from modelspan.instrumentation.recorder.kinds import kind_of
from modelspan.instrumentation.xgboost import XGBoostInstrumentor

LightGBMInstrumentor().instrument()
XGBoostInstrumentor().instrument()
x = np.random.default_rng(0).normal(size=(500, 30))

def lightgbm():
    booster = lgb.train({"verbose": -1, "num_threads": 1}, lgb.Dataset(x, x[:, 0]), 20)
    text = booster.model_to_string()
    return booster, lambda: booster.model_from_string(text)

def xgboost():
    booster = xgb.train({"nthread": 1}, xgb.DMatrix(x, label=x[:, 0]), 20)
    raw = bytes(booster.save_raw())
    return booster, lambda: booster.load_model(bytearray(raw))

def ask(model, over):
    kind = kind_of(model)
    while not over.is_set():
        kind.feature_names(model, 30)
        kind.digest(model)

model, change = MAKE()
over = threading.Event()
asking = threading.Thread(target=ask, args=(model, over))
asking.start()
for _ in range(200):
    change()
over.set()
asking.join()
print("changed 200 times")
"""

FORKS = """
import os
import threading
import lightgbm as lgb
from modelspan.instrumentation.recorder.changing import lock_of

model, held, over = lgb.LGBMRegressor(), threading.Event(), threading.Event()

def answer():
    with lock_of(model):
        held.set()
        over.wait(60)

thread = threading.Thread(target=answer)
thread.start()
held.wait(60)
child = os.fork()
if child == 0:
    os._exit(0 if lock_of(model).acquire(timeout=10) else 1)
_, status = os.waitpid(child, 0)
over.set()
thread.join()
print("the child exits with", os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_a_model_that_changes_while_it_is_asked_does_not_end_the_program(library: str) -> None:
    source = textwrap.dedent(PROGRAM).replace("MAKE", library)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False, timeout=110)
    assert (done.returncode, done.stdout.strip()) == (0, "changed 200 times"), done.stderr


@pytest.fixture
def model() -> Any:
    return lgb.LGBMRegressor(n_estimators=2, num_leaves=3, verbose=-1, n_jobs=1).fit(X, X[:, 0])


def test_an_estimator_and_the_booster_within_it_share_a_lock(model: Any) -> None:
    assert lock_of(model) is lock_of(model.booster_)
    assert lock_of(lgb.LGBMRegressor()) is not lock_of(model)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_does_not_wait_for_an_answer_that_another_thread_was_giving() -> None:
    # In a process of its own: threads that other tests leave behind may hold anything in the one that is forked.
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=False, timeout=110)
    assert (done.returncode, done.stdout.strip()) == (0, "the child exits with 0"), done.stderr

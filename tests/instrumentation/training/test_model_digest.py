"""What a model has learnt goes by one digest, whatever the model is called: its reference is found by it."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, SGDClassifier

from modelspan.instrumentation import identify, set_reference
from modelspan.instrumentation.recorder.fingerprint import fingerprint
from modelspan.instrumentation.recorder.identity import identities
from modelspan.instrumentation.recorder.kinds import Kind
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

X = np.random.default_rng(3).normal(size=(400, 3))
Y = X[:, 0] > 0


def said(telemetry: Any, event: str, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(one.attributes.get(name) for name in names) for one in telemetry.events(event)]


def test_the_fit_and_a_server_that_calls_the_model_otherwise_say_the_same_digest(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    served = pickle.loads(pickle.dumps(model))
    identify(served, name="scorer", version="12")
    served.predict(X[:1])
    names = ml.ML_MODEL_NAME, ml.ML_MODEL_DIGEST
    assert said(telemetry, events.ML_REFERENCE_PROFILE, *names) == [("LogisticRegression", fingerprint(model))]
    assert said(telemetry, events.ML_MODEL_LOADED, *names) == [
        ("LogisticRegression", fingerprint(model)),
        ("scorer", fingerprint(model)),
    ]


def test_a_reference_that_the_program_sets_has_it_too(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    identify(model, name="churn", version="7")
    assert set_reference(model, X)
    assert said(telemetry, events.ML_REFERENCE_PROFILE, ml.ML_MODEL_DIGEST) == [(fingerprint(model),)]


def test_every_fit_of_a_model_with_a_version_of_its_own_has_its_digest(telemetry: Any) -> None:
    model = LogisticRegression()
    identify(model, name="churn", version="7")
    learnt = []
    for shift in (0, 1):
        learnt.append((fingerprint(model.fit(X + shift, Y)),))
        telemetry.logs()
    assert said(telemetry, events.ML_REFERENCE_PROFILE, ml.ML_MODEL_DIGEST) == learnt


def test_no_digest_is_made_at_every_step_of_a_loop_that_trains_on_a_named_model(telemetry: Any) -> None:
    model = SGDClassifier()
    identify(model, name="online", version="1")
    for _ in range(5):
        model.partial_fit(X, Y, classes=[False, True]).predict(X[:1])
        telemetry.logs()
    assert len(said(telemetry, events.ML_MODEL_LOADED)) == 1


def test_a_fit_waits_for_a_digest_that_is_being_made(telemetry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LogisticRegression().fit(X, Y)
    learnt = fingerprint(model)
    identify(model, name="churn", version="7")
    begun, go_on = threading.Event(), threading.Event()
    digest = Kind.digest

    def slow(self: Kind, model: Any) -> str:
        begun.set()
        assert go_on.wait(30)
        return digest(self, model)

    monkeypatch.setattr(Kind, "digest", slow)
    identity = identities.get(model)
    background = threading.Thread(target=identity.know_digest, args=(model,))
    background.start()
    assert begun.wait(30)
    fit = threading.Thread(target=model.fit, args=(X + 1, ~Y))
    fit.start()
    go_on.set()
    background.join()
    fit.join()
    assert identity.digest == learnt != fingerprint(model)


def test_a_model_that_has_become_another_gets_no_digest_of_what_it_was(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    identify(model, name="churn", version="7")
    old = identities.get(model)
    model.fit(X + 1, ~Y)
    old.know_digest(model)
    assert old.digest is None


def test_a_model_without_a_digest_is_announced_without(telemetry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LogisticRegression().fit(X, Y)
    telemetry.logs()
    identify(model, name="churn", version="7")
    identities.get(model).digest = None
    monkeypatch.setattr(Kind, "digest", lambda *_: 1 / 0)
    model.predict(X[:1])
    assert said(telemetry, events.ML_MODEL_LOADED, ml.ML_MODEL_NAME, ml.ML_MODEL_DIGEST)[-1] == ("churn", None)

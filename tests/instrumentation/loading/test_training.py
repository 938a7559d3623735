"""Of a model that the program fits itself, it is known when, in which run, and from which revision."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation.loading.training import CI_VARIABLES, revision
from modelspan.semconv import events

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *settings, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    return folder


def test_the_event_of_a_fitted_model_says_how_it_was_trained(telemetry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # It may hold a run that another test has left active.
    monkeypatch.delitem(sys.modules, "mlflow.tracking.fluent", raising=False)
    monkeypatch.setenv("MLFLOW_RUN_ID", "r1")
    monkeypatch.setenv("GITHUB_SHA", "abc")
    before = datetime.datetime.now(datetime.timezone.utc)
    LogisticRegression().fit(X, Y).predict(X)
    (event,) = telemetry.events(events.ML_MODEL_LOADED)
    expected = {"ml.training.run.id": "r1", "vcs.ref.head.revision": "abc"}
    assert expected.items() <= dict(event.attributes).items()
    ended = datetime.datetime.fromisoformat(event.attributes["ml.training.end_time"])
    assert before <= ended <= datetime.datetime.now(datetime.timezone.utc)


def test_the_revision_is_that_of_the_environment(repository: Path) -> None:
    for name in CI_VARIABLES:
        assert revision({name: "abc"}, repository) == "abc"


def test_else_it_is_that_of_the_repository(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    inner = repository / "a" / "b"
    inner.mkdir(parents=True)
    assert revision({}, repository) == revision({}, inner) == head
    git(repository, "pack-refs", "--all")
    assert revision({}, repository) == head
    git(repository, "checkout", "-q", "--detach")
    assert revision({}, repository) == head


def test_a_worktree_has_its_own_revision(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    git(tmp_path / "tree", "commit", "-q", "--allow-empty", "-m", "two")
    assert revision({}, tmp_path / "tree") == git(tmp_path / "tree", "rev-parse", "HEAD") != revision({}, repository)


def test_without_a_repository_there_is_none(tmp_path: Path) -> None:
    assert revision({}, tmp_path) is None
    git(tmp_path, "init", "-q")
    assert revision({}, tmp_path) is None

"""What this process knows of the training of a model that it fits itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from modelspan.instrumentation.recorder.identity import Origin, identities
from modelspan.instrumentation.recorder.imports import imported
from modelspan.semconv import attributes as ml

CI_VARIABLES = (
    "GITHUB_SHA",
    "CI_COMMIT_SHA",  # GitLab
    "GIT_COMMIT",  # Jenkins
    "BUILD_SOURCEVERSION",  # Azure Pipelines
    "BITBUCKET_COMMIT",
    "CIRCLE_SHA1",
    "BUILDKITE_COMMIT",
    "TRAVIS_COMMIT",
    "DRONE_COMMIT_SHA",
    "CODEBUILD_RESOLVED_SOURCE_VERSION",
    "COMMIT_SHA",  # Google Cloud Build
    "GIT_REVISION",
)
"""Environment variables in which continuous integration says which revision it runs."""


def fitted_here(model: Any) -> None:
    """The program has fitted a model: when, in which run, from which revision. Takes some microseconds."""
    identities.tell(model, partial(_training, datetime.now(timezone.utc), _run_id()))
    identities.get(model).fitted = True


def _training(ended: datetime, run: str | None) -> Origin:
    vcs = imported("opentelemetry.semconv._incubating.attributes.vcs_attributes")
    lineage = {
        ml.ML_TRAINING_END_TIME: ended.isoformat(),
        ml.ML_TRAINING_RUN_ID: run,
        vcs.VCS_REF_HEAD_REVISION: partial(_revision, Path.cwd()),
    }
    return Origin(lineage=lineage)


def _revision(directory: Path) -> str | None:
    return revision(os.environ, directory)


def _run_id() -> str | None:
    """The active run of MLflow, where the program uses it, else the one that its environment names."""
    fluent = sys.modules.get("mlflow.tracking.fluent")
    run = None if fluent is None else fluent.active_run()
    return run.info.run_id if run is not None else os.environ.get("MLFLOW_RUN_ID")


def revision(environ: Mapping[str, str], directory: Path) -> str | None:
    """The revision of the program: of its environment, else of the repository that a directory lies in."""
    named = next((environ[name] for name in CI_VARIABLES if environ.get(name)), None)
    return named or _of_repository(directory)


def _of_repository(directory: Path) -> str | None:
    """What HEAD of the Git repository around a directory is at, read without Git."""
    for folder in (directory, *directory.parents):
        place = folder / ".git"
        if place.exists():
            return _head(_git_folder(place))
    return None


def _git_folder(place: Path) -> Path:
    """`.git`, or where the file of that name says that it is, in a worktree or submodule."""
    if place.is_dir():
        return place
    return place.parent / place.read_text().removeprefix("gitdir:").strip()


def _head(git: Path) -> str | None:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return head
    name = head.removeprefix("ref:").strip()
    common = git / "commondir"
    shared = git / common.read_text().strip() if common.exists() else git
    for folder in (git, shared):
        if (folder / name).exists():
            return (folder / name).read_text().strip()
    packed = shared / "packed-refs"
    lines = packed.read_text().splitlines() if packed.exists() else []
    return next((line.partition(" ")[0] for line in lines if line.endswith(f" {name}")), None)

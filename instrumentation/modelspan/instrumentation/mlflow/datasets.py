"""What MLflow's tracking server knows of the run of a model: its experiment, and the data sets that it has read.

Asked for in the background, once for each run, and only where that can do no harm: a local store must be there already, since
MLflow makes one that is not, and a server must be the one that MLflow has just asked for the model.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from opentelemetry.instrumentation.utils import suppress_instrumentation

from modelspan.instrumentation.failure import safely

SECONDS = 3.0
"""How long the background waits for a store. One that takes longer is not asked again."""

_SERVED = ("models:/", "runs:/")
"""URIs of models that MLflow asks its server for."""
_FILES, _SQLITE = "file", "sqlite"
_CONTEXT = "mlflow.data.context"
_NOT_LEARNT_FROM = frozenset({"eval", "evaluate", "evaluation", "test", "testing", "val", "valid", "validation"})

Datasets = tuple[tuple[str, str], ...]
"""Name and digest of each."""


class Asked(NamedTuple):
    """What is known of a run."""

    experiment: str | None = None
    datasets: Datasets = ()


_slow: set[str] = set()


class Place(NamedTuple):
    """Where MLflow keeps runs, and whether it had to ask there for the model."""

    uri: str
    asked: bool


def place_of(model_uri: str | None) -> Place:
    """Where MLflow keeps the runs, when it has just loaded a model. Takes some microseconds, asks nobody."""
    mlflow: Any = sys.modules["mlflow"]
    tracking: str = mlflow.get_tracking_uri()
    served = model_uri is not None and model_uri.startswith(_SERVED)
    return Place(tracking, served and mlflow.get_registry_uri() == tracking)


@lru_cache(maxsize=1000)
def ask_of(run: str, place: Place) -> Asked:
    """Experiment of a run, and data sets that it was trained on; nothing where that cannot be known."""
    if place.uri in _slow or not _is_at_hand(place):
        return Asked()
    return _within(SECONDS, lambda: _ask(run, place.uri), place.uri)


def _is_at_hand(place: Place) -> bool:
    """Whether the store can be asked without making one, and without calling a server that MLflow has not called."""
    if not _is_local(place.uri):
        return place.asked
    parts = urlsplit(place.uri)
    if parts.scheme == _SQLITE:
        file = Path(unquote(place.uri.removeprefix("sqlite:///")))
        return "sqlalchemy" in sys.modules and file.is_file() and file.stat().st_size > 0
    return (Path(url2pathname(parts.path) if parts.scheme == _FILES else place.uri) / ".trash").is_dir()


def _is_local(uri: str) -> bool:
    return urlsplit(uri).scheme in (_FILES, _SQLITE) or "://" not in uri


def _within(seconds: float, ask: Callable[[], Asked], uri: str) -> Asked:
    """What `ask` returns in a thread of its own; nothing where it raises, or takes too long."""
    found: list[Asked] = []
    asking = safely("ask MLflow about a run", partial(_quietly, ask, found))
    thread = threading.Thread(target=asking, name="modelspan-mlflow", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # at the exit no thread can start
        if _is_local(uri):
            asking()
        return found[0] if found else Asked()
    thread.join(seconds)
    if thread.is_alive():
        _slow.add(uri)
    return found[0] if found else Asked()


def _quietly(ask: Callable[[], Asked], found: list[Asked]) -> None:
    """A store that refuses is no fault of the instrumentation, and no reason to warn."""
    try:
        with suppress_instrumentation():
            found.append(ask())
    except Exception:
        pass


def _ask(run: str, uri: str) -> Asked:
    known = sys.modules["mlflow"].MlflowClient(tracking_uri=uri).get_run(run)
    inputs = getattr(known, "inputs", None)
    learnt = [one.dataset for one in getattr(inputs, "dataset_inputs", ()) if not _NOT_LEARNT_FROM & _contexts(one)]
    return Asked(known.info.experiment_id, tuple((str(dataset.name), str(dataset.digest)) for dataset in learnt))


def _contexts(given: Any) -> set[str]:
    return {str(tag.value).lower() for tag in given.tags if tag.key == _CONTEXT}

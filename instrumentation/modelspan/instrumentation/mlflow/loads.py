"""Who the models are that MLflow loads: what it comes across on the way is noted, and told about the model in the end."""

from __future__ import annotations

import inspect
import re
from contextvars import ContextVar
from functools import partial
from typing import Any

from modelspan.instrumentation.failure import attempt, failed
from modelspan.instrumentation.loading import names
from modelspan.instrumentation.mlflow.datasets import Place, ask_of, place_of
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.signatures import wraps
from modelspan.instrumentation.patching.wrappers import Method
from modelspan.instrumentation.recorder.identity import Origin, identities
from modelspan.semconv import attributes as ml

_EXPERIMENT = re.compile(r"/(\d+)/(?:models/m-[0-9a-f]+|[0-9a-f]{32})/artifacts(?:/|$)")
"""The experiment in the place of an artifact, of a logged model of MLflow 3 or of a run, unless artifacts were given another place."""
_REPOSITORIES = ("ModelsArtifactRepository", "RunsArtifactRepository")
"""By the scheme of the URI: `models:/` and `runs:/`."""
_PLAIN_NAME = "model"


class Found:
    """What one `load_model` came across: the registered model, the metadata of the model, and where its files are."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.version: str | None = None
        self.metadata: Any = None
        self.place = ""


_found: ContextVar[Found | None] = ContextVar("modelspan_mlflow_found", default=None)


def loads(patches: Patches, module: Any) -> None:
    """Follow `load_model` of a module of MLflow."""
    patches.replace_function(module.load_model, _loading(module.load_model, f"{module.__name__}.load_model", patches))


def metadata(patches: Patches, module: Any) -> None:
    """Note the metadata of a model that is read."""

    def noting(original: Any) -> Any:
        @wraps(original.__func__)
        def load(cls: Any, *args: Any, **kwargs: Any) -> Any:
            read = original.__func__(cls, *args, **kwargs)
            attempt("see what MLflow loads", _note_metadata, read)
            return read

        return classmethod(load)

    patches.wrap(module, "Model.load", noting)


def registry(patches: Patches, module: Any) -> None:
    """Note the registered model and version that a URI turns out to mean, and where the files of the model are."""

    def noting(original: Method) -> Method:
        @wraps(original)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            attempt("see what MLflow loads", _note_place, self)

        return __init__

    for repository in _REPOSITORIES:
        if getattr(getattr(module, repository, None), "__module__", None) == module.__name__:
            patches.wrap(module, f"{repository}.__init__", noting)


def _note_metadata(read: Any) -> None:
    found = _found.get()
    if found is not None:
        found.metadata = read


def _note_place(repository: Any) -> None:
    found = _found.get()
    if found is not None:
        found.name = getattr(repository, "model_name", found.name)
        found.version = getattr(repository, "model_version", found.version)
        found.place = str(getattr(getattr(repository, "repo", None), "artifact_uri", found.place))


def _loading(original: Method, loader: str, patches: Patches) -> Method:
    signature = inspect.signature(original)

    @wraps(original)
    def load_model(*args: Any, **kwargs: Any) -> Any:
        if not patches.in_force:
            return original(*args, **kwargs)
        try:
            token = _found.set(found := Found())
        except Exception as problem:
            failed("see what MLflow loads", problem)
            return original(*args, **kwargs)
        try:
            model = original(*args, **kwargs)
        finally:
            _found.reset(token)
        attempt("see what MLflow loads", _tell, model, found, signature, args, kwargs, loader)
        return model

    return load_model


def _tell(model: Any, found: Found, signature: inspect.Signature, args: Any, kwargs: Any, loader: str) -> None:
    given = signature.bind(*args, **kwargs).arguments.get("model_uri")
    uri = None if given is None else str(given)
    identities.tell(model, partial(_origin, found, uri, loader, place_of(uri)))


def _origin(found: Found, uri: str | None, loader: str, runs: Place) -> Origin:
    said = found.metadata
    run = getattr(said, "run_id", None)
    # Before MLflow 3 the metadata has the path within the run alone.
    experiment = _EXPERIMENT.search(str(getattr(said, "artifact_path", None))) or _EXPERIMENT.search(found.place)
    version = None if found.version is None else str(found.version)
    model_id = getattr(said, "model_id", None)
    lineage = {
        ml.ML_MODEL_ID: f"models:/{found.name}/{version}" if found.name else model_id and f"models:/{model_id}",
        ml.ML_MODEL_SOURCE_URI: uri,
        ml.ML_MODEL_SOURCE_LOADER: loader,
        ml.ML_TRAINING_RUN_ID: run,
        ml.ML_TRAINING_EXPERIMENT_ID: partial(_experiment_of, run, runs, experiment),
        ml.ML_TRAINING_DATASET_NAMES: run and partial(_of_datasets, 0, run, runs),
        ml.ML_TRAINING_DATASET_DIGESTS: run and partial(_of_datasets, 1, run, runs),
    }
    known = {key: value for key, value in lineage.items() if value}
    return Origin(found.name or _name_of(uri), version, known, _folder_of(uri))


def _of_datasets(part: int, run: str, runs: Place) -> list[str] | None:
    return [dataset[part] for dataset in ask_of(run, runs).datasets] or None


def _experiment_of(run: str | None, runs: Place, place: re.Match[str] | None) -> str | None:
    """What the run says, else what the place of the artifacts does."""
    said = ask_of(run, runs).experiment if run else None
    return said or (place and place.group(1))


def _name_of(uri: str | None) -> str | None:
    """What a `runs:/<run>/<name>` URI calls the model."""
    if uri is None or not uri.startswith("runs:/"):
        return None
    last = uri.rstrip("/").rpartition("/")[2]
    return None if last == _PLAIN_NAME else last


def _folder_of(uri: str | None) -> str | None:
    """The folder, here or in a store of objects, that a model is loaded from."""
    if uri is None or uri.startswith(("models:/", "runs:/")):
        return None
    return names.of_file(f"{uri.rstrip('/')}/{_PLAIN_NAME}")

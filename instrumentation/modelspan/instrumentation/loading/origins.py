"""What the functions that load models leave for the background: which file it was, and what it says about the model."""

from __future__ import annotations

from functools import partial
from typing import Any

from opentelemetry.semconv._incubating.attributes.artifact_attributes import ARTIFACT_FILENAME, ARTIFACT_HASH

from modelspan.instrumentation.config import Config
from modelspan.instrumentation.loading import files, names
from modelspan.instrumentation.recorder import current
from modelspan.instrumentation.recorder.identity import Origin, Tell, identities
from modelspan.semconv import attributes as ml


def loaded_from(model: Any, given: Any, loader: str) -> None:
    """A model object was made from a file, given by its path or open. Costs the loader a few microseconds."""
    file = files.seen(given)
    if file is not None:
        identities.tell(model, of_file(file, loader))
        prepare(file)


def reloaded_from(model: Any, given: Any, loader: str, config: Config) -> None:
    """An object took over what a file holds: another model from now on."""
    identities.reload(model, config)
    loaded_from(model, given, loader)


def of_file(file: files.File, loader: str, at: names.Keys = (), named: tuple[names.Keys, ...] = ((),)) -> Tell:
    """Tells what is known of a model from its file, which holds it at some place, and models that bear its name at those `named`."""

    def tell() -> Origin:
        lineage = {
            ml.ML_MODEL_SOURCE_URI: file.path,
            ml.ML_MODEL_SOURCE_LOADER: loader,
            ARTIFACT_FILENAME: file.path.replace("\\", "/").rpartition("/")[2],
            ARTIFACT_HASH: partial(_hash, file),
        }
        return Origin(lineage=lineage, file_name=names.of_parts(names.of_file(file.path), named).get(at))

    return tell


def _hash(file: files.File) -> str | None:
    found = files.digest(file)
    return None if found is None else f"sha256:{found}"


def prepare(file: files.File) -> None:
    """Have a file digested soon, in the background: a temporary one may be gone at the first prediction."""
    recorder = current.started()
    if recorder is not None and file.size <= files.MAX_BYTES and not files.is_digested(file):
        recorder.submit(lambda: _digest(file))


def _digest(file: files.File) -> None:
    files.digest(file)

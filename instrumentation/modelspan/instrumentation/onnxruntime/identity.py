"""Identity of the model of an ONNX Runtime session, from its file and its metadata."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from opentelemetry.semconv._incubating.attributes.artifact_attributes import ARTIFACT_HASH

from modelspan.instrumentation.loading import files, names, origins
from modelspan.instrumentation.onnxruntime.tensors import MOST_BYTES
from modelspan.instrumentation.onnxruntime.values import input_of, output_names
from modelspan.instrumentation.recorder import kinds
from modelspan.instrumentation.recorder.identity import Origin, identities
from modelspan.instrumentation.recorder.kinds import LABEL, SCORE, VALUE, Kind
from modelspan.instrumentation.recorder.snapshot import measure, pick, rows_to_keep
from modelspan.semconv import attributes as ml

_LOADER = "onnxruntime.InferenceSession"
_EXTERNAL = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")
"""In the wire form of ONNX: the key of the name of a file that holds weights, and the length of that name."""
_SCORES = re.compile("prob|score", re.IGNORECASE)


class SessionKind(Kind):
    """Answers for sessions of ONNX Runtime."""

    def essence(self, model: Any) -> Any:
        return model

    def name(self, model: Any) -> str:
        meta = model.get_modelmeta()
        given, path = _name_in(meta), getattr(model, "_model_path", None)
        graph = None if names.is_generic(meta.graph_name) else meta.graph_name
        return given or (names.of_file(os.path.abspath(path)) if path else None) or graph or type(model).__name__

    def digest(self, model: Any) -> str:
        content = getattr(model, "_model_bytes", None)
        if content is not None:
            return hashlib.sha256(content).hexdigest()
        return _of_file(getattr(model, "_model_path", None)) or _of_description(model)

    def framework(self, model: Any) -> str:
        return ml.MlFrameworkNameValues.ONNXRUNTIME.value

    def task(self, model: Any) -> str | None:
        outputs = model.get_outputs()
        widths = [one.shape[1] for one in outputs if _is_float(one) and len(one.shape) == 2]
        if len(outputs) > 1 and not all(map(_is_float, outputs)) and widths and isinstance(widths[0], int):
            return None if widths[0] < 2 else kinds.BINARY if widths[0] == 2 else kinds.MULTICLASS
        return kinds.REGRESSION if output_names(model) == ("variable",) else None  # as skl2onnx calls it

    def classes(self, model: Any) -> list[Any] | None:
        return None

    def feature_names(self, model: Any, width: int) -> Sequence[str] | None:
        inputs = model.get_inputs()
        return [inputs[0].name] if width == 1 and len(inputs) == 1 else None

    def readable(self, model: Any, x: Any) -> Any:
        inputs = model.get_inputs()
        if type(x) is np.ndarray and len(inputs) == 1:
            x = {inputs[0].name: x}
        if not isinstance(x, Mapping):
            return x
        found = input_of(x)
        keep = None if type(found) is np.ndarray else rows_to_keep(*measure(found), MOST_BYTES)
        return found if keep is None else pick(found, keep)

    def width(self, model: Any) -> int | None:
        return None

    def role(self, model: Any, operation: str, is_float: bool) -> str:
        if not is_float:
            return LABEL
        return SCORE if _SCORES.search(output_names(model)[0]) else VALUE


def _is_float(output: Any) -> bool:
    return output.type in ("tensor(float)", "tensor(double)", "tensor(float16)", "tensor(bfloat16)")


def tell_of(session: Any) -> None:
    """A session was made."""
    path = session._model_path
    file = None if path is None else files.seen(path)
    if file is not None:
        identities.tell(session, origins.of_file(file, _LOADER))
        origins.prepare(file)
    identities.tell(session, partial(_origin, session.get_modelmeta(), session._model_bytes))


def _origin(meta: Any, content: bytes | None) -> Origin:
    """What is written in the model."""
    lineage: dict[str, Any] = {}
    if content is not None:
        lineage = {ml.ML_MODEL_SOURCE_LOADER: _LOADER, ARTIFACT_HASH: f"sha256:{hashlib.sha256(content).hexdigest()}"}
    given = meta.custom_metadata_map
    said = {
        ml.ML_MODEL_PRODUCER: meta.producer_name,
        ml.ML_MODEL_GRAPH_NAME: meta.graph_name,
        ml.ML_TRAINING_RUN_ID: given.get("run_id"),
    }
    lineage |= {key: value for key, value in said.items() if value}
    number = meta.version if 0 < meta.version < 2**63 - 1 else None
    return Origin(_name_in(meta), given.get("version") or (None if number is None else str(number)), lineage=lineage)


def _name_in(meta: Any) -> str | None:
    """The name that is written in the model, unless it says nothing."""
    given: str = meta.custom_metadata_map.get("name", "")
    return None if names.is_generic(given) else given


def _of_file(path: Any) -> str | None:
    """Digest of a model file and of the files that it names as holding its weights."""
    file = files.seen(path)
    found = None if file is None else files.digest(file)
    if file is None or found is None:
        return None
    with open(file.path, "rb") as stream:
        content = stream.read()
    folder = os.path.dirname(file.path)
    named = sorted({content[m.end() : m.end() + m.group(1)[0]] for m in _EXTERNAL.finditer(content)})
    others = [files.seen(os.path.join(folder, os.fsdecode(name))) for name in named]
    digests = [files.digest(other) or repr(other) for other in others if other is not None]
    return found if not digests else hashlib.sha256("".join([found, *digests]).encode()).hexdigest()


def _of_description(session: Any) -> str:
    """Digest of what a session says of its model, where that cannot be read."""
    meta = session.get_modelmeta()
    ends = [(one.name, one.type, one.shape) for one in (*session.get_inputs(), *session.get_outputs())]
    said = (meta.graph_name, meta.producer_name, meta.version, sorted(meta.custom_metadata_map.items()), ends)
    return hashlib.sha256(repr((said, files.seen(getattr(session, "_model_path", None)))).encode()).hexdigest()


KINDS = {"Session": SessionKind()}

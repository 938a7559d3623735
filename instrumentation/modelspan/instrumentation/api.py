"""What a program can say about its models. Nothing here raises, or does anything where OpenTelemetry is not set up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from datetime import date, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from opentelemetry.semconv._incubating.attributes.artifact_attributes import ARTIFACT_HASH
from opentelemetry.semconv._incubating.attributes.vcs_attributes import VCS_REF_HEAD_REVISION

from modelspan.instrumentation.failure import failed, misread, warn_once
from modelspan.instrumentation.forgiving import forgiving, is_model
from modelspan.instrumentation.recorder.scope import INSIDE, PerRow, PredictionScope, around
from modelspan.semconv import attributes as ml

if TYPE_CHECKING:
    import numpy as np

    Time = datetime | np.datetime64 | str | float


@forgiving(lambda: None)
def identify(
    model: Any,
    *,
    name: str | None = None,
    version: str | None = None,
    model_id: str | None = None,
    run_id: str | None = None,
    dataset_id: str | None = None,
    dataset_digest: str | None = None,
    trained_at: date | str | None = None,
    revision: str | None = None,
    artifact_hash: str | None = None,
    reference_id: str | None = None,
) -> None:
    """Say who a model is. Holds for this object until the process ends; the object itself is not changed.

    Without `name` a model is called after the file that it was loaded from, else the class of its final estimator, without `version` `fit-` and 12 digits of a digest of
    what it has learnt, which is the same in every process that loads the model; empty ones are not given. The rest is lineage: its
    identifier in a registry, the run and data set that made it, when, from which revision, and the hash of its file.
    """
    if not is_model("identify", model):
        return
    lineage = {
        ml.ML_MODEL_ID: model_id,
        ml.ML_TRAINING_RUN_ID: run_id,
        ml.ML_TRAINING_DATASET_ID: dataset_id,
        ml.ML_TRAINING_DATASET_DIGEST: dataset_digest,
        ml.ML_TRAINING_END_TIME: trained_at.isoformat() if isinstance(trained_at, date) else trained_at,
        VCS_REF_HEAD_REVISION: revision,
        ARTIFACT_HASH: artifact_hash,
        ml.ML_REFERENCE_ID: reference_id,
    }
    try:
        import numpy  # noqa: F401  # first, because hooks that wait for it import what follows

        from modelspan.instrumentation.recorder.identity import Identity, identities
        from modelspan.instrumentation.recorder.takers import recorded_in

        model = recorded_in(model)
        known = {key: str(value) for key, value in lineage.items() if value is not None}
        old = identities.known(model)
        identities.identify(model, Identity(name or None, version or None, known))
        if old is not None and old.training is not None:
            from modelspan.instrumentation.recorder.training import rename

            rename(model, old)
    except Exception as error:
        failed("identify a model", error)


@contextmanager
def _nothing_said() -> Iterator[PredictionScope]:
    """In the place of a context that was called wrongly."""
    yield copy(INSIDE)


@forgiving(_nothing_said)
@contextmanager
def prediction_context(
    ids: str | Sequence[Any] | None = None,
    *,
    segment: Mapping[str, PerRow] | None = None,
    variant: PerRow | None = None,
    time: Time | Sequence[Time] | None = None,
) -> Iterator[PredictionScope]:
    """Say what the rows of the predictions made within the context are.

    `ids` identify the rows (one that is missing is generated), `time` is when what they describe happened, `segment` maps names of
    segments to values, `variant` is that of an experiment. Each is one value for all rows or one for each row; what does
    not fit the rows of a prediction is left out, with one warning. What is not given holds as in the
    context around this one. Forms of ids and times: docs/values.md. Gives an object whose `prediction_ids` are those of the
    last prediction's rows, given or generated: keep them to record the actual labels later.
    """
    try:
        said = PredictionScope(
            ids=_read("ids", _ids, ids),
            segment=_read("segment", _segments, segment),
            variant=_read("variant", _texts, variant),
            times=_read("time", _times, time),
        )
    except Exception as error:
        failed("read what prediction_context says", error)
        said = copy(INSIDE)
    outer = around.get()
    if outer is not None and outer is not INSIDE:
        said = _within(outer, said)
    token = around.set(INSIDE if outer is INSIDE else said)
    try:
        yield said
    finally:
        around.reset(token)


def _within(outer: PredictionScope, inner: PredictionScope) -> PredictionScope:
    """What holds in a context within another one: what it says itself comes first."""
    known = {key: value for key, value in vars(inner).items() if value is not None}
    return replace(outer, **known)


def _read(what: str, read: Callable[[Any], Any], given: Any) -> Any:
    """What was given, as `read` reads it; None where it cannot."""
    try:
        return None if given is None else read(given)
    except (TypeError, ValueError) as error:
        misread(f"read the {what} of prediction_context", error)
        return None
    except Exception as error:
        failed(f"read the {what} of prediction_context", error)
        return None


def _ids(given: Any) -> list[str]:
    from modelspan.instrumentation.recorder.ids import id_texts

    return [one or token_hex(16) for one in id_texts(given)]


def _segments(given: Mapping[str, Any]) -> dict[str, PerRow]:
    return {str(key): texts for key, value in given.items() if (texts := _texts(value)) is not None}


def _texts(value: Any) -> PerRow | None:
    from modelspan.instrumentation.recorder.elements import elements
    from modelspan.instrumentation.recorder.values import label_text

    found = elements(value)
    return label_text(value) if found is None else [label_text(one) for one in found]


def _times(given: Any) -> Any:
    from modelspan.instrumentation.recorder.times import each_in_nanoseconds

    times = each_in_nanoseconds(given)
    if isinstance(times, int) and times <= 0:  # which a receiver takes for unknown, and refuses
        raise ValueError("a time of a prediction is not after 1970-01-01T00:00:00Z")
    return times


@forgiving(lambda: False)
def record_actual(
    model: Any,
    prediction_id: str | Sequence[str],
    *,
    label: Any = None,
    value: Any = None,
    time: Time | Sequence[Time] | None = None,
    source: str | None = None,
) -> bool:
    """Record what was to be predicted, once it is known: the label of a class, or the value of a number.

    `model` is the model or its name. One prediction, or as many as there are ids, of which those without label and value are left
    out. `time` is when it became known, now by default; `source` is "system", "human" or "heuristic". False if it could not be
    taken, an id is missing, or a value is no number; the others are taken.
    """
    from modelspan.instrumentation.recorder.truth import submit_actuals

    return is_model("record_actual", model, or_name=True) and _try(
        "record an actual", submit_actuals, model, prediction_id, label, value, time, source
    )


@forgiving(lambda: False)
def record_outcome(
    model: Any,
    prediction_id: str | Sequence[str],
    name: str,
    value: float | Sequence[float] | None = None,
    *,
    unit: str | None = None,
    time: Time | Sequence[Time] | None = None,
) -> bool:
    """Record what came of a prediction for the business, such as `name="revenue"`, `value=12.5`, `unit="EUR"`.

    `model` is the model or its name. One prediction, or as many as there are ids. False if it could not be taken, an id is
    missing, or a value is no number; the others are taken.
    """
    from modelspan.instrumentation.recorder.truth import submit_outcomes

    return is_model("record_outcome", model, or_name=True) and _try(
        "record an outcome", submit_outcomes, model, prediction_id, name, value, unit, time
    )


@forgiving(lambda: False)
def set_reference(model: Any, X: Any, y: Any = None, *, predictions: Any = None, name: str | None = None) -> bool:
    """Make a data set what later predictions of the model are compared with.

    `model` is the model or its name; a reference of a name holds for every version of it. `X` are the inputs, as `predict` takes them.
    What the model cannot have (other columns, texts for numbers, nothing but missing values) is refused with one warning that says
    what. At most 100,000 rows are used, a random sample where there are more; fewer than 100 decide nothing, which is said.
    `y` is accepted and left out: what is compared is predictions with predictions, and those on training data are more
    confident than any later ones. To compare outputs too, give rows held out of the training and as `predictions` the method that
    predicts them (`model.predict_proba`), which is called once and not recorded; or what it returned: one dimension is that of
    `predict`, two are class probabilities, a mapping of operation to either names it. `name` is the identifier of the reference,
    by default a digest of its profile. False if it could not be taken.
    """
    from modelspan.instrumentation.recorder.reference import submit_reference

    return is_model("set_reference", model, or_name=True) and _try(
        "set a reference", submit_reference, model, X, predictions, name
    )


@forgiving(lambda: False)
def withdraw_reference(model: Any, name: str) -> bool:
    """Take back a reference that was set by mistake: the service compares with what is in force without it.

    `model` is the model or its name, `name` the identifier of the reference, as `modelspan query references` shows it. Windows that
    were compared with it are judged again; their earlier verdicts stay in `modelspan query verdict_history`. Set again later, it
    holds again. False if it could not be taken.
    """
    from modelspan.instrumentation.recorder.reference import submit_withdrawal

    return is_model("withdraw_reference", model, or_name=True) and _try(
        "withdraw a reference", submit_withdrawal, model, name
    )


@forgiving(lambda: False)
def flush(timeout: float = 5.0) -> bool:
    """Hand over everything that was recorded, and have the SDK export the events. False if it took longer than `timeout` s."""
    try:
        recorder = _current().started()
        return recorder is None or recorder.flush(timeout)
    except Exception as error:
        failed("flush", error)
        return False


def _try(what: str, submit: Callable[..., bool], model: Any, *arguments: Any) -> bool:
    try:
        recorder = _current().get()
        if not (recorder.active or recorder.activate()):
            if not recorder.failed:
                warn_once("no-sdk", f"OpenTelemetry is not set up in this process: could not {what}.")
            return False
        from modelspan.instrumentation.recorder.takers import recorded_in

        return submit(recorder, recorded_in(model), *arguments)
    except (TypeError, ValueError) as error:
        misread(what, error)
        return False
    except Exception as error:
        failed(what, error)
        return False


def _current() -> Any:
    import numpy  # noqa: F401  # first, because hooks that wait for it import what follows

    from modelspan.instrumentation.recorder import current

    return current

"""The structure of models: which estimators within one are given its input as it is, and which columns of it they use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from modelspan.instrumentation.recorder.attribute import attribute, has_method, is_of_library, own

_DEPTH = 10
_ONE = ("best_estimator_", "estimator_", "regressor_")
_MANY = ("estimators_", "calibrated_classifiers_")
_MOST_HELD = 100
"""Attributes of an object of the program that are looked at."""


def takers(model: Any) -> list[Any]:
    """The estimators that a pipeline, union, search or ensemble gives its input as it is; empty for an estimator that reads it."""
    steps = attribute(model, "steps")
    if isinstance(steps, list) and steps:
        return [one for one in _seconds(steps) if one is not None and not isinstance(one, str)][:1]
    if is_frozen(model):
        return [own(model)["estimator"]]
    union = attribute(model, "transformer_list")
    if isinstance(union, list):
        return [one for one in _seconds(union) if not isinstance(one, str)]
    for name in _ONE:
        found = attribute(model, name)
        if found is not None:
            return [found]
    for name in _MANY:
        found = attribute(model, name)
        if isinstance(found, list) and found and attribute(model, "estimators_features_") is None:
            chained = found[:1] if attribute(model, "order_") is not None else found
            return [attribute(one, "estimator", one) if name == "calibrated_classifiers_" else one for one in chained]
    return []


def _seconds(pairs: Sequence[Any]) -> Iterator[Any]:
    """The estimators of a list of pairs of name and estimator."""
    return (pair[1] for pair in pairs if isinstance(pair, (tuple, list)) and len(pair) > 1)


def is_frozen(model: Any) -> bool:
    """True for scikit-learn's `FrozenEstimator`, which has every method of the estimator that it holds."""
    return type(model).__name__ == "FrozenEstimator" and "estimator" in own(model)


def used_columns(model: Any, depth: int = _DEPTH) -> set[int] | None:
    """Positions of the columns that the column transformers at the front of a model use; None where all may be used."""
    indices = attribute(model, "_transformer_to_input_indices")
    fitted = attribute(model, "transformers_")
    if isinstance(indices, dict) and isinstance(fitted, list):
        dropped = {one[0] for one in fitted if isinstance(one[1], str) and one[1] == "drop"}
        return {int(place) for name, places in indices.items() if name not in dropped for place in places}
    found: set[int] = set()
    inner = takers(model) if depth else []
    for one in inner:
        used = used_columns(one, depth - 1)
        if used is None:
            return None
        found |= used
    return found if inner else None


def held_models(model: Any) -> list[Any]:
    """The models of libraries that an object of the program has as attributes, and the later steps of a pipeline."""
    steps = attribute(model, "steps")
    if isinstance(steps, list):
        return [one for one in _seconds(steps) if one is not None and not isinstance(one, str)][1:]
    if is_of_library(type(model)):
        return []
    values = list(own(model).values())[:_MOST_HELD]
    return [value for value in values if is_library_model(type(value)) and has_method(value, "fit")]


def is_library_model(cls: type) -> bool:
    """True if a class is, or derives from, one of a library."""
    return any(is_of_library(base) for base in cls.__mro__)


def recorded_in(model: Any) -> Any:
    """The object whose predictions are recorded: what a frozen estimator holds, or the only model that an object of the program
    wraps; any other model itself.
    """
    for _ in range(_DEPTH):
        if is_frozen(model):
            model = own(model)["estimator"]
            continue
        if is_library_model(type(model)):
            return model
        inner = [value for value in list(own(model).values())[:_MOST_HELD] if _predicts(value)]
        if len(inner) != 1:
            return model
        model = inner[0]
    return model


def _predicts(value: Any) -> bool:
    return is_frozen(value) or (
        is_library_model(type(value)) and any(has_method(value, name) for name in ("predict", "forward", "run"))
    )

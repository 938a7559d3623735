"""What a pyfunc model is: what the model within it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelspan.instrumentation.recorder.kinds import Kind, kind_of
from modelspan.semconv.attributes import MlFrameworkNameValues

_OWN = MlFrameworkNameValues.MLFLOW.value
_HELD = ("python_model", "sklearn_model", "xgb_model", "lgb_model", "cb_model", "pytorch_model")
"""Where wrappers have the model that have no `get_raw_model`: that of a program's own model, and all in older versions."""
_FRAMEWORKS = frozenset(framework.value for framework in MlFrameworkNameValues) - {_OWN}


class PyFuncKind(Kind):
    """Answers for pyfunc models by asking the model within."""

    def essence(self, model: Any) -> Any:
        inner = _within(model)
        return kind_of(inner).essence(inner)

    def digest(self, model: Any) -> str:
        inner = _within(model)
        return kind_of(inner).digest(inner)

    def name(self, model: Any) -> str:
        inner = _within(model)
        return kind_of(inner).name(inner)

    def framework(self, model: Any) -> str:
        inner = _within(model)
        packages = {cls.__module__.partition(".")[0] for cls in type(self.essence(model)).__mro__}
        known = type(kind_of(inner)) is not Kind or packages & _FRAMEWORKS
        return kind_of(inner).framework(inner) if known else _OWN

    def task(self, model: Any) -> str | None:
        inner = _within(model)
        return kind_of(inner).task(inner)

    def classes(self, model: Any) -> list[Any] | None:
        inner = _within(model)
        return kind_of(inner).classes(inner)

    def feature_names(self, model: Any, width: int) -> Sequence[str] | None:
        inner = _within(model)
        return kind_of(inner).feature_names(inner, width)

    def width(self, model: Any) -> int | None:
        inner = _within(model)
        return kind_of(inner).width(inner)

    def missing(self, model: Any) -> float | None:
        inner = _within(model)
        return kind_of(inner).missing(inner)

    def role(self, model: Any, operation: str, is_float: bool) -> str:
        inner = _within(model)
        return kind_of(inner).role(inner, operation, is_float)


def _within(model: Any) -> Any:
    """The model that a flavor wraps, or the program's own."""
    wrapper = model._model_impl
    raw = getattr(wrapper, "get_raw_model", None)
    inner = raw() if raw is not None else next((vars(wrapper)[name] for name in _HELD if name in vars(wrapper)), None)
    return wrapper if inner is None else inner


KINDS = {"PyFuncModel": PyFuncKind()}

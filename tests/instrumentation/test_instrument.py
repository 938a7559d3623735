"""`instrument()` is what `opentelemetry-instrument` does, from within the program."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from modelspan.instrumentation.everything import INSTRUMENTORS

PROGRAM = """
set_up_sdk()
import sys
from modelspan.instrumentation import instrument, uninstrument
{before}
instrument(capture="x0")
instrument()
import lightgbm, xgboost
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
x = np.arange(60.0).reshape(30, 2)
models = [LinearRegression(), xgboost.XGBRegressor(n_estimators=1), make_pipeline(lightgbm.LGBMRegressor(n_estimators=1, verbose=-1))]
models = [model.fit(x, x[:, 0]) for model in models]
for model in models:
    model.predict(x)
print(rows())
uninstrument()
uninstrument()
for model in models:
    model.predict(x)
print(rows())
instrument()
models[0].predict(x)
print(rows())
"""


def test_it_names_every_instrumentor_that_the_distribution_declares() -> None:
    declared = {
        one.name: one.value for one in entry_points(group="opentelemetry_instrumentor") if "modelspan" in one.name
    }
    assert declared == {
        f"modelspan-{library}": f"modelspan.instrumentation.{library}:{name}" for library, name in INSTRUMENTORS.items()
    }


def test_it_records_every_library_once_until_it_is_undone(program: Callable[..., str]) -> None:
    assert program(PROGRAM.format(before="")).split() == ["90", "90", "120"]


def test_it_joins_an_instrumentor_that_is_in_use(program: Callable[..., str]) -> None:
    assert program(PROGRAM.format(before="SklearnInstrumentor().instrument()")).split() == ["90", "90", "120"]


def test_libraries_that_the_environment_disables_are_left_alone(program: Callable[..., str]) -> None:
    disabled = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "modelspan-sklearn, modelspan-lightgbm"}
    assert program(PROGRAM.format(before=""), **disabled).split() == ["30", "30", "30"]


def test_importing_it_imports_no_library(program: Callable[..., str]) -> None:
    source = """
    import sys
    from modelspan.instrumentation import instrument
    instrument(unknown=1)
    print(*[name for name in ("numpy", "sklearn", "xgboost", "torch", "mlflow") if name in sys.modules])
    """
    assert program(source, prelude="") == ""

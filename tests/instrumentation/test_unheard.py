"""A program that has set up nothing by which predictions leave is told so once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

START = """
    import logging, sys
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    from sklearn.linear_model import LinearRegression
    from modelspan.instrumentation import instrument
    model = LinearRegression().fit(np.eye(2), [1, 2])
"""
SPANS = """
    trace.set_tracer_provider(TracerProvider())
"""
PREDICT = """
    instrument()
    for _ in range(3):
        model.predict(np.eye(2))
"""
TO_DO = "To record them, run the program under opentelemetry-instrument, or call opentelemetry._logs.set_logger_provider(...)"


def test_without_an_sdk_it_is_said_at_the_exit(program: Callable[..., str]) -> None:
    said = program(START + PREDICT)
    assert said.startswith("Predictions go nowhere: OpenTelemetry is not set up in this process.")
    assert TO_DO in said
    assert "\n" not in said


def test_where_there_are_spans_alone_it_is_said_too(program: Callable[..., str]) -> None:
    said = program(START + SPANS + PREDICT)
    assert said.startswith("Predictions go nowhere: OpenTelemetry is set up without a LoggerProvider")
    assert TO_DO in said
    assert "\n" not in said


def test_a_program_that_runs_on_is_told_after_a_while(program: Callable[..., str]) -> None:
    wait = """
    from modelspan.instrumentation.recorder import unheard
    unheard.PATIENCE = 0.01
    import time
    time.sleep(0.05)
    model.predict(np.eye(2))
    model.predict(np.eye(2))
    print("runs on")
    """
    said = program(START + PREDICT + wait).splitlines()
    assert [line[:22] for line in said] == ["Predictions go nowhere", "runs on"]


LATER = """
    set_up_sdk()
    model.predict(np.eye(2))
    print(rows() > 0)
"""


@pytest.mark.parametrize("before", ["", SPANS])
def test_a_program_that_sets_it_up_after_its_first_predictions_is_told_nothing(
    program: Callable[..., str], before: str
) -> None:
    assert program(START + before + PREDICT + LATER) == "True"


NOTHING_TO_SAY = [
    (START + "    instrument()\n", {}),
    (START + PREDICT, {"OTEL_SDK_DISABLED": "true"}),
]


@pytest.mark.parametrize(("source", "environment"), NOTHING_TO_SAY)
def test_a_program_that_predicts_nothing_or_switches_it_off_is_told_nothing(
    program: Callable[..., str], source: str, environment: dict[str, str]
) -> None:
    assert program(source, **environment) == ""


def test_a_reference_that_goes_nowhere_is_said(program: Callable[..., str]) -> None:
    source = """
    from modelspan.instrumentation import set_reference
    set_reference(model, np.arange(400.0).reshape(-1, 2))
    """
    assert program(START + SPANS + source).startswith("Predictions go nowhere: ")

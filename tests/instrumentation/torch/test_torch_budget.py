"""Large calls of modules cost no more than a share of the time, too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from opentelemetry.sdk.trace import TracerProvider
from torch import nn

from modelspan.instrumentation import failure, flush
from modelspan.semconv import attributes as ml
from tests.instrumentation.faults import Fault, places

RANDOM = torch.Generator().manual_seed(0)
X = torch.randn(2000, 4, generator=RANDOM)
ALMOST_NONE = 1e-9


class Scaled(nn.Module):
    """Takes a second input, by position or by name; refuses other widths."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        return self.layer(x) if scale is None else self.layer(x) * scale


@pytest.fixture
def model() -> Scaled:
    torch.manual_seed(0)
    return Scaled().eval()


def account(telemetry: Any) -> tuple[int, int]:
    """Rows recorded and left out, by the last batch."""
    last = telemetry.numbered()[-1]
    return last[ml.MODELSPAN_RECORDER_ROWS_RECORDED], last[ml.MODELSPAN_RECORDER_ROWS_UNSAMPLED]


CALLS: dict[str, Callable[[Scaled], torch.Tensor]] = {
    "one tensor": lambda model: model(X),
    "two tensors": lambda model: model(X, X[:, :2]),
    "a tensor by name": lambda model: model(x=X),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("gradients", [True, False])
def test_large_calls_are_left_out_and_counted(
    instrument: Callable[..., Any], model: Scaled, call: Callable[[Scaled], torch.Tensor], gradients: bool
) -> None:
    expected = call(model)
    telemetry = instrument(overhead=ALMOST_NONE)
    with torch.set_grad_enabled(gradients):
        for _ in range(6):
            assert torch.equal(call(model), expected)
    recorded, left_out = account(telemetry)
    assert left_out >= 3 * 2000
    assert recorded + left_out == 6 * 2000


def test_small_calls_and_calls_in_a_trace_are_all_recorded(instrument: Callable[..., Any], model: Scaled) -> None:
    telemetry = instrument(overhead=ALMOST_NONE)
    with torch.inference_mode():
        model(X)
        model(X)
        for _ in range(5):
            model(X[:999])
            with TracerProvider().get_tracer("test").start_as_current_span("request"):
                model(X)
    recorded, left_out = account(telemetry)
    assert recorded >= 5 * (999 + 2000)
    assert recorded + left_out == 5 * (999 + 2000) + 2 * 2000


def test_training_is_not_counted_as_prediction(instrument: Callable[..., Any], model: Scaled) -> None:
    telemetry = instrument(overhead=ALMOST_NONE)
    with torch.inference_mode():
        for _ in range(4):
            model(X)
    model.train()
    for _ in range(3):
        model(X).sum().backward()
    assert sum(account(telemetry)) == 4 * 2000


def test_a_call_that_raises_is_recorded_with_its_input(instrument: Callable[..., Any], model: Scaled) -> None:
    telemetry = instrument(overhead=ALMOST_NONE, tensors="values")
    with torch.inference_mode():
        for _ in range(3):
            model(X)
        with pytest.raises(RuntimeError):
            model(torch.ones(1500, 3))
    (table,) = [table for _, table in telemetry.batches() if "error_type" in table.column_names]
    assert table.num_rows == 1500
    assert any(name.startswith("feature.") for name in table.column_names)


@pytest.mark.parametrize("place", ["recorder.budget:Budget.pay", "recorder.calls:CallQueue.put_left_out"])
def test_a_fault_changes_no_result_and_is_said_once(
    place: str,
    instrument: Callable[..., Any],
    model: Scaled,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = model(X)
    instrument(overhead=ALMOST_NONE)
    failure._said.clear()
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING), torch.inference_mode():
        model(X[:1])  # the model is known from then on
        fault = Fault(*places("recorder")[place], patch)
        for _ in range(4):
            assert torch.equal(model(X), expected)
        assert flush(5)
    assert fault.calls
    assert len([record for record in caplog.records if record.name.startswith("modelspan")]) == 1

"""Tensors and parameters without memory that can be read: the call is recorded, and nothing that was never there."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

PRELUDE = """
import logging
from logging.handlers import BufferingHandler
import torch
from modelspan.instrumentation.torch import TorchInstrumentor

warnings = BufferingHandler(1000)
logging.getLogger("modelspan.instrumentation").addHandler(warnings)
set_up_sdk()
TorchInstrumentor().instrument(flush_interval=1000.0)
"""
EPILOGUE = """
print([one.getMessage() for one in warnings.buffer] or "no warnings")
"""


@pytest.fixture
def run(program: Callable[..., str]) -> Callable[[str], list[str]]:
    """Run a program with PyTorch instrumented and give the lines it printed, and what the instrumentation warned of."""

    def start(source: str) -> list[str]:
        return program(PRELUDE + textwrap.dedent(source) + EPILOGUE).splitlines()

    return start


def test_an_input_without_memory_is_not_read(run: Callable[[str], list[str]]) -> None:
    said = run(
        """
        from modelspan.semconv import attributes as ml

        class Length(torch.nn.Module):
            def forward(self, x):
                return torch.zeros(len(x))

        one_dnn = [torch.ones(4, 3).to_mkldnn(), torch.ones(4, 300_000).to_mkldnn()]
        freed = [
            torch.ones(4, 3),
            torch.ones(4, 300_000),
            torch.ones(4, 6)[:, ::2],
            torch.ones(4, 3, 5, 6).to(memory_format=torch.channels_last),
        ]
        for x in freed:
            x.untyped_storage().resize_(0)
        for x in [*one_dnn, *freed, torch._to_functional_tensor(torch.ones(4, 3))]:
            with torch.no_grad():
                Length().eval()(x)
            print(rows(), logs.get_finished_logs()[-1].log_record.attributes.get(ml.ML_CAPTURE_UNREADABLE))
        """
    )
    assert said == [*(f"{4 * calls} unknown_type" for calls in range(1, 8)), "no warnings"]


def test_a_module_whose_parameters_have_no_shape_yet_can_be_refitted(run: Callable[[str], list[str]]) -> None:
    said = run(
        """
        class Length(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.later = torch.nn.LazyLinear(2)

            def forward(self, x):
                return torch.zeros(len(x))

        model = Length().eval()
        with torch.no_grad():
            model(torch.ones(4, 3))
            model.load_state_dict(model.state_dict())
            model(torch.ones(4, 3))
        print(rows())
        """
    )
    assert said == ["8", "no warnings"]


def test_a_module_whose_parameters_were_freed_is_recorded(run: Callable[[str], list[str]]) -> None:
    said = run(
        """
        model = torch.nn.Linear(3, 2).eval()
        with torch.no_grad():
            model(torch.ones(4, 3))
        model.weight.untyped_storage().resize_(0)
        print(rows())
        """
    )
    assert said == ["4", "no warnings"]

"""PyTorch is found whenever it is imported, and not imported for that."""

from __future__ import annotations

from collections.abc import Callable

import pytest

PROGRAM = """
import sys
from modelspan.instrumentation.torch import TorchInstrumentor

for step in sys.argv[1:]:
    if step == "import":
        import torch
    elif step == "sdk":
        set_up_sdk()
    else:
        getattr(TorchInstrumentor(), step)()
    assert "torch" in sys.modules or step in ("sdk", "instrument", "uninstrument")
net = torch.nn.Linear(3, 1).eval()
with torch.no_grad():
    net(torch.ones(4, 3))
    torch.compile(net, backend="eager", fullgraph=True)(torch.ones(2, 3))
print(rows())
TorchInstrumentor().uninstrument()
net(torch.ones(4, 3))
call = torch.nn.Module.__call__
dynamo = torch._dynamo.utils, torch._dynamo.variables.nn_module
print(rows(), call.__module__, *(one.unpatched_nn_module_call is call for one in dynamo), "modelspan" not in torch.jit._get_trace_graph.__code__.co_filename)
"""


@pytest.mark.parametrize(
    "steps",
    [
        ("sdk", "import", "instrument"),
        ("instrument", "uninstrument", "import", "instrument", "sdk"),
    ],
)
def test_in_every_order_of_importing_instrumenting_and_setting_up_the_sdk(
    program: Callable[..., str], steps: tuple[str, ...]
) -> None:
    assert program(PROGRAM, *steps).splitlines() == ["6", "6 torch.nn.modules.module True True True"]


def test_the_entry_point_instruments_a_fresh_process_without_importing_pytorch(program: Callable[..., str]) -> None:
    source = """
    import sys
    from importlib.metadata import entry_points
    (found,) = entry_points(group="opentelemetry_instrumentor", name="modelspan-torch")
    found.load()().instrument()
    print("torch" in sys.modules)
    set_up_sdk()
    import torch
    with torch.inference_mode():
        torch.nn.Linear(3, 1)(torch.ones(2, 3))
    print(rows())
    """
    assert program(source).splitlines() == ["False", "2"]


def test_a_child_that_is_forked_records_for_itself(program: Callable[..., str]) -> None:
    source = """
    import os
    import torch
    from modelspan.instrumentation.torch import TorchInstrumentor
    TorchInstrumentor().instrument()
    set_up_sdk()
    net = torch.nn.Linear(3, 1).eval()
    with torch.no_grad():
        net(torch.ones(2, 3))
        assert rows() == 2
        logs.clear()
        if os.fork() == 0:
            net(torch.ones(5, 3))
            os._exit(0 if rows() == 5 else 1)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
    """
    assert program(source) == "0"

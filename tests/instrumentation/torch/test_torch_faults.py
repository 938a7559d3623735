"""A fault in any function of PyTorch's instrumentation leaves the program as it is, and is said once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import nn

from modelspan.instrumentation import prediction_context, set_reference
from modelspan.instrumentation.torch import TorchInstrumentor
from tests.instrumentation.faults import Instrumented, but, outcome, places

RANDOM = torch.Generator().manual_seed(0)
X = torch.randn(60, 3, generator=RANDOM)
MANY = torch.randn(100_000, 3, generator=RANDOM)
LONG = torch.randn(2, 20_000, generator=RANDOM)
IMAGES = torch.randn(4, 3, 5, 5, generator=RANDOM).to(memory_format=torch.channels_last)
EXPORTED = torch.export.export(nn.Linear(3, 2).eval(), (X,)).module()
ALL = places("torch")
ON_A_DEVICE = [one for one in ALL if one.startswith(("torch.cuda:", "torch.staging:"))]
ON_A_DEVICE.remove("torch.cuda:DeviceCalls.__init__")
AT_THE_END = ("torch.dynamo:._forget",)
"""Called when the instrumentation is undone."""
FOR_A_REFERENCE = [
    "torch.given:Given.__init__",
    "torch.given:._as_floats_of",
    "torch.given:._copy",
    "torch.given:._table",
    "torch.given:.readable",
    "torch.kind:ModuleKind.readable",
]
BY_THE_CALLER = {
    place: places("recorder")[place]
    for place in (
        "recorder.recorder:Recorder.activate",
        "recorder.recorder:Recorder.leave",
        "recorder.recorder:Recorder.scoped_ids",
        "recorder.calls:.item_of",
        "recorder.calls:CallQueue.put",
        "recorder.identity:Identities.get",
        "recorder.identity:Identities.refit",
        "recorder.snapshot:.rows_to_keep",
        "recorder.tensors:.step_of",
    )
}
"""What a call of a module runs of the recorder."""
REFUSED = ("torch.kind:ModuleKind.classes", "torch.kind:ModuleKind.input_names")
"""Questions to models that may go without an answer."""
NEVER = ("torch.kind:ModuleKind.feature_names",)
"""Of tables, which modules are not given; asked only in another mode."""


class Several(nn.Module):
    """Takes and returns more than one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Any, more: Any = None) -> Any:
        return {"scaled": x * self.scale, "more": more["y"] + 1 if more else None, "words": ["a"]}


def trained() -> list[Any]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(X).sum().backward()
    optimizer.step()
    with torch.no_grad():
        before = model.eval()(X)
    model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()})
    return [before, model(X).detach(), model(X.clone().requires_grad_()).detach()]


def program() -> list[Any]:
    """What a user does; all results."""
    results = trained()
    torch.manual_seed(2)
    model = nn.Linear(3, 2).eval()
    with torch.inference_mode():
        results += [model(X), model(input=X), model(X[:1]), model(X[::2]), model(MANY), nn.Linear(3, 2)(X)]
        results += [outcome(model, X[:, :2]), outcome(model), nn.ReLU()(X)]
    several = Several().eval()
    with torch.no_grad():
        results += list(several(X, {"y": X}).values())[:2]
        results.append(several(X.to(torch.bfloat16))["scaled"].float())
        results += [several(LONG)["scaled"], several(IMAGES)["scaled"], several(X.repeat(2000, 3))["scaled"]]
        results += [several(X[0, 0], {"y": LONG.T[:, :1]})["scaled"], several(X.to_sparse())["scaled"].to_dense()]
        with prediction_context(segment={"country": "DE"}):
            results.append(model(X))
        for other in (torch.jit.script(model), torch.jit.freeze(torch.jit.script(model)), torch.jit.trace(model, X)):
            results.append(other(X))
        results.append(copy.deepcopy(EXPORTED)(X))
        results.append(torch.export.export(model, (X,)).module()(X))
        results.append(torch.compile(model, backend="eager")(X))
    return results


def giving() -> list[Any]:
    """The call of a user who sets a reference."""
    torch.manual_seed(2)
    model = nn.Linear(3, 2).eval()
    set_reference(model, X.tolist() * 2)
    with torch.inference_mode():
        return [model(X)]


OWNERS = [nn.Module, torch.optim.Optimizer, torch.jit._trace, torch.export, torch.onnx]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def user(one_thread: None) -> Instrumented:
    return Instrumented(program, [TorchInstrumentor], OWNERS)


@pytest.mark.parametrize("place", but(ALL, ON_A_DEVICE, AT_THE_END, REFUSED, NEVER, FOR_A_REFERENCE))
def test_a_fault_changes_no_result_and_is_said_once(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    assert not user.survives(ALL[place], caplog)


@pytest.mark.parametrize("place", FOR_A_REFERENCE)
def test_nor_does_one_in_reading_a_reference(place: str, one_thread: None, caplog: pytest.LogCaptureFixture) -> None:
    assert not Instrumented(giving, [TorchInstrumentor], OWNERS).survives(ALL[place], caplog)


@pytest.mark.parametrize("place", BY_THE_CALLER)
def test_nor_does_one_in_what_the_caller_runs_of_the_recorder(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    assert not user.survives(BY_THE_CALLER[place], caplog)


@pytest.mark.parametrize("place", REFUSED)
def test_what_a_model_does_not_answer_is_left_out(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    assert not user.survives(ALL[place], caplog, warnings=0)

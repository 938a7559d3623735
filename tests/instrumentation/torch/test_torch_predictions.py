"""Each prediction of a module is recorded once, and nothing else is."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from opentelemetry.instrumentation.utils import suppress_instrumentation
from torch import fx, nn
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from modelspan.instrumentation import identify, prediction_context
from modelspan.semconv import attributes as ml

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 8)
        self.b = nn.Sequential(nn.ReLU(), nn.Linear(8, 3))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(features))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def named(telemetry: Any) -> list[tuple[str, int]]:
    return [(attributes[ml.ML_MODEL_NAME], table.num_rows) for attributes, table in telemetry.batches()]


def test_a_call_is_one_record_however_many_modules_it_runs(torch_telemetry: Any, net: Net) -> None:
    with torch.no_grad():
        net(X)
        net(features=X[:2])
    assert named(torch_telemetry) == [("Net", 5), ("Net", 2)]


def test_training_records_nothing_and_evaluation_does(torch_telemetry: Any) -> None:
    net, loss = Net(), nn.MSELoss()
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(3):
        net.train()
        optimizer.zero_grad()
        loss(net(X), torch.zeros(5, 3)).backward()
        optimizer.step()
        net.eval()
        with torch.no_grad():
            loss(net(X[:1]), torch.zeros(1, 3))
    assert named(torch_telemetry) == [("Net", 1)] * 3
    versions = {attributes[ml.ML_MODEL_VERSION] for attributes, _ in torch_telemetry.batches()}
    assert len(versions) == 3  # what was learnt differs


def test_a_server_that_forgot_no_grad_is_seen(torch_telemetry: Any, net: Net) -> None:
    assert net(X).requires_grad
    assert named(torch_telemetry) == [("Net", 5)]


def test_gradients_of_an_input_are_no_predictions(torch_telemetry: Any, net: Net) -> None:
    net(X.clone().requires_grad_()).sum().backward()
    assert named(torch_telemetry) == []


def test_fine_tuning_in_evaluation_mode_records_nothing_while_its_optimizer_lives(
    torch_telemetry: Any, net: Net
) -> None:
    optimizer = torch.optim.SGD(net.b.parameters(), lr=0.1)
    net(X).sum().backward()
    assert named(torch_telemetry) == []
    del optimizer
    net(X)
    assert named(torch_telemetry) == [("Net", 5)]


def test_inference_mode_is_enough_for_a_model_and_not_for_a_loss(torch_telemetry: Any, net: Net) -> None:
    net.train()
    with torch.inference_mode():
        nn.CrossEntropyLoss()(net(X), torch.zeros(5, dtype=torch.long))
    assert named(torch_telemetry) == [("Net", 5)]


def test_nothing_is_recorded_under_suppression(torch_telemetry: Any, net: Net) -> None:
    with suppress_instrumentation(), torch.no_grad():
        net(X)
    assert named(torch_telemetry) == []


MAKERS: dict[str, Callable[[Net], Any]] = {
    "compiled": lambda net: torch.compile(net, backend="eager", fullgraph=True),
    "scripted": torch.jit.script,
    "traced": lambda net: torch.jit.trace(net, X),
    "exported": lambda net: torch.export.export(net, (X,)).module(),
    "symbolic": fx.symbolic_trace,
    "parallel": nn.DataParallel,
}


@pytest.mark.parametrize("maker", MAKERS)
def test_what_a_module_was_made_into_has_its_name_and_version(torch_telemetry: Any, net: Net, maker: str) -> None:
    with torch.no_grad():
        made = MAKERS[maker](net)
        assert named(torch_telemetry) == []  # making it calls the module, which is no prediction
        assert torch.equal(net(X), made(X))
    batches = torch_telemetry.batches()
    assert sum(table.num_rows for _, table in batches) == 10
    assert {attributes[ml.ML_MODEL_NAME] for attributes, _ in batches} == {"Net"}
    assert len({attributes[ml.ML_MODEL_VERSION] for attributes, _ in batches}) == 1


def test_a_frozen_script_without_parameters_or_training_flag_is_recorded(torch_telemetry: Any, net: Net) -> None:
    frozen = torch.jit.freeze(torch.jit.script(net))
    with torch.no_grad():
        frozen(X)
    assert named(torch_telemetry) == [("Net", 5)]


def test_a_compiled_module_is_the_one_that_was_identified(torch_telemetry: Any, net: Net) -> None:
    identify(net, name="pricing", version="7")
    with torch.no_grad():
        torch.compile(net, backend="eager")(X)
    ((attributes, _),) = torch_telemetry.batches()
    assert (attributes[ml.ML_MODEL_NAME], attributes[ml.ML_MODEL_VERSION]) == ("pricing", "7")


def test_other_weights_are_another_version(torch_telemetry: Any, net: Net) -> None:
    with torch.no_grad():
        net(X)
        torch.manual_seed(1)
        net.load_state_dict(Net().state_dict())
        net(X)
    assert len({attributes[ml.ML_MODEL_VERSION] for attributes, _ in torch_telemetry.batches()}) == 2


def export_to_onnx(net: Net) -> None:
    torch.onnx.export(net, (X,), io.BytesIO(), dynamo=False)


def count_operations(net: Net) -> None:
    with FlopCounterMode(display=False) as counter:
        net(X)
    assert counter.get_total_flops() == 2 * 5 * (4 * 8 + 8 * 3)


def run_on_fakes(net: Net) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        net(torch.ones(2, 4))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "look",
    [
        export_to_onnx,
        count_operations,
        run_on_fakes,
        lambda net: torch.export.export(net, (X,), strict=True),
        lambda net: torch.jit.trace(net, X, check_trace=True),
        lambda net: torch.vmap(net)(X),
        lambda net: torch.func.grad(lambda x: net(x).sum())(X),
        lambda net: torch.compile(lambda x: net(x) + 1, backend="eager")(X),
        lambda net: fx.symbolic_trace(net),
    ],
)
def test_looking_at_a_model_is_no_prediction(torch_telemetry: Any, net: Net, look: Callable[[Net], Any]) -> None:
    with torch.no_grad():
        look(net)
    assert named(torch_telemetry) == []


def test_replicas_in_the_threads_of_data_parallel_are_no_predictions(torch_telemetry: Any, net: Net) -> None:
    replica = net._replicate_for_data_parallel()
    with torch.no_grad():
        thread = threading.Thread(target=lambda: nn.Module.__call__(replica.b[0], X))
        replica.b[0]._is_replica = True
        thread.start()
        thread.join()
    assert named(torch_telemetry) == []


def test_an_error_passes_unchanged_and_is_recorded(torch_telemetry: Any, net: Net) -> None:
    with torch.no_grad(), pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        net(torch.ones(2, 7))
    assert torch_telemetry.batch()["error_type"].to_pylist() == ["RuntimeError"] * 2


def test_ids_of_a_context_are_known_after_the_call(torch_telemetry: Any, net: Net) -> None:
    with prediction_context(ids=["a", "b"], segment={"country": "DE"}) as context, torch.no_grad():
        net(X[:2])
    assert context.prediction_ids == ["a", "b"]
    assert torch_telemetry.batch()["prediction_id"].to_pylist() == ["a", "b"]


def test_threads_record_their_own_calls(torch_telemetry: Any, net: Net) -> None:
    def serve() -> None:
        with torch.inference_mode():
            for _ in range(50):
                net(X)

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch_telemetry.rows() == 4 * 50 * 5

"""What PyTorch documents of its public behaviour is the same with instrumentation: results, graphs, types, pickles."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import fx, nn
from torch._dynamo.eval_frame import _debug_get_cache_entry_list
from torch._dynamo.testing import CompileCounter, CompileCounterWithBackend
from torch.overrides import TorchFunctionMode

from modelspan.instrumentation.torch import TorchInstrumentor

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 8)
        self.b = nn.Sequential(nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


class Broken(nn.Module):
    """Has a graph break between two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.net = Net()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        torch._dynamo.graph_break()
        return self.net(x)


def compiled(make: Callable[[nn.Module, Any], Callable[..., Any]], backend: str = "eager", kind: type = Net) -> Any:
    """Frames and operations that were compiled for two calls, and their result."""
    counter = CompileCounterWithBackend(backend)
    call = make(kind().eval(), counter)
    with torch.no_grad():
        results = call(X), call(X)
    return counter.frame_count, counter.op_count, [one.tolist() for one in results]


def _method(net: nn.Module, counter: Any) -> Any:
    net.compile(backend=counter, fullgraph=True)
    return net


def many_models() -> Any:
    """They share the code of `nn.Module.__call__`, and must not share its limit of recompilations."""
    counter = CompileCounter()
    for _ in range(20):
        with torch.no_grad():
            torch.compile(Net().eval(), backend=counter)(X)
    return counter.frame_count, counter.op_count


def guards() -> int:
    with torch.no_grad():
        torch.compile(Net().eval(), backend="eager")(X)
    (entry,) = _debug_get_cache_entry_list(Net.forward.__code__)
    return len(str(entry.guard_manager).splitlines())


def trained() -> Any:
    net = Net()
    call = torch.compile(net, backend="aot_eager", fullgraph=True)
    optimizer = torch.optim.AdamW(net.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        call(X).square().sum().backward()
        optimizer.step()
    return [one.tolist() for one in net.parameters()]


def explained() -> Any:
    found = torch._dynamo.explain(Broken().eval())(X)
    return found.graph_count, found.graph_break_count, found.op_count


def exported(strict: bool) -> Any:
    program = torch.export.export(Net().eval(), (X,), strict=strict)
    return [(str(node), str(node.target)) for node in program.graph.nodes], program.module()(X).tolist()


def hooked() -> Any:
    seen: list[str] = []
    net = Net().eval()
    net.a.register_forward_pre_hook(lambda module, args: seen.append("before"))
    net.a.register_forward_hook(lambda module, args, result: result * 2)
    net.register_forward_hook(lambda module, args, kwargs, result: seen.append(str(kwargs)), with_kwargs=True)
    with torch.no_grad():
        return net(x=X).tolist(), seen


def saved() -> Any:
    net, file = Net().eval(), io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    return [one(X).tolist() for one in (loaded, copy.deepcopy(net), pickle.loads(pickle.dumps(net)))]


def transformed() -> Any:
    net = Net().eval()
    weights = dict(net.named_parameters())
    stacked = {name: torch.stack([one, one * 2]) for name, one in weights.items()}
    several = torch.vmap(lambda w: torch.func.functional_call(net, w, (X,)))(stacked)
    gradient = torch.func.grad(lambda w: torch.func.functional_call(net, w, (X,)).sum())(weights)
    return several.tolist(), {name: one.tolist() for name, one in gradient.items()}


def _graph(script: Any) -> str:
    return re.sub(r"___torch_mangle_\d+\.", "", str(script.graph))


def traced() -> Any:
    net = Net().eval()
    with torch.no_grad():
        return [
            _graph(torch.jit.script(net)),
            _graph(torch.jit.trace(net, X)),
            fx.symbolic_trace(net).code,
            torch.jit.trace(net, X)(X).tolist(),
            nn.DataParallel(net)(X).tolist(),
        ]


def lazy() -> Any:
    net = nn.Sequential(nn.LazyLinear(3), nn.ReLU()).eval()
    return type(net[0]).__name__, net(X).tolist(), type(net[0]).__name__


def described() -> Any:
    return [
        str(inspect.signature(nn.Module.__call__)),
        nn.Module.__call__.__qualname__,
        nn.Module.__call__.__module__,
        repr(Net()),
        pickle.loads(pickle.dumps(nn.Module.__call__)) is nn.Module.__call__,
    ]


def raised() -> Any:
    with pytest.raises(RuntimeError) as caught:
        Net()(torch.ones(2, 9))
    return str(caught.value)


CASES: dict[str, Callable[[], Any]] = {
    "compiled whole": lambda: compiled(lambda net, backend: torch.compile(net, backend=backend, fullgraph=True)),
    "compiled by aot_eager": lambda: compiled(
        lambda net, backend: torch.compile(net, backend=backend, fullgraph=True), "aot_eager"
    ),
    "compiled function": lambda: compiled(
        lambda net, backend: torch.compile(lambda x: net(x) + 1, backend=backend, fullgraph=True)
    ),
    "compiled in place": lambda: compiled(_method),
    "compiled with a break": lambda: compiled(lambda net, backend: torch.compile(net, backend=backend), kind=Broken),
    "compiled function with a break": lambda: compiled(
        lambda net, backend: torch.compile(lambda x: net(x).relu(), backend=backend), kind=Broken
    ),
    "compiled function with what is not": lambda: compiled(
        lambda net, backend: torch.compile(lambda x: torch.compiler.disable(net)(x.relu()) + 1, backend=backend)
    ),
    "compiled library module": lambda: compiled(
        lambda net, backend: torch.compile(net.a, backend=backend, fullgraph=True)
    ),
    "compiled many": many_models,
    "guards": guards,
    "trained": trained,
    "explained": explained,
    "exported strictly": lambda: exported(True),
    "exported": lambda: exported(False),
    "hooked": hooked,
    "saved": saved,
    "transformed": transformed,
    "traced": traced,
    "lazy": lazy,
    "described": described,
    "raised": raised,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_is_the_same_with_and_without(instrument: Callable[..., Any], case: str) -> None:
    def outcome() -> Any:
        torch._dynamo.reset()
        torch.manual_seed(0)
        return CASES[case]()

    before = outcome()
    instrument()
    during = outcome()
    TorchInstrumentor().uninstrument()
    assert during == before
    assert outcome() == before


def classes() -> dict[tuple[type, str], Any]:
    owners = (
        nn.Module,
        nn.Linear,
        nn.Sequential,
        fx.GraphModule,
        torch.jit.RecursiveScriptModule,
        torch.optim.Optimizer,
    )
    return {(owner, name): value for owner in owners for name, value in vars(owner).items()}


def test_modes_and_subclasses_of_a_program_see_what_the_module_does_and_no_more(instrument: Callable[..., Any]) -> None:
    seen: list[str] = []

    class Mode(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(function.__name__)
            return function(*args, **(kwargs or {}))

    class Logged(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(function.__name__)
            return super().__torch_function__(function, types, args, kwargs or {})

    def run() -> list[str]:
        seen.clear()
        for context in (torch.no_grad(), torch.inference_mode(), torch.enable_grad()):
            with context:
                with Mode():
                    net(X)
                net(logged)
        return list(seen)

    net, logged = Net().eval(), X.as_subclass(Logged)
    bare = run()
    telemetry = instrument()
    assert run() == bare
    assert telemetry.rows() == 6 * len(X)


def test_uninstrumenting_leaves_everything_as_it_was(instrument: Callable[..., Any]) -> None:
    from torch._dynamo import trace_rules
    from torch._dynamo.variables import nn_module

    def state() -> tuple[Any, ...]:
        rules = (list(trace_rules.SKIP_DIRS), trace_rules.SKIP_DIRS_RE.pattern)
        functions = (torch.export.export, torch.onnx.export, torch.jit._trace._check_trace)
        return (classes(), nn_module.unpatched_nn_module_call, functions, rules)

    import torch.onnx

    before = state()
    instrument()
    assert sorted(name for (_, name), value in classes().items() if before[0][_, name] is not value) == [
        "__call__",
        "_wrapped_call_impl",
        "add_param_group",
        "load_state_dict",
    ]
    TorchInstrumentor().uninstrument()
    assert state() == before

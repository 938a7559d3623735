"""Answers about modules: what they are called, what they have learnt, what their arguments are called."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from modelspan.instrumentation.recorder.kinds import Kind, input_names
from modelspan.instrumentation.torch.capture import address_of
from modelspan.semconv import attributes as ml

WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}
"""Classes whose instances run another module, and the attribute that has it."""
_MAX_NUMBERS = 65_536
"""Of one parameter, in its digest: of a larger one every k-th."""


def unwrapped(module: Any) -> Any:
    """The module that a compiled or parallel one runs."""
    for _ in range(4):
        attribute = WRAPPERS.get(type(module).__name__)
        if attribute is None:
            return module
        module = getattr(module, attribute, module)
    return module


class ModuleKind(Kind):
    """Modules of PyTorch."""

    def essence(self, model: Any) -> Any:
        return unwrapped(model)

    def name(self, model: Any) -> str:
        model = unwrapped(model)
        if isinstance(model, torch.jit.ScriptModule):
            return str(model.original_name)
        name = type(model).__name__
        return (_exported_name(model) or name) if name == "GraphModule" else name

    def digest(self, model: Any) -> str:
        """Hex digest of the parameters and buffers, their names, types, shapes and up to 65,536 numbers of each: the same for a module and
        what it was compiled, scripted or exported to, where that keeps its parameters.
        """
        model = unwrapped(model)
        found = hashlib.blake2b(digest_size=16)
        empty = True
        for name, tensor in _state(model):
            empty = False
            shape = "lazy" if is_lazy(tensor) else tuple(tensor.shape)
            found.update(f"{name} {tensor.dtype} {shape}".encode())
            found.update(_content(tensor))
        if empty:
            found.update(_source(model))
        return found.hexdigest()

    def framework(self, model: Any) -> str:
        return ml.MlFrameworkNameValues.PYTORCH.value

    def task(self, model: Any) -> str | None:
        return None

    def classes(self, model: Any) -> list[Any] | None:
        return None

    def feature_names(self, model: Any, width: int) -> Sequence[str] | None:
        return None

    def width(self, model: Any) -> int | None:
        return None

    def readable(self, model: Any, x: Any) -> Any:
        from modelspan.instrumentation.torch.given import readable

        return readable(x, unwrapped(model), input_names(model))

    def input_names(self, model: Any) -> Sequence[str]:
        forward = unwrapped(model).forward
        if isinstance(forward, torch.ScriptMethod):
            return [one.name for one in forward.schema.arguments][1:]
        return [
            name
            for name, one in inspect.signature(forward).parameters.items()
            if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD, one.VAR_POSITIONAL)
        ]


def _exported_name(model: Any) -> str | None:
    """Class of the module that a graph was exported from, which its nodes know."""
    for node in model.graph.nodes:
        for _, kind in (node.meta.get("nn_module_stack") or {}).values():
            return kind.rpartition(".")[2] if isinstance(kind, str) else str(kind.__name__)
    return None


def _state(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    # Not state_dict, whose hooks are code of the program, and in which sharded modules wait for each other.
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _content(tensor: torch.Tensor) -> bytes:
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer) or tensor.layout is not torch.strided:
        return b""
    if tensor.is_meta or tensor.numel() == 0 or not address_of(tensor):
        return b""
    if tensor.is_cuda:
        # A stream of its own: what is copied on the program's would hold it up.
        cuda: Any = torch.cuda  # without annotations
        stream = cuda.Stream(tensor.device)
        with torch.cuda.stream(stream):
            return _sampled(tensor)
    return _sampled(tensor)


def _sampled(tensor: torch.Tensor) -> bytes:
    flat = tensor.detach().reshape(-1)
    sample = flat[:: -(-len(flat) // _MAX_NUMBERS)].clone().cpu()
    return bytes(sample.view(torch.uint8).numpy().data)


def _source(model: Any) -> bytes:
    """The code of a module without parameters: a frozen script has them as constants within it."""
    if not isinstance(model, torch.jit.ScriptModule):
        return type(model).__qualname__.encode()
    code, constants = model.code_with_constants
    return b"".join([code.encode(), *[_constant(name, one) for name, one in constants.const_mapping.items()]])


def _constant(name: str, value: Any) -> bytes:
    if not isinstance(value, torch.Tensor):
        return f"{name} {value!r}".encode()
    # Not as text: that is abbreviated, and while it is made, `torch.export` in any other thread loses its mode and fails.
    return f"{name} {value.dtype} {tuple(value.shape)}".encode() + _content(value)


KINDS = {"Module": ModuleKind()}

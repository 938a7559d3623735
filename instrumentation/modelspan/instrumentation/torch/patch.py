"""Replaces `nn.Module.__call__`, and follows optimizers.

Every call of a module, nested ones included, comes through here, so a nested call does no more than look at one variable. A function
that called the original would take as long again as that takes: what that does is written out instead, where it is known, and in
its place in PyTorch's file, because warnings name lines of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from torch import nn, optim

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.signatures import wraps
from modelspan.instrumentation.patching.wrappers import guarded_fit
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.scope import INSIDE, around
from modelspan.instrumentation.torch import given
from modelspan.instrumentation.torch.call import outermost_call
from modelspan.instrumentation.torch.training import follow

Call = Callable[..., Any]
Outermost = Callable[[Call, Any, tuple[Any, ...], dict[str, Any]], Any]

ORIGINAL = "_torchdynamo_inline"
"""Attribute of a function that names what Dynamo traces in its place."""


def replace_call(patches: Patches, torch: Any) -> None:
    """Record the calls of modules."""
    given.follow(patches.recorder)
    original = cast("Call", vars(nn.Module)["__call__"])
    call = _module_call(original, outermost_call(patches.recorder))
    setattr(call, ORIGINAL, original)
    patches.replace(nn.Module, "__call__", call)
    if vars(nn.Module).get(original.__name__) is original:
        # By that name pickles of `model.__call__` find it.
        patches.replace(nn.Module, original.__name__, call)
    patches.wrap(nn, "Module.load_state_dict", lambda load: guarded_fit(load, patches.recorder))
    patches.wrap(optim, "Optimizer.add_param_group", _followed)
    patches.wrap(torch._C, "_jit_clear_class_registry", lambda clear: _after_what_waits(clear, patches.recorder))


def _module_call(original: Call, outermost: Outermost) -> Call:
    get = around.get
    lines = _lines_of(original)
    if lines is not None:
        code = compile(_written_at(*lines), original.__code__.co_filename, "exec")
        namespace: dict[str, Any] = {"_get": get, "_INSIDE": INSIDE, "_outermost": outermost}
        exec(code, namespace)  # of the template below
        written: Call = functools.wraps(original)(namespace["_wrapped_call_impl"])
        return written

    @wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if get() is INSIDE:
            return original(self, *args, **kwargs)
        return outermost(functools.partial(original, self), self, args, kwargs)

    return call


_KNOWN = ("_compiled_call_impl", "_call_impl")
"""What `__call__` looks for: it calls the one, or else the other."""
_TEMPLATE = (
    "def _wrapped_call_impl(self, *args, **kwargs):",
    "    call = self._compiled_call_impl",
    "    if call is not None: return call(*args, **kwargs) if _get() is _INSIDE else _outermost(call, self, args, kwargs)",
    "    return self._call_impl(*args, **kwargs) if _get() is _INSIDE else _outermost(self._call_impl, self, args, kwargs)",
)


def _lines_of(original: Call) -> tuple[int, ...] | None:
    """The numbers of the lines of `__call__`, where it is the function that `_TEMPLATE` stands for."""
    code = getattr(original, "__code__", None)
    if code is None or code.co_names != _KNOWN or len(code.co_consts) > 2:
        return None
    lines = sorted({line for *_, line in code.co_lines() if line} | {code.co_firstlineno})
    return tuple(lines) if len(lines) == len(_TEMPLATE) else None


def _written_at(*lines: int) -> str:
    """The lines of `_TEMPLATE`, each where it belongs."""
    source = [""] * lines[-1]
    for line, text in zip(lines, _TEMPLATE, strict=True):
        source[line - 1] = text
    return "\n".join(source)


def _followed(original: Call) -> Call:
    @wraps(original)
    def add_param_group(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            follow(self)
        except Exception as error:
            failed("see that an optimizer is made", error)
        return original(self, *args, **kwargs)

    return add_param_group


def _after_what_waits(clear: Call, recorder: Recorder) -> Call:
    """Frees functions of scripts, which models that were called and wait to be recorded may still have. Tests of PyTorch do."""

    @wraps(clear)
    def call(*args: Any, **kwargs: Any) -> Any:
        recorder.drain(recorder.config.exit_timeout)
        return clear(*args, **kwargs)

    return call

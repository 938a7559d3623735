"""What is added to a call within a prediction, which is not recorded: `python -m bench.nested`.

The smallest method that takes such parameters is called as it is and as it is replaced, in turns; what is given is the difference of the
medians over turns of the quickest call.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from statistics import median
from time import perf_counter_ns
from typing import Any

from modelspan.instrumentation.config import load
from modelspan.instrumentation.patching.wrappers import described, recorded
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.scope import INSIDE, around
from modelspan.instrumentation.recorder.signals import Providers

TURNS = 200
CALLS = 1000


def _x(self: Any, X: Any) -> Any:
    return X


def _tree(self: Any, X: Any, check_input: bool = True) -> Any:
    return X


def _booster(self: Any, data: Any, start: int = 0, raw: bool = False, leaf: bool = False, *, last: Any = None) -> Any:
    return data


def _anything(self: Any, *args: Any, **kwargs: Any) -> Any:
    return args


def table() -> str:
    """Rows of Markdown."""
    recorder = Recorder(load(), Providers())
    methods: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
        "predict(X), as most of scikit-learn": (_x, recorded(_x, "predict", recorder)),
        "predict(X, check_input=False), as its trees": (_tree, recorded(_tree, "predict", recorder)),
        "predict(data, start, raw=..., last=...), as boosters": (_booster, described(_booster, _never, recorder)),
        "predict(*args, **kwargs), as decorated methods": (_anything, described(_anything, _never, recorder)),
        "a module of PyTorch": _module(recorder),
    }
    lines = ["| call within a prediction | as it is, ns | added, ns |", "|---|---|---|"]
    token = around.set(INSIDE)
    for name, pair in methods.items():
        bare, added = _measure(pair, name)
        lines.append(f"| {name} | {bare:.0f} | {added:+.0f} |")
    around.reset(token)
    return "\n".join(lines)


def _never(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("within a prediction nobody asks")


def _module(recorder: Recorder) -> tuple[Callable[..., Any], Callable[..., Any]]:
    from torch import nn

    from modelspan.instrumentation.torch.call import outermost_call
    from modelspan.instrumentation.torch.patch import _module_call

    module = nn.Identity()
    bare: Any = nn.Module.__call__
    replaced = _module_call(bare, outermost_call(recorder))
    return lambda _, x: bare(module, x), lambda _, x: replaced(module, x)


def _measure(pair: tuple[Callable[..., Any], Callable[..., Any]], name: str) -> tuple[float, float]:
    keywords: dict[str, Any] = {}
    if "check_input" in name:
        keywords = {"check_input": False}
    elif "raw=" in name:
        keywords = {"raw": True, "last": 1}
    taken: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(TURNS):
        for which in random.sample((0, 1), 2):
            call = pair[which]
            began = perf_counter_ns()
            for _ in range(CALLS):
                call(None, 1, **keywords)
            taken[which].append((perf_counter_ns() - began) / CALLS)
    bare = median(taken[0])
    return bare, median(taken[1]) - bare


if __name__ == "__main__":
    print(table())

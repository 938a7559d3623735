"""The clocks that date telemetry: those of the machine, whatever the program freezes.

Tools that freeze time replace the functions of the module `time` wherever they find them, each at its moment. Two clocks of which only
one is replaced date a prediction to 1970. A second copy of that module, which only this file knows, has all of them as they were.
"""

from __future__ import annotations

import time
from importlib.machinery import BuiltinImporter
from importlib.util import module_from_spec
from types import ModuleType


def _own_time() -> ModuleType:
    spec = BuiltinImporter.find_spec("time")
    if spec is None or spec.loader is None:  # another interpreter than CPython
        return time
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_time = _own_time()
time_ns = _time.time_ns
monotonic = _time.monotonic
perf_counter_ns = _time.perf_counter_ns


def ticks_since_1970() -> int:
    """Return the offset from `perf_counter_ns()` to Unix time, in nanoseconds."""
    return int(time_ns() - perf_counter_ns())

"""What the background thread needs and no caller does. See `Recorder._prepare`."""

from __future__ import annotations

from modelspan.instrumentation.recorder import alike, group, metrics, redaction, spans
from modelspan.instrumentation.recorder.events import BatchEmitter, RowEmitter, forget_announced
from modelspan.instrumentation.recorder.sampling import Sampling

__all__ = [
    "BatchEmitter",
    "RowEmitter",
    "Sampling",
    "alike",
    "forget_announced",
    "group",
    "metrics",
    "redaction",
    "spans",
]

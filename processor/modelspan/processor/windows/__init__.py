"""Event-time windows over `ml_predictions`, computed by SQL on the edges of the reference, and their verdicts.

    evaluator = Evaluator(store, Settings.of(config.windows, config.drift))
    threading.Thread(target=evaluator.run, args=(stop,)).start()
    evaluator.touch(ModelKey("shop", "prod", "fraud", "3"), event_times, time.time())   # after each insert
    evaluator.reference_changed("fraud", "3")                                           # after each stored reference

A window is `[start, start + length)` in event time, aligned to the epoch, of one (service, environment, model, version). Windows
are not state: what they hold is in `ml_predictions`, so a crash, late rows, a second service on the same store, or a reference that
is set later lead to the same verdicts. Outputs of models with several outputs are not tested, and neither are segments.
"""

from __future__ import annotations

from .evaluator import Evaluator
from .keys import ModelKey
from .settings import Settings

__all__ = ["Evaluator", "ModelKey", "Settings"]

"""The recorder of this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from modelspan.instrumentation.config import Config
from modelspan.instrumentation.failure import attempt
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.signals import Providers

if TYPE_CHECKING:
    from modelspan.instrumentation.patching.patches import Patches

_recorder: Recorder | None = None
_users = 0
"""Instrumentors that use it."""
_everywhere: Patches | None = None
"""What is patched for all of them."""


def join(config: Callable[[], Config], providers: Providers) -> Recorder:
    """The recorder for one more instrumentor: that of the others, or a new one; one that only the API has made is closed."""
    global _recorder, _users
    if _users == 0:
        _stop()
    if _recorder is None:
        _recorder = Recorder(config(), providers)
    _users += 1
    if _users == 1:
        attempt("follow servers and threads", _follow_everywhere, _recorder)
    return _recorder


def _follow_everywhere(recorder: Recorder) -> None:
    global _everywhere
    # Only now: patches import the recorder.
    from modelspan.instrumentation.patching.everywhere import follow_everywhere
    from modelspan.instrumentation.patching.patches import Patches

    _everywhere = Patches(recorder)
    follow_everywhere(_everywhere)


def leave() -> None:
    """An instrumentor needs the recorder no more; the last one has it hand over what it has."""
    global _users
    _users -= 1
    if _users == 0:
        if _everywhere is not None:
            _everywhere.undo()
        _stop()


def get() -> Recorder:
    """The recorder, a new one if there is none: with what the instrumentors are given, whose libraries nobody has imported."""
    global _recorder
    if _recorder is None:
        # Only now: it imports much that a program may do without, and patches import the recorder.
        from modelspan.instrumentation.patching.instrumentor import ModelInstrumentor

        config, providers = ModelInstrumentor.settings()
        _recorder = Recorder(config(), providers)
    return _recorder


def started() -> Recorder | None:
    """The recorder, if there is one."""
    return _recorder


def _stop() -> None:
    global _recorder
    if _recorder is not None:
        _recorder.close()
    _recorder = None

"""The recorder of this process."""

from __future__ import annotations

from modelspan.instrumentation.config import Config, load
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.signals import Providers

_recorder: Recorder | None = None


def start(config: Config, providers: Providers) -> Recorder:
    """Make a recorder that of the process; one that was is closed."""
    global _recorder
    stop()
    _recorder = Recorder(config, providers)
    return _recorder


def stop() -> None:
    """Hand over what the recorder has and forget it."""
    global _recorder
    if _recorder is not None:
        _recorder.close()
    _recorder = None


def get() -> Recorder:
    """The recorder, a new one with the configuration of the environment if there is none."""
    return _recorder or start(load(), Providers())


def started() -> Recorder | None:
    """The recorder, if there is one."""
    return _recorder

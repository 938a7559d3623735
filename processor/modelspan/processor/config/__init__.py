"""The service's configuration: one typed model, filled from flags, environment and a YAML file, in this order.

`load` reads it, `as_yaml` prints it, `python -m modelspan.processor.config` writes `docs/configuration.md`.
"""

from __future__ import annotations

from modelspan.processor.config.load import ConfigError, add_flags, load
from modelspan.processor.config.model import (
    ClickHouseHttpConfig,
    Config,
    DriftConfig,
    JournalConfig,
    LogConfig,
    ReceiverConfig,
    StoreConfig,
    WindowsConfig,
    without_password,
)
from modelspan.processor.config.render import as_yaml

__all__ = [
    "ClickHouseHttpConfig",
    "Config",
    "ConfigError",
    "DriftConfig",
    "JournalConfig",
    "LogConfig",
    "ReceiverConfig",
    "StoreConfig",
    "WindowsConfig",
    "add_flags",
    "as_yaml",
    "load",
    "without_password",
]

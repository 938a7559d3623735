"""How windows are cut, when they close, and what a verdict demands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelspan.processor.config import DriftConfig, WindowsConfig
from modelspan.processor.stats.decide import TOLERANCE
from modelspan.processor.stats.series import KS

from .references import PROVISIONAL

SECOND = 1_000_000_000


@dataclass(frozen=True)
class Settings:
    """What the windows need of the configuration, and limits of their own. Durations are in seconds.

    Raises:
        ValueError: a setting makes no sense; the message names it.
    """

    length: float = 300.0
    """Length of a window in event time, whole seconds. Longer windows see smaller drift, later."""
    lateness: float = 30.0
    """How far behind the newest row of its model a window stays open."""
    idle: float = 10.0
    """A window that is over and got no row for so long closes, even if nothing newer arrives."""
    settle: float = 2.0
    """A window that is due waits until it got no row for so long, so that a burst of late rows is judged once."""
    patience: float = 30.0
    """... but no longer than this."""
    first_predictions: int = 2000
    """Rows that become the reference of a model which was given none; 0 for never."""
    provisional_predictions: int = 0
    """Rows that stand in for them until they are there; 0, or as many as them, for none."""
    bins: int = 50
    """Bins of a numeric reference that is made from them."""
    alpha: float = 0.05
    """Bound of the share of windows with a false alarm, over all series of the model together."""
    tolerance: Mapping[str, float] = field(default_factory=lambda: TOLERANCE)
    """Effects below this, by method, are never called drift, however sure."""
    min_rows: float = 100
    """Effective rows below which a series is not tested."""
    recover_within: float = 7 * 86400.0
    """At start, and when a reference changes, windows with rows stored within this time are looked at again."""
    max_waiting: int = 100_000
    """Windows that may wait for a verdict in memory; beyond that they are found again in the store."""
    max_models: int = 10_000
    """Models of which windows may wait in memory, likewise."""
    max_unknown_names: int = 1000
    """Features without a reference that are listed per window."""
    query_threads: int = 1
    """Threads of a query in the store, so that verdicts never crowd out ingestion."""

    def __post_init__(self) -> None:
        if self.length < 1 or self.length != int(self.length):
            raise ValueError(f"length of a window must be whole seconds, at least 1, not {self.length}")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, not {self.alpha}")
        if min(self.lateness, self.idle, self.settle, self.patience) < 0:
            raise ValueError("lateness, idle, settle and patience must not be negative")

    @classmethod
    def of(cls, windows: WindowsConfig, drift: DriftConfig) -> Settings:
        """Settings of a service's configuration. Its tolerance is that of a KS distance; others keep their proportion to it."""
        return cls(
            length=windows.length.total_seconds(),
            lateness=windows.lateness.total_seconds(),
            idle=windows.idle.total_seconds(),
            recover_within=windows.horizon.total_seconds(),
            max_models=windows.max_models,
            first_predictions=drift.first_predictions,
            provisional_predictions=drift.provisional_predictions,
            bins=drift.bins,
            alpha=drift.alpha,
            tolerance={method: least * drift.tolerance / TOLERANCE[KS] for method, least in TOLERANCE.items()},
            min_rows=drift.min_rows,
        )

    @property
    def is_provisional_wanted(self) -> bool:
        """True if a provisional baseline stands in until the full one is complete."""
        return 0 < self.provisional_predictions < self.first_predictions

    def baseline_rows(self, source: str) -> int:
        """Rows that a baseline of this source is made of."""
        return self.provisional_predictions if source == PROVISIONAL else self.first_predictions

    @property
    def query(self) -> dict[str, str]:
        """Settings of every query."""
        return {"max_threads": str(self.query_threads)}

    @property
    def length_ns(self) -> int:
        """Length of a window in nanoseconds."""
        return int(self.length) * SECOND

"""Predictions made of arrays, in the embedded engine."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from modelspan.processor.store import Store
from modelspan.processor.windows import Evaluator, ModelKey, Settings
from modelspan.profile import NumericProfile, Profile, categorical_profile, numeric_profile

SECOND = 1_000_000_000
LENGTH = 300 * SECOND
BASE = 1_700_000_100 * SECOND
NOW = 1_800_000_000.0
KEY = ModelKey("shop", "prod", "fraud", "3")
_numbers = itertools.count()


@dataclass
class Lab:
    """A store, an evaluator on it, and short ways to fill and to ask it."""

    store: Store
    settings: Settings
    evaluator: Evaluator = field(init=False)
    wall: float = NOW

    def __post_init__(self) -> None:
        self.evaluator = Evaluator(self.store, self.settings)

    def predict(
        self,
        times: Any,
        features: Mapping[str, Sequence[Any]] | None = None,
        *,
        key: ModelKey = KEY,
        operation: str = "predict",
        touch: bool = True,
        **columns: Any,
    ) -> None:
        """Store a row for each event time (nanoseconds). None and NaN in `features` are missing; strings are text."""
        times = np.asarray(times, np.int64)
        rows = prediction_rows(times, features or {}, key, operation, self.wall, columns)
        self.store.insert("ml_predictions", rows, f"block {next(_numbers)}")
        if touch:
            self.evaluator.touch(key, times, self.wall)

    def reference(
        self,
        features: Mapping[str, Any] | Profile,
        *,
        key: ModelKey = KEY,
        reference_id: str = "train",
        service: str = "",
        environment: str = "",
        created: float = 0.0,
        **columns: Any,
    ) -> Profile:
        """Store a training reference made of feature values, or a profile, as the service would."""
        profile = features if isinstance(features, Profile) else feature_profile(features)
        model = ModelKey(service, environment, key.model_name, key.model_version)
        rows = reference_rows(profile, model, reference_id, created, columns)
        self.store.insert("ml_references", rows, f"reference {next(_numbers)}")
        return profile

    def loaded(self, key: ModelKey, digest: str | None) -> None:
        """Store that a process has this model, which has learnt what `digest` says."""
        said = {name: [value] for name, value in key._asdict().items()}
        row = pa.table({**said, "model_digest": pa.array([digest], pa.string())})
        self.store.insert("ml_models", row, f"model {next(_numbers)}")

    def settle(self) -> int:
        """Let time pass until nothing is waiting; windows that got a verdict."""
        before = self.evaluator.evaluated
        for _ in range(3):
            self.wall += 100.0
            while self.evaluator.tick(self.wall):
                pass
        return self.evaluator.evaluated - before

    def restart(self) -> None:
        """A new evaluator that remembers nothing."""
        self.evaluator = Evaluator(self.store, self.settings)

    def ask(self, sql: str) -> list[dict[str, Any]]:
        return self.store.client().query_arrow(sql).to_pylist()  # type: ignore[no-any-return]

    def windows(self, key: ModelKey = KEY) -> list[dict[str, Any]]:
        return self.ask(f"SELECT * FROM ml_windows FINAL WHERE {_is(key)} ORDER BY window_start")

    def drift(self, key: ModelKey = KEY, window: int | None = None) -> dict[tuple[str, str], dict[str, Any]]:
        """Verdicts by kind and name, of the window with this number (sorted by time), default the only one."""
        rows = self.ask(f"SELECT * FROM ml_drift FINAL WHERE {_is(key)} ORDER BY window_start")
        starts = sorted({row["window_start"] for row in rows})
        assert window is not None or len(starts) == 1
        return {(r["series_kind"], r["series_name"]): r for r in rows if r["window_start"] == starts[window or 0]}

    def counts(self, key: ModelKey = KEY) -> dict[tuple[str, str], dict[str, Any]]:
        """Newest rows of ml_feature_windows of the only window."""
        rows = self.ask(f"SELECT * FROM ml_feature_windows FINAL WHERE {_is(key)}")
        assert len({row["window_start"] for row in rows}) == 1
        return {(row["series_kind"], row["series_name"]): row for row in rows}


def _is(key: ModelKey) -> str:
    return " AND ".join(f"hex({name}) = '{value.encode().hex().upper()}'" for name, value in key._asdict().items())


def window_times(rows: int, window: int = 0, base: int = BASE) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Event times spread over the window with this number."""
    return base + window * LENGTH + np.linspace(0, LENGTH - 1, rows).astype(np.int64)


def feature_profile(features: Mapping[str, Any]) -> Profile:
    def one(name: str, values: Any) -> Any:
        is_text = any(isinstance(value, str) for value in values)
        build: Any = categorical_profile if is_text else numeric_profile
        return build(values, kind="feature", name=name)

    return Profile(tuple(one(name, values) for name, values in features.items()))


def _maps(features: Mapping[str, Sequence[Any]], rows: int) -> tuple[pa.Array, pa.Array]:
    numbers: list[list[tuple[str, Any]]] = [[] for _ in range(rows)]
    texts: list[list[tuple[str, Any]]] = [[] for _ in range(rows)]
    for name in sorted(features):
        for row, value in enumerate(features[name]):
            if isinstance(value, str):
                texts[row].append((name, value))
            elif value is not None and value == value:
                numbers[row].append((name, float(value)))
    return pa.array(numbers, pa.map_(pa.string(), pa.float64())), pa.array(texts, pa.map_(pa.string(), pa.string()))


def prediction_rows(
    times: Any,
    features: Mapping[str, Sequence[Any]],
    key: ModelKey,
    operation: str,
    wall: float,
    columns: dict[str, Any],
) -> pa.Table:
    rows = len(times)
    block = next(_numbers)
    numbers, texts = _maps(features, rows)
    same = {**key._asdict(), "operation": operation}
    given = {
        "prediction_id": [f"{block}-{row}" for row in range(rows)],
        "weight": np.ones(rows),
        "label": [None] * rows,
        "score": [None] * rows,
        "value": [None] * rows,
        "error_type": [""] * rows,
        **columns,
    }
    types = {"weight": pa.float64(), "label": pa.string(), "score": pa.float64(), "value": pa.float64()}
    return pa.table(
        {
            "time": pa.array(times, pa.timestamp("ns", "UTC")),
            **{name: pa.array([value] * rows, pa.string()) for name, value in same.items()},
            "features_numeric": numbers,
            "features_text": texts,
            **{name: pa.array(value, types.get(name, pa.string())) for name, value in given.items()},
            "inserted_at": pa.array([int(wall * 1000)] * rows, pa.timestamp("ms", "UTC")),
        }
    )


def reference_rows(
    profile: Profile, model: ModelKey, reference_id: str, created: float, columns: dict[str, Any]
) -> pa.Table:
    rows = []
    for one in profile.series:
        numeric = isinstance(one, NumericProfile)
        moments = ("mean", "stddev", "min", "max")
        rows.append(
            {
                "reference_id": reference_id,
                "source": "training",
                **model._asdict(),
                "model_digest": "",
                "series_kind": one.kind,
                "series_name": one.name,
                "series_type": "numeric" if numeric else "categorical",
                "rows": one.rows,
                "missing": one.missing,
                "text": one.text if isinstance(one, NumericProfile) else 0.0,
                "cuts": one.cuts.tolist() if isinstance(one, NumericProfile) else [],
                "categories": [] if isinstance(one, NumericProfile) else list(one.categories),
                "counts": one.counts.tolist(),
                **{name: getattr(one, name) if numeric else None for name in moments},
                **columns,
            }
        )
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("reference_id", "source", *ModelKey._fields)),
            *((name, pa.string()) for name in ("model_digest", "series_kind", "series_name", "series_type")),
            ("rows", pa.float64()),
            ("missing", pa.float64()),
            ("text", pa.float64()),
            ("cuts", pa.list_(pa.float64())),
            ("categories", pa.list_(pa.string())),
            ("counts", pa.list_(pa.float64())),
            *((name, pa.float64()) for name in ("mean", "stddev", "min", "max")),
        ]
    )
    table = pa.Table.from_pylist(rows, schema=schema)
    created_at = pa.array([int((created or time.time()) * 1000)] * len(rows), pa.timestamp("ms", "UTC"))
    return table.append_column("created_at", created_at)

"""Many values into a histogram at once.

`Histogram.record` takes about 6 µs, more than a fast model can give for each prediction. Values that arrive together and
share their attributes are counted into buckets with NumPy and added to the aggregation of the SDK under its lock: the exported
points are the same. Only for an SDK whose aggregation is the one known here; else each value is recorded by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from opentelemetry.metrics import Histogram

_FIELDS = ("_lock", "_value", "_sum", "_min", "_max", "_boundaries", "_record_min_max", "_attributes")


def record_all(
    histogram: Histogram,
    values: npt.NDArray[np.float64],
    attributes: Mapping[str, Any],
    counts: npt.NDArray[np.int64] | None = None,
) -> None:
    """Record every finite value from 0 on, with the same attributes, in this order; as often as `counts` says, at least once.

    With an aggregation that is not known here each is recorded once: millions of calls of the SDK would keep the background busy.
    """
    accepted = np.isfinite(values) & (values >= 0)
    values = values[accepted]
    if not len(values):
        return
    # The first goes through the SDK, which makes the aggregation by its views, limits and readers.
    histogram.record(float(values[0]), attributes)
    further = None if counts is None else counts[accepted] - (np.arange(len(values)) == 0)
    if further is None:
        values = values[1:]
    if not len(values):
        return
    aggregations = _aggregations(histogram, attributes)
    if aggregations is None:
        for value in (values if further is None else values[1:]).tolist():
            histogram.record(value, attributes)
        return
    for aggregation in aggregations:
        _add(aggregation, values, further)


def _aggregations(histogram: Any, attributes: Mapping[str, Any]) -> list[Any] | None:
    """The SDK's explicit-bucket aggregations of this histogram and attributes, or None where any of them is unknown."""
    try:
        storages = histogram._measurement_consumer._reader_storages.values()
        matches = [match for storage in storages for match in storage._instrument_view_instrument_matches[histogram]]
        found = [_aggregation_of(match, attributes) for match in matches]
    except (AttributeError, KeyError, TypeError):
        return None
    return None if any(aggregation is None for aggregation in found) else found


def _aggregation_of(match: Any, attributes: Mapping[str, Any]) -> Any:
    keys = match._view._attribute_keys
    kept = dict(attributes) if keys is None else {name: value for name, value in attributes.items() if name in keys}
    for aggregation in match._attributes_aggregation.values():
        if dict(aggregation._attributes or {}) == kept:
            return aggregation if _is_known(aggregation) else None
    return None


def _is_known(aggregation: Any) -> bool:
    return type(aggregation).__name__ == "_ExplicitBucketHistogramAggregation" and all(
        hasattr(aggregation, name) for name in _FIELDS
    )


def _add(aggregation: Any, values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64] | None) -> None:
    """What `aggregate` does for each value, in the same order, so that even the rounding of the sum is the same where every
    value counts once.
    """
    bounds = aggregation._boundaries
    places = np.searchsorted(bounds, values, side="left")
    added = np.bincount(places, counts, minlength=len(bounds) + 1).astype(np.int64).tolist()
    summands = values if counts is None else values * counts
    with aggregation._lock:
        before = aggregation._value or [0] * (len(bounds) + 1)
        aggregation._value = [old + new for old, new in zip(before, added, strict=True)]
        aggregation._sum = float(np.cumsum(np.concatenate(([aggregation._sum], summands)))[-1])
        if aggregation._record_min_max:
            aggregation._min = min(aggregation._min, float(values.min()))
            aggregation._max = max(aggregation._max, float(values.max()))

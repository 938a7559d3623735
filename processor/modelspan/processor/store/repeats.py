"""Which predictions of a block are in the store already, because their producer sent them twice.

Batches are found by the hash of their payload, actuals and outcomes by that of their record. Predictions in row form, and those of models that also have such, are found by
their id among the stored ones of about the same time: that needs no index beside the order of `ml_predictions`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from modelspan.processor.store.embedded import quoted

if TYPE_CHECKING:
    from modelspan.processor.decode import Decoded, Model
    from modelspan.processor.store import Store

T = TypeVar("T")

MARGIN: Final = 10_000_000_000
"""Nanoseconds by which the times of two deliveries of one prediction may differ: a span has its start, a batch the time of
the call."""

BATCH: Final = "batch"
MARK: Final = "row"
"""Kinds of keys in `ml_ingested`."""
_MODELS_PER_QUERY: Final = 500
_IDS_PER_QUERY: Final = 50_000
"""Ids or keys. They are written into the query: parameters travel in the URL of a request, which a server limits."""
_MARK_AGAIN: Final = 24 * 3600 * 1000
"""Milliseconds. `ml_ingested` forgets after two days."""
_ASK_AGAIN: Final = 60_000
"""Milliseconds after which another service on the same database may have marked a model."""

_MAX_MODELS: Final = 100_000
"""Of which it is remembered whether they have predictions in row form; the store knows of all."""

_MODEL: Final = "service_name, environment, model_name, model_version"

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]


class _Sought(NamedTuple):
    """Predictions of one model, and the earliest and latest of their times."""

    model: Model
    ids: list[str]
    first: int
    last: int

    def parts(self) -> Iterator[_Sought]:
        return (self._replace(ids=list(some)) for some in _chunks(self.ids, _IDS_PER_QUERY))


class Repeats:
    """Asks one store. `docs/wire.md` says what counts as the same prediction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._marked: dict[Model, int] = {}
        self._unmarked: dict[Model, int] = {}

    def batches(self, keys: Collection[int], token: str) -> set[int]:
        """Return the delivery keys (128 bits) that a block with another token has stored already."""
        return {key for some in _chunks(sorted(keys), _IDS_PER_QUERY) for key in self._ingested(some, BATCH, token)}

    def predictions(self, decoded: Decoded, rows: pa.Table, now: int) -> Mask | None:
        """Bool [rows of ml_predictions]: False for those that came before. None when nothing has to be looked up.

        `now`: milliseconds since 1970.
        """
        codes = decoded.model_codes
        in_row_form = set(codes[len(codes) - decoded.row_form :].tolist())
        marked = self._are_marked([model for c, model in enumerate(decoded.models) if c not in in_row_form], now)
        mixed = [c for c, model in enumerate(decoded.models) if c in in_row_form or model in marked]
        if not mixed:
            return None
        keep = np.ones(len(codes), np.bool_)
        places, sought = _sought(decoded, rows, mixed)
        seen: set[tuple[tuple[str, ...], str]] = set()
        for some in _together(sought):
            seen.update(self._stored(some))
        for of_model, one in zip(places, sought, strict=True):
            for place, prediction in zip(of_model.tolist(), one.ids, strict=True):
                keep[place] = (one.model, prediction) not in seen
                seen.add((one.model, prediction))
        return keep

    def marks(self, decoded: Decoded, now: int) -> list[Model]:
        """Models of the block to be marked in `ml_ingested` as having predictions in row form."""
        codes = decoded.model_codes
        models = [decoded.models[c] for c in sorted(set(codes[len(codes) - decoded.row_form :].tolist()))]
        return [model for model in models if self._marked.get(model, 0) <= now]

    def marked(self, models: Sequence[Model], now: int) -> None:
        """Remember that the marks are stored."""
        for model in models:
            self._marked[model] = now + _MARK_AGAIN
        _bound(self._marked)

    def _are_marked(self, models: Sequence[Model], now: int) -> set[Model]:
        """Those of the models that have predictions in row form, here or in another service on the same database."""
        unknown = [model for model in models if model not in self._marked and self._unmarked.get(model, 0) <= now]
        of_key = {mark_key(model): model for model in unknown}
        for some in _chunks(list(of_key), _IDS_PER_QUERY):
            # Only known as marked by someone: `marks` writes it again when this process has row form itself.
            self._marked.update((of_key[key], 0) for key in self._ingested(some, MARK, ""))
        self._unmarked.update((model, now + _ASK_AGAIN) for model in unknown if model not in self._marked)
        found = {model for model in models if model in self._marked}
        _bound(self._marked)
        _bound(self._unmarked)
        return found

    def _ingested(self, keys: Sequence[int], kind: str, token: str) -> list[int]:
        query = (
            f"SELECT DISTINCT key FROM ml_ingested WHERE key IN ({','.join(map(repr, map(str, keys)))})"
            " AND kind = {kind:String} AND token != {token:String}"
        )
        parameters = {"kind": kind, "token": token}
        return [key for (key,) in self._store.query(query, parameters)]

    def _stored(self, sought: Sequence[_Sought]) -> Iterator[tuple[tuple[str, ...], str]]:
        """Model and id of those that the store has between the two times of their model, give or take the margin."""
        limits: dict[tuple[str, ...], tuple[int, int]] = {
            one.model: (one.first - MARGIN, one.last + MARGIN) for one in sought
        }
        first, last = min(low for low, _ in limits.values()), max(high for _, high in limits.values())
        models = ",".join(f"({','.join(map(quoted, model))})" for model in limits)
        hashes = ",".join([str(xxhash.xxh64_intdigest(of_id.encode())) for one in sought for of_id in one.ids])
        query = (
            f"SELECT {_MODEL}, prediction_id, toUnixTimestamp64Nano(time) FROM ml_predictions"
            f" WHERE ({_MODEL}) IN ({models})"
            f" AND time >= fromUnixTimestamp64Nano({max(first, 0)}, 'UTC')"
            f" AND time <= fromUnixTimestamp64Nano({min(last, 2**63 - 1)}, 'UTC')"
            f" AND xxHash64(prediction_id) IN ({hashes})"
        )
        for *model, prediction, time in self._store.query(query, {}):
            low, high = limits[tuple(model)]
            if low <= time <= high:
                yield tuple(model), prediction


def _sought(decoded: Decoded, rows: pa.Table, codes: Sequence[int]) -> tuple[list[Places], list[_Sought]]:
    """For each of the models: its rows in the block, and what to look for, by rising time."""
    order = np.argsort(decoded.model_codes, kind="stable")
    limits = np.searchsorted(decoded.model_codes[order], np.arange(len(decoded.models) + 1))
    times = rows.column("time").cast(pa.int64()).to_numpy()
    ids = rows.column("prediction_id")
    found = []
    for code in codes:
        places = order[limits[code] : limits[code + 1]]
        of_model = times[places]
        of_rows = ids.take(pa.array(places)).to_pylist()
        found.append((places, _Sought(decoded.models[code], of_rows, int(of_model.min()), int(of_model.max()))))
    found.sort(key=lambda one: one[1].first)
    return [places for places, _ in found], [sought for _, sought in found]


def _together(sought: Sequence[_Sought]) -> Iterator[list[_Sought]]:
    """What one query looks for: ids of models whose times lie close together, so that it reads few rows for nothing."""
    some: list[_Sought] = []
    ids, last = 0, 0
    for one in (part for whole in sought for part in whole.parts()):
        full = len(some) == _MODELS_PER_QUERY or ids + len(one.ids) > _IDS_PER_QUERY
        if some and (full or one.first > last + 2 * MARGIN):
            yield some
            some, ids, last = [], 0, 0
        some.append(one)
        ids, last = ids + len(one.ids), max(last, one.last)
    if some:
        yield some


def mark_key(model: Model) -> int:
    """The key in `ml_ingested` that says: this model has predictions in row form."""
    return xxhash.xxh3_128_intdigest("\0".join(model).encode())


def _bound(known: dict[Model, int]) -> None:
    """Forget the models that were noted first."""
    for model in list(itertools.islice(known, max(0, len(known) - _MAX_MODELS))):
        del known[model]


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))

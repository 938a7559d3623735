"""Which predictions of a block are in the store already, because their producer sent them twice.

Batches are found by the hash of their payload. Predictions in row form, and those of models that also have such, are found by
their id among the stored ones of about the same time: that needs no index beside the order of `ml_predictions`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

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
_KEYS_PER_QUERY: Final = 500
"""Parameters travel in the URL of a request, which a server limits."""
_IDS_PER_QUERY: Final = 50_000
_MARK_AGAIN: Final = 24 * 3600 * 1000
"""Milliseconds. `ml_ingested` forgets after two days."""
_ASK_AGAIN: Final = 60_000
"""Milliseconds after which another service on the same database may have marked a model."""

Mask = npt.NDArray[np.bool_]


class Repeats:
    """Asks one store. `docs/wire.md` says what counts as the same prediction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._marked: dict[Model, int] = {}
        self._unmarked: dict[Model, int] = {}

    def batches(self, keys: Collection[int], token: str) -> set[int]:
        """Those of the payload keys (128 bits) that a block with another token has stored."""
        return {key for some in _chunks(sorted(keys), _KEYS_PER_QUERY) for key in self._ingested(some, BATCH, token)}

    def predictions(self, decoded: Decoded, rows: pa.Table, now: int) -> Mask | None:
        """Bool [rows of ml_predictions]: False for those that came before. None when nothing has to be looked up.

        `now`: milliseconds since 1970.
        """
        codes = decoded.model_codes
        in_row_form = set(codes[len(codes) - decoded.row_form :].tolist())
        mixed = [c for c, model in enumerate(decoded.models) if c in in_row_form or self._is_marked(model, now)]
        if not mixed:
            return None
        keep = np.ones(len(codes), np.bool_)
        for code in mixed:
            places = np.flatnonzero(codes == code)
            times = rows.column("time").cast(pa.int64()).to_numpy()[places]
            ids = rows.column("prediction_id").take(pa.array(places)).to_pylist()
            seen = self._stored(decoded.models[code], ids, int(times.min()), int(times.max()))
            for place, prediction in zip(places, ids, strict=True):
                keep[place] = prediction not in seen
                seen.add(prediction)
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

    def _is_marked(self, model: Model, now: int) -> bool:
        if model in self._marked:
            return True
        if self._unmarked.get(model, 0) > now:
            return False
        if self._ingested([mark_key(model)], MARK, ""):
            # Only known as marked by someone: `marks` writes it again when this process has row form itself.
            self._marked[model] = 0
            return True
        self._unmarked[model] = now + _ASK_AGAIN
        return False

    def _ingested(self, keys: Sequence[int], kind: str, token: str) -> list[int]:
        query = (
            "SELECT DISTINCT key FROM ml_ingested"
            " WHERE key IN {keys:Array(UInt128)} AND kind = {kind:String} AND token != {token:String}"
        )
        parameters = {"keys": list(keys), "kind": kind, "token": token}
        return [key for (key,) in self._store.query(query, parameters)]

    def _stored(self, model: Model, ids: Sequence[str], first: int, last: int) -> set[str]:
        """Those of the ids that the store has between the two times, give or take the margin."""
        found: set[str] = set()
        for some in _chunks(ids, _IDS_PER_QUERY):
            hashes = ",".join([str(xxhash.xxh64_intdigest(prediction.encode())) for prediction in some])
            query = (
                "SELECT prediction_id FROM ml_predictions WHERE service_name = {service_name:String}"
                " AND environment = {environment:String} AND model_name = {model_name:String}"
                " AND model_version = {model_version:String}"
                f" AND time >= fromUnixTimestamp64Nano({max(first - MARGIN, 0)}, 'UTC')"
                f" AND time <= fromUnixTimestamp64Nano({min(last + MARGIN, 2**63 - 1)}, 'UTC')"
                f" AND xxHash64(prediction_id) IN ({hashes})"
            )
            found.update(prediction for (prediction,) in self._store.query(query, model._asdict()))
        return found.intersection(ids)


def mark_key(model: Model) -> int:
    """The key in `ml_ingested` that says: this model has predictions in row form."""
    return xxhash.xxh3_128_intdigest("\0".join(model).encode())


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))

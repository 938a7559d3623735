"""Which of the calls that wait can become one table, and what they hold, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from opentelemetry.context import Context

from modelspan.instrumentation.recorder.calls import PLAIN, Call, Item, Plain, Task, receive
from modelspan.instrumentation.recorder.features import join_key
from modelspan.instrumentation.recorder.scope import PredictionScope
from modelspan.instrumentation.recorder.snapshot import ARRAY, FRAME_ARRAY, Kept, Snapshot, joined


class Alike(NamedTuple):
    """Calls that share model, operation, error and layout. Without any `keeps`, `scopes` or `ids`, these are empty."""

    first: Call
    aligned: bool
    """Whether the inputs have as many rows as were captured."""
    x: Sequence[Snapshot]
    y: Sequence[Snapshot]
    rows: npt.NDArray[np.int64]
    started: npt.NDArray[np.int64]
    durations: npt.NDArray[np.int64]
    contexts: Sequence[Context]
    keeps: Sequence[Kept | None]
    scopes: Sequence[PredictionScope | None]
    ids: Sequence[Sequence[str] | None]
    calls: npt.NDArray[np.int64]
    """Calls that each stands for."""


def split(items: Iterable[Any]) -> Iterator[list[Item] | Task]:
    """Calls by what they must share to become one table, in the order of their first; tasks after the calls before them."""
    groups: dict[Any, list[Item]] = {}
    plain: dict[Any, list[Item]] = {}
    for item in items:
        if len(item) == PLAIN:
            # Compared as it is, which is quick; what it stands for is worked out once.
            names = item[6]
            # Views of one Index, as slices of a frame have, share `_id`, by which pandas itself tells that they are one.
            key = item[:6] if names is None else (*item[:6], id(getattr(names, "_id", None) or names))
            found = plain.get(key)
            if found is None:
                found = plain[key] = groups.setdefault(_key(item), [])
            found.append(item)
        elif type(item[0]) is tuple:
            groups.setdefault(_key(item), []).append(item)
        else:
            yield from groups.values()
            yield cast("Task", item[0])
            groups, plain = {}, {}
    yield from groups.values()


def _key(item: Item) -> Any:
    call = receive(item, 0)
    layout = call.x.layout if call.x.kind == ARRAY else join_key(call.x)
    returned = call.y.layout if call.y.kind == ARRAY else join_key(call.y)
    return call.identity, call.operation, call.error, layout, call.y.kind, returned, _aligned(call)


def _aligned(call: Call) -> bool:
    return call.x.rows == (call.rows if call.keep is None else len(call.keep.rows))


def gather(first: Call, items: Sequence[Item], clock: int) -> Alike:
    """The fields of calls that `split` put together. `first` is the first of them."""
    if first.x.kind in (ARRAY, FRAME_ARRAY) and first.y.kind == ARRAY and set(map(len, items)) == {PLAIN}:
        return _gather_plain(first, cast("Sequence[Plain]", items), clock)
    calls = [receive(item, clock) for item in items]
    _, _, _, xs, ys, rows, keeps, started, durations, contexts, scopes, ids, _, stood_for = zip(*calls, strict=True)
    times = _int64(started), _int64(durations)
    return Alike(first, _aligned(first), xs, ys, _int64(rows), *times, contexts, keeps, scopes, ids, _int64(stood_for))


def _gather_plain(first: Call, items: Sequence[Plain], clock: int) -> Alike:
    _, _, xd, xs, yd, ys, names, _, x_data, y_data, ticks, durations, contexts, calls, _ = zip(*items, strict=True)
    x, y = joined(xd[0], xs, x_data, names[0]), joined(yd[0], ys, y_data, None)
    rows = _int64([shape[0] for shape in ys])
    started = _int64(ticks) + clock
    times = started, _int64(durations)
    return Alike(first, _aligned(first), [x], [y], rows, *times, contexts, (), (), (), _int64(calls))


def _int64(values: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)

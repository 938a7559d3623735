"""Some windows of one model, from stored predictions to stored verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xxhash

from . import baseline, census, references, tables
from .baseline import Insert
from .census import WindowCensus
from .keys import ModelKey
from .kinds import KINDS
from .observe import observe
from .references import References
from .settings import Settings
from .verdicts import judge

MAX_CELLS = 250_000
"""Windows times slots that are held in memory at once."""


def evaluate(client: Any, insert: Insert, key: ModelKey, starts: Sequence[int], now: float, settings: Settings) -> int:
    """Give verdicts on windows of `key`; number of windows that got one.

    `starts` and window lengths are in nanoseconds, `now` is wall time in seconds. A window whose verdict has seen all its
    rows and the references in force is left alone. Raises what the store raises.
    """
    in_force, windows = _prepare(client, insert, key, starts, now, settings)
    known = tables.stored_windows(client, key, starts, settings.query)
    ids = {start: references.identity(in_force, start + settings.length_ns) for start in windows}
    stale = [
        start
        for start, window in windows.items()
        if start not in known or known[start][:2] != (window.rows, ids[start])
    ]
    earlier = tables.stored_series(client, key, [start for start in stale if start in known], settings.query)
    size = max(1, MAX_CELLS // sum((one.slots for one in in_force.values()), start=1))
    for some in (stale[first : first + size] for first in range(0, len(stale), size)):
        chunk = {start: windows[start] for start in some}
        rows = tables.VerdictRows()
        for start, observations in observe(client, key, chunk, in_force, settings).items():
            # A later verdict must win even if the clock was set back.
            computed_at = max(int(now * 1000), known[start].computed_at + 1 if start in known else 0)
            frame = tables.Frame(key, start, settings.length_ns, computed_at)
            judged = judge(key, start, observations, settings)
            rows.add(frame, windows[start].rows, ids[start], judged, earlier.get(start, ()))
        token = f"verdicts-{xxhash.xxh3_128_hexdigest(repr((*key, some, now)).encode())}"
        for table, content in rows.tables():
            if content.num_rows:
                insert(table, content, token)
    return len(stale)


def _prepare(
    client: Any, insert: Insert, key: ModelKey, starts: Sequence[int], now: float, settings: Settings
) -> tuple[References, dict[int, WindowCensus]]:
    """References in force, after building the baselines that can be built now, and the census."""
    in_force = references.load(client, key, settings.query)
    windows = census.take(client, key, starts, settings.length_ns, in_force, settings.query)
    wanted = [
        kind
        for kind in KINDS
        if settings.first_predictions
        and kind.name not in in_force
        and any(window.operation(kind, None) is not None for window in windows.values())
    ]
    until = max(starts) + settings.length_ns
    built = [baseline.build(client, insert, key, kind, until, now, settings) for kind in wanted]
    if not any(built):
        return in_force, windows
    in_force = references.load(client, key, settings.query)
    return in_force, census.take(client, key, starts, settings.length_ns, in_force, settings.query)

"""Some windows of one model, from stored predictions to stored verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import xxhash

from . import baseline, census, references, tables
from .baseline import Insert
from .census import WindowCensus
from .keys import ModelKey
from .kinds import KINDS
from .observe import observe
from .references import FIRST_PREDICTIONS, PROVISIONAL, Reference, References, Timeline
from .settings import Settings
from .verdicts import judge

MAX_CELLS = 250_000
"""Windows times slots that are held in memory at once."""


def evaluate(client: Any, insert: Insert, key: ModelKey, starts: Sequence[int], now: float, settings: Settings) -> int:
    """Give verdicts on windows of `key`; number of windows that got one.

    `starts` and window lengths are in nanoseconds, `now` is wall time in seconds. A window whose verdict has seen all its
    rows and the references in force is left alone. Raises what the store raises.
    """
    timeline = references.load(client, key, settings.query)
    parts = _parts(client, key, starts, timeline, settings)
    if _build_baselines(client, insert, key, timeline, parts, now, settings):
        parts = _parts(client, key, starts, references.load(client, key, settings.query), settings)
    return sum(_evaluate(client, insert, key, part, now, settings) for part in parts)


class Part(NamedTuple):
    """Windows of a model that are compared with the same references."""

    in_force: References
    windows: dict[int, WindowCensus]


def _evaluate(client: Any, insert: Insert, key: ModelKey, part: Part, now: float, settings: Settings) -> int:
    in_force, windows = part
    starts = sorted(windows)
    known = tables.stored_windows(client, key, starts, settings.query) if starts else {}
    timeline: Timeline = {kind: (one,) for kind, one in in_force.items()}
    ids = {start: references.identity(timeline, start + settings.length_ns) for start in windows}
    stale = [
        start
        for start, window in windows.items()
        if start not in known or known[start][:3] != (window.rows, ids[start], int(settings.length))
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


def _parts(client: Any, key: ModelKey, starts: Sequence[int], timeline: Timeline, settings: Settings) -> list[Part]:
    """The windows that hold rows, with their census, by the references in force."""
    found: dict[tuple[str, ...], tuple[References, list[int]]] = {}
    for start in starts:
        in_force = references.at(timeline, start + settings.length_ns)
        alike = tuple(f"{kind} {one.reference_id}" for kind, one in in_force.items())
        found.setdefault(alike, (in_force, []))[1].append(start)
    return [
        Part(in_force, census.take(client, key, some, settings.length_ns, in_force, settings.query))
        for in_force, some in found.values()
    ]


def _build_baselines(
    client: Any,
    insert: Insert,
    key: ModelKey,
    timeline: Timeline,
    parts: Sequence[Part],
    now: float,
    settings: Settings,
) -> bool:
    """Build the baselines that can be built now, the provisional one of a kind before the full one; whether there was any."""
    starts = [start for part in parts for start in part.windows]
    if not settings.first_predictions or not starts:
        return False
    until = max(starts) + settings.length_ns
    built = False
    for kind in KINDS:
        if not any(window.operation(kind, None) is not None for part in parts for window in part.windows.values()):
            continue
        for source in _wanted(timeline.get(kind.name, ()), settings):
            built |= baseline.build(client, insert, key, kind, source, until, now, settings) is not None
    return built


def _wanted(known: Sequence[Reference], settings: Settings) -> list[str]:
    """Baselines that are missing where no reference was given. Beside a full one no provisional one is of use."""
    if not all(one.is_provisional for one in known):
        return []
    return [FIRST_PREDICTIONS] if known or not settings.is_provisional_wanted else [PROVISIONAL, FIRST_PREDICTIONS]

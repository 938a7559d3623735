"""Some windows of one model, from stored predictions to stored verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xxhash

from . import baseline, census, references, tables
from .baseline import Insert
from .basis import Basis
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
    rows and its references is left alone; a verdict that is replaced is kept. Raises what the store raises.
    """
    known = tables.stored_windows(client, key, starts, settings.query)
    return sum(
        _evaluate(client, insert, key, chosen, in_force, windows, known, now, settings)
        for chosen, in_force, windows in _prepare(client, insert, key, starts, now, settings)
    )


def _evaluate(
    client: Any,
    insert: Insert,
    key: ModelKey,
    chosen: references.Chosen,
    in_force: References,
    windows: dict[int, WindowCensus],
    known: Mapping[int, tables.StoredWindow],
    now: float,
    settings: Settings,
) -> int:
    """Give verdicts on windows that are compared with the same references."""
    bases = {start: Basis.of(window.rows, settings.length, chosen) for start, window in windows.items()}
    stale = [start for start, basis in bases.items() if start not in known or known[start].basis.is_stale(basis)]
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
            rows.add(frame, bases[start], judged, earlier.get(start, ()))
            if start in known:
                rows.replaced(frame, bases[start], known[start])
        token = f"verdicts-{xxhash.xxh3_128_hexdigest(repr((*key, some, now)).encode())}"
        for table, content in rows.tables():
            if content.num_rows:
                insert(table, content, token)
    return len(stale)


Group = tuple[references.Chosen, References, dict[int, WindowCensus]]


def _prepare(
    client: Any, insert: Insert, key: ModelKey, starts: Sequence[int], now: float, settings: Settings
) -> list[Group]:
    """The windows by what they are compared with, after building the baselines that can be built now."""
    candidates = references.load(client, key, settings.query, settings.min_rows)
    groups = _groups(client, key, candidates, starts, settings)
    if not _build_baselines(client, insert, key, candidates, groups, max(starts), now, settings):
        return groups
    candidates = references.load(client, key, settings.query, settings.min_rows)
    return _groups(client, key, candidates, starts, settings)


def _build_baselines(
    client: Any,
    insert: Insert,
    key: ModelKey,
    candidates: references.Candidates,
    groups: Sequence[Group],
    last_start: int,
    now: float,
    settings: Settings,
) -> bool:
    """Build the baselines that can be built now, the provisional one of a kind before the full one; whether there was any."""
    if not settings.first_predictions:
        return False
    until = last_start + settings.length_ns
    built = False
    for kind in KINDS:
        if not any(window.operation(kind, None) is not None for _, _, windows in groups for window in windows.values()):
            continue
        for source in candidates.missing_baselines(kind.name, settings.is_provisional_wanted):
            built |= baseline.build(client, insert, key, kind, source, until, now, settings) is not None
    return built


def _groups(
    client: Any, key: ModelKey, candidates: references.Candidates, starts: Sequence[int], settings: Settings
) -> list[Group]:
    length = settings.length_ns
    stored = census.stored_since(client, key, starts, length, settings.query) if candidates.depend_on_time else {}
    alike: dict[tuple[Any, ...], tuple[references.Chosen, list[int]]] = {}
    for start in starts:
        chosen = candidates.chosen(stored.get(start, 0), start, start + length)
        alike.setdefault(tuple(chosen.items()), (chosen, []))[1].append(start)
    groups = []
    for chosen, some in alike.values():
        in_force = references.with_series(client, chosen, settings.query)
        groups.append((chosen, in_force, census.take(client, key, some, length, in_force, settings.query)))
    return groups

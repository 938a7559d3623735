"""When a window is due."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from modelspan.processor.config import DriftConfig, WindowsConfig
from modelspan.processor.stats.decide import TOLERANCE
from modelspan.processor.windows import ModelKey, Settings
from modelspan.processor.windows.keys import runs, window_starts
from modelspan.processor.windows.waiting import WaitingWindows

SECOND = 1_000_000_000
KEY = ModelKey("s", "", "m", "1")
OTHER = ModelKey("s", "", "m", "2")
SETTINGS = Settings(length=300, lateness=60, idle=20, settle=2, patience=30)


def waiting(settings: Settings = SETTINGS) -> WaitingWindows:
    return WaitingWindows(settings)


def test_a_window_closes_when_the_newest_row_is_later_than_its_end_by_the_lateness() -> None:
    windows = waiting()
    windows.mark(KEY, [0], newest=100 * SECOND, now=10_000.0)
    assert windows.due(10_005.0) == {}
    windows.mark(KEY, [300 * SECOND], newest=359 * SECOND, now=10_006.0)
    assert windows.due(10_009.0) == {}
    windows.mark(KEY, [300 * SECOND], newest=360 * SECOND, now=10_010.0)
    assert windows.due(10_013.0) == {KEY: [0]}


def test_a_row_of_one_model_closes_no_window_of_another() -> None:
    windows = waiting()
    windows.mark(KEY, [0], newest=100 * SECOND, now=10_000.0)
    windows.mark(OTHER, [3000 * SECOND], newest=3000 * SECOND, now=10_000.0)
    assert windows.due(10_005.0) == {}


def test_a_quiet_window_closes_when_its_time_is_over_by_the_clock() -> None:
    windows = waiting()
    windows.mark(KEY, [9900 * SECOND], newest=10_000 * SECOND, now=10_000.0)
    assert windows.due(10_259.0) == {}
    assert windows.due(10_260.0) == {KEY: [9900 * SECOND]}


def test_history_closes_when_nothing_arrives_any_more() -> None:
    windows = waiting()
    windows.mark(KEY, [0], newest=0, now=10_000.0)
    assert windows.due(10_019.0) == {}
    assert windows.due(10_020.0) == {KEY: [0]}


def test_a_clock_that_runs_ahead_closes_nothing_early() -> None:
    windows = waiting()
    far = 4_000_000_000 // 300 * 300 * SECOND
    windows.mark(KEY, [9900 * SECOND, far], newest=far, now=10_000.0)
    assert windows.due(10_021.0) == {KEY: [far]}


def test_late_rows_wait_for_the_burst_to_end_but_not_for_ever() -> None:
    windows = waiting()
    windows.mark(KEY, [0], newest=1000 * SECOND, now=10_000.0)
    for now in range(10_000, 10_029):
        windows.mark(KEY, [0], newest=1 * SECOND, now=float(now))
        assert windows.due(now + 1.0) == {}
    assert windows.due(10_030.0) == {KEY: [0]}


def test_a_window_that_is_taken_waits_again_only_with_new_rows() -> None:
    windows = waiting()
    windows.mark(KEY, [0], newest=0, now=10_000.0)
    windows.take(KEY, [0])
    assert (windows.due(20_000.0), len(windows)) == ({}, 0)
    windows.mark(KEY, [0], newest=0, now=20_000.0)
    assert windows.due(20_020.0) == {KEY: [0]}
    windows.take(KEY, [0])
    windows.give_back(KEY, [0], 20_020.0)
    assert windows.due(20_040.0) == {KEY: [0]}


def test_memory_is_bounded_and_says_when_marks_were_dropped() -> None:
    windows = waiting(Settings(max_waiting=5))
    windows.mark(KEY, range(0, 3000 * SECOND, 300 * SECOND), newest=0, now=0.0)
    assert (len(windows), windows.overflowed) == (5, True)


@pytest.mark.parametrize("first", [-(10**18), -1, 0, 1_700_000_123 * SECOND, 2**63 - 1 - 10_000 * SECOND])
def test_windows_are_aligned_to_the_epoch_also_before_it(first: int) -> None:
    times = np.array([first, first + 299 * SECOND, first + 5000 * SECOND], np.int64)
    length = 300 * SECOND
    assert window_starts(times, length).tolist() == sorted({time // length * length for time in times.tolist()})
    assert window_starts(times[:1], length).tolist() == [first // length * length]


def test_windows_that_lie_close_share_a_range() -> None:
    assert runs([0, 64, 200, 129], 1) == [(0, 64), (129, 129), (200, 200)]


def test_settings_come_from_the_configuration_of_the_service() -> None:
    settings = Settings.of(WindowsConfig(), DriftConfig(tolerance=0.03, alpha=0.01))
    assert (settings.length_ns, settings.alpha) == (300 * SECOND, 0.01)
    assert settings.tolerance == {method: pytest.approx(3 * least) for method, least in TOLERANCE.items()}


@pytest.mark.parametrize(
    ("name", "value"), [("length", 0.5), ("length", 1.5), ("alpha", 0.0), ("alpha", 1.0), ("lateness", -1.0)]
)
def test_settings_that_make_no_sense_are_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Settings(**{name: value})


def test_models_beyond_the_limit_are_counted_and_take_the_place_of_those_that_wait_for_nothing() -> None:
    windows = waiting(dataclasses.replace(SETTINGS, max_models=3))
    models = [KEY._replace(model_name=f"m{i}") for i in range(5)]
    for model in models:
        windows.mark(model, [0], newest=0, now=10_000.0)
    assert list(windows.due(20_000.0)) == models[:3]
    assert (windows.dropped, windows.overflowed, windows.has_room) == (2, True, False)
    windows.take(models[1], [0])
    windows.take(models[2], [0])
    windows.mark(models[4], [0], newest=0, now=10_000.0)
    assert list(windows.due(20_000.0)) == [models[0], models[4]]
    assert windows.dropped == 2


def test_a_model_that_waits_for_nothing_keeps_its_newest_time_while_there_is_room() -> None:
    windows = waiting(dataclasses.replace(SETTINGS, max_models=2))
    windows.mark(KEY, [900 * SECOND], newest=1000 * SECOND, now=10_000.0)
    windows.take(KEY, [900 * SECOND])
    windows.mark(OTHER, [0], newest=0, now=10_000.0)
    windows.mark(KEY, [0], newest=0, now=10_000.0)
    assert windows.due(10_003.0) == {KEY: [0]}

"""Strange names, strange times, many features, and a store that fails."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from windows.lab import KEY, LENGTH, SECOND, Lab, prediction_rows, window_times

from modelspan.processor.store import Store, StoreUnavailable
from modelspan.processor.windows import Evaluator, ModelKey, Settings

RNG = np.random.default_rng(5)
STRANGE = [
    "",
    " ",
    "'; DROP TABLE ml_windows; --",
    "{model_name:String}",
    "%(a)s %s",
    "a\\'b\\",
    "\t\r\n",
    "a\0b",
    "NULL",
    "feature",
    "ü☃\U0001f600",
    "x" * 3000,
]


def test_strange_names_of_features_are_only_names(lab: Lab) -> None:
    lab.reference({name: RNG.normal(size=2000) for name in STRANGE})
    values: dict[str, Any] = {name: RNG.normal(size=500) for name in STRANGE}
    lab.predict(window_times(500), {**values, "unknown " + STRANGE[2]: RNG.normal(size=500)})
    lab.settle()
    drift = lab.drift()
    assert {name for kind, name in drift if kind == "feature"} == {*STRANGE, "unknown " + STRANGE[2]}
    assert {drift["feature", name]["status"] for name in STRANGE} == {"ok"}
    assert {drift["missing", name]["status"] for name in STRANGE} == {"ok"}


def test_strange_names_of_models_are_only_names(lab: Lab) -> None:
    keys = [ModelKey(name, name, name, name) for name in STRANGE]
    for key in keys:
        name = key.model_name
        lab.reference({"x": RNG.normal(size=1000)}, key=key, service=name, environment=name, reference_id=name or "r")
        lab.predict(window_times(300), {"x": RNG.normal(size=300)}, key=key, operation=name)
    lab.restart()
    assert lab.evaluator.recover(lab.wall) == len(keys)
    assert lab.settle() == len(keys)
    for key in keys:
        (window,) = lab.windows(key)
        assert (window["rows"], window["reference_id"], window["status"]) == (300, key.model_name or "r", "ok")


def test_text_in_a_category_is_only_text(lab: Lab) -> None:
    lab.reference({"c": (STRANGE[:-1] * 300)})
    lab.predict(window_times(550), {"c": STRANGE[:-1] * 50})
    lab.settle()
    assert lab.drift()["feature", "c"]["status"] == "ok"
    assert lab.counts()["feature", "c"]["counts"] == [50] * 11 + [0]


def test_windows_in_1970_and_in_the_far_future_get_verdicts(lab: Lab) -> None:
    lab.reference({"x": RNG.normal(size=1000)})
    far = (2**63 - 1) // LENGTH * LENGTH
    bases = [-LENGTH, 0, 1_900_000_200 * SECOND, 7_000_000_200 * SECOND, far - LENGTH]
    for base in bases:
        lab.predict(window_times(300, 0, base), {"x": RNG.normal(size=300)})
    lab.predict([2**63 - 1] * 200, {"x": RNG.normal(size=200)})
    assert lab.settle() == 6
    stored = lab.ask(
        "SELECT toUnixTimestamp64Milli(window_start) AS start, status, rows FROM ml_windows FINAL ORDER BY 1"
    )
    assert [row["start"] * 1_000_000 for row in stored] == [*bases, far]
    assert [row["rows"] for row in stored] == [300] * 5 + [200]
    assert {row["status"] for row in stored} == {"ok"}
    lab.restart()
    assert lab.evaluator.recover(lab.wall) == 0


def test_hundreds_of_features_and_many_rows(lab: Lab) -> None:
    names = [f"f{number:03d}" for number in range(500)]
    rows = 10_000
    values = RNG.normal(size=(rows, 500))
    lab.reference({name: RNG.normal(size=500) for name in names})
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * 500)
    keys = pa.DictionaryArray.from_arrays(np.tile(np.arange(500, dtype=np.int32), rows), pa.array(names))
    maps = pa.MapArray.from_arrays(offsets, keys.cast(pa.string()), pa.array(values.ravel()))
    table = prediction_rows(window_times(rows), {}, KEY, "predict", lab.wall, {})
    place = table.schema.get_field_index("features_numeric")
    lab.store.insert("ml_predictions", table.set_column(place, "features_numeric", maps), "wide")
    lab.evaluator.touch(KEY, window_times(rows), lab.wall)
    assert lab.settle() == 1
    counts = lab.counts()
    assert len(counts) == 500
    assert all(sum(row["counts"]) == rows for row in counts.values())
    assert lab.windows()[0]["status"] == "ok"


def test_a_flood_of_unknown_names_is_cut(store: Store) -> None:
    lab = Lab(store, Settings(max_unknown_names=20, first_predictions=0))
    lab.reference({"x": RNG.normal(size=1000)})
    flood: dict[str, Any] = {f"random {n}": [1.0 if row == n else None for row in range(300)] for n in range(200)}
    lab.predict(window_times(300), {"x": RNG.normal(size=300), **flood})
    lab.settle()
    unknown = [name for (_, name), row in lab.drift().items() if row["status"] == "no_reference"]
    assert len(unknown) == 20
    assert lab.drift()["feature", "x"]["status"] == "ok"


class Unreachable:
    """A store whose answers fail while it is down."""

    def __init__(self, store: Store) -> None:
        self.store, self.down = store, True

    def client(self) -> Any:
        if self.down:
            raise StoreUnavailable("no connection")
        return self.store.client()

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        self.store.insert(table, rows, token)


def test_windows_wait_while_the_store_does_not_answer(lab: Lab) -> None:
    lab.reference({"x": RNG.normal(size=1000)})
    unreachable = Unreachable(lab.store)
    lab.evaluator = Evaluator(unreachable, lab.settings)
    lab.predict(window_times(300), {"x": RNG.normal(size=300)})
    lab.evaluator.reference_changed(KEY.model_name, "")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            lab.settle()
    assert lab.evaluator.waiting == 1
    unreachable.down = False
    assert lab.settle() == 1
    assert (lab.evaluator.evaluated, lab.evaluator.skipped) == (1, 0)


class Poisoned(Unreachable):
    """A store that refuses the verdicts of one window."""

    def client(self) -> Any:
        return self.store.client()

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        starts = [start * 1_000_000 for start in rows["window_start"].cast("int64").to_pylist()]
        if window_times(1, 2)[0] in starts:
            raise ValueError("poisoned")
        self.store.insert(table, rows, token)


def test_a_window_that_cannot_be_judged_is_skipped_and_the_others_are_not(lab: Lab) -> None:
    lab.reference({"x": RNG.normal(size=1000)})
    lab.evaluator = Evaluator(Poisoned(lab.store), lab.settings)
    for window in range(5):
        lab.predict(window_times(300, window), {"x": RNG.normal(size=300)})
    lab.wall += 100
    assert lab.evaluator.tick(lab.wall) == 5
    assert (lab.evaluator.evaluated, lab.evaluator.skipped, lab.evaluator.waiting) == (4, 0, 1)
    lab.settle()
    assert (lab.evaluator.evaluated, lab.evaluator.skipped, lab.evaluator.waiting) == (4, 1, 0)
    assert len(lab.windows()) == 4
    lab.evaluator._store = lab.store
    lab.wall += 3600
    assert lab.settle() == 1


class Counting(Unreachable):
    """A store that notes what is inserted, and is down after some inserts."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.down, self.inserts, self.down_after = False, list[str](), 10**9

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        if len(self.inserts) >= self.down_after:
            self.down = True
            raise StoreUnavailable("gone")
        self.inserts.append(table)
        self.store.insert(table, rows, token)


def many_models(lab: Lab, models: int) -> Counting:
    counting = Counting(lab.store)
    lab.evaluator = Evaluator(counting, lab.settings)
    for model in range(models):
        key = KEY._replace(model_name=f"m{model}")
        lab.reference({"x": RNG.normal(size=1000)}, key=key)
        lab.predict(window_times(300), {"x": RNG.normal(size=300)}, key=key)
    return counting


def test_windows_of_many_models_that_close_at_once_are_stored_together(lab: Lab) -> None:
    counting = many_models(lab, 12)
    assert lab.settle() == 12
    assert sorted(counting.inserts) == ["ml_drift", "ml_feature_windows", "ml_windows"]
    assert lab.store.query("SELECT uniqExact(model_name), count() FROM ml_windows", {}) == [(12, 12)]


@pytest.mark.parametrize("inserts", [0, 1, 2])
def test_a_store_that_fails_while_many_models_are_stored_loses_no_window(lab: Lab, inserts: int) -> None:
    counting = many_models(lab, 4)
    counting.down_after = inserts
    with pytest.raises(StoreUnavailable):
        lab.settle()
    assert (lab.evaluator.waiting, lab.evaluator.evaluated) == (4, 0)
    counting.down, counting.down_after = False, 10**9
    assert lab.settle() == 4
    assert lab.store.query("SELECT uniqExact(model_name), count() FROM ml_windows FINAL", {}) == [(4, 4)]


def test_one_model_whose_verdicts_are_refused_does_not_hold_up_the_others(lab: Lab) -> None:
    class Picky(Counting):
        def insert(self, table: str, rows: pa.Table, token: str) -> None:
            if "m2" in rows["model_name"].to_pylist():
                raise ValueError("not this one")
            super().insert(table, rows, token)

    many_models(lab, 4)
    lab.evaluator._store = Picky(lab.store)
    lab.settle()
    assert (lab.evaluator.evaluated, lab.evaluator.skipped, lab.evaluator.waiting) == (3, 1, 0)


def test_a_reference_with_wrong_numbers_of_counts_hurts_only_itself(lab: Lab) -> None:
    lab.reference({"x": RNG.normal(size=1000), "bad": RNG.normal(size=1000)})
    lab.store.client().command(
        "INSERT INTO ml_references SELECT * REPLACE ([1.] AS counts, 0 AS rows, now64(3) + 10 AS created_at)"
        " FROM ml_references WHERE series_name = 'bad'"
    )
    lab.predict(window_times(300), {"x": RNG.normal(size=300), "bad": RNG.normal(size=300)})
    assert lab.settle() == 1
    assert lab.drift()["feature", "x"]["status"] == "ok"
    assert lab.drift()["feature", "bad"]["status"] != "drifted"


def test_the_thread_recovers_works_and_stops(store: Store) -> None:
    lab = Lab(store, Settings(first_predictions=0, settle=0.0, idle=0.0), wall=time.time())
    lab.reference({"x": RNG.normal(size=1000)})
    lab.predict(window_times(300, 0), {"x": RNG.normal(size=300)}, touch=False)
    stop = threading.Event()
    thread = threading.Thread(target=lab.evaluator.run, args=(stop,))
    thread.start()
    try:
        lab.predict(window_times(300, 1), {"x": RNG.normal(size=300)})
        deadline = time.monotonic() + 30
        while lab.evaluator.evaluated < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert [row["rows"] for row in lab.windows()] == [300, 300]


def test_the_thread_stops_between_two_models(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(store, Settings(first_predictions=0, settle=0.0, idle=0.0), wall=time.time())
    for name in "abc":
        lab.predict(window_times(300), {"x": RNG.normal(size=300)}, key=ModelKey("", "", name, ""))
    stop = threading.Event()
    judged: list[str] = []

    def judge(client: object, insert: object, key: ModelKey, *rest: object) -> int:
        judged.append(key.model_name)
        stop.set()
        return 1

    monkeypatch.setattr("modelspan.processor.windows.evaluator.evaluate", judge)
    lab.evaluator.run(stop)
    assert len(judged) == 1

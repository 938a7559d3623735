"""Append batches from number `first` on to a journal and store them, until killed. Prints the number of each acknowledged one.

With `first` = -1: store what is left, then print how many predictions there are, and how many ids.
"""

# ruff: noqa: T201

from __future__ import annotations

import random
import sys
from pathlib import Path

import pyarrow as pa
import structlog

from modelspan.processor import inserts
from modelspan.processor.journal import Journal, Signal
from modelspan.processor.pipeline import Pipeline
from modelspan.processor.store import Store, StoreStrained
from tests.processor.otlp import TIME, arrow, batch, required


class Strained(Store):
    """A store without memory for every third insert of more than seven predictions."""

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        if table == "ml_predictions" and rows.num_rows > 7 and random.random() < 1 / 3:
            raise StoreStrained("too much at once")
        super().insert(table, rows, token)


def main(folder: Path, first: int) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output is the numbers
    inserts._PAUSES, inserts._PAUSES_OF_ROW = [], []
    store = Strained.open(f"chdb://{folder}/store")
    journal = Journal.open(folder / "journal")
    pipeline = Pipeline(journal, store, quarantine=folder / "quarantine")
    pipeline.start()
    if first < 0:
        assert pipeline.stop(timeout=60)
        print(*store.query("SELECT count(), uniqExact(prediction_id) FROM ml_predictions", {})[0])
        print(*[i for (i,) in store.query("SELECT DISTINCT toUInt32(variant) FROM ml_predictions", {})])
        return
    for number in range(first, first + 100_000):
        rows = 20
        ids = {"prediction_id": [f"{number}-{i}" for i in range(rows)], "variant": [str(number)] * rows}
        payload = arrow({**required(rows, TIME + number * 10**9), **ids, "feature.x": [float(number)] * rows})
        journal.append(Signal.LOGS, batch(payload).payload).result()
        print(number, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

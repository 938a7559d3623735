"""What a row costs between the journal and the store, step by step: `python -m bench.decode`.

Times are CPU of the whole process, with what the embedded engine does in the background; the wall time is beside it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import psutil
import pyarrow as pa

from bench.load import Template, batch_template, span_template
from modelspan.processor.decode import decode
from modelspan.processor.decode.maps import map_array, numeric_entries
from modelspan.processor.journal import Record, Signal
from modelspan.processor.store import Store

BLOCKS = 80
BLOCK_ROWS = 16_384


class Cost(NamedTuple):
    """Microseconds for each row."""

    cpu: float
    wall: float


def table() -> str:
    """Markdown table of all steps."""
    lines = ["| step | µs/row CPU | µs/row wall |", "|---|---|---|"]
    lines.append(_line("Map of 20 float64 columns, 40 x 1024 rows", map_cost()))
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"chdb://{folder}/store")
        for title, signal, template in _loads():
            decoding, inserting = block_costs(store, signal, template)
            lines.append(_line(f"decode, {title}", decoding))
            lines.append(_line(f"insert and merge, {title}", inserting))
        memory = psutil.Process().memory_info().rss >> 20
        store.close()
    return "\n".join([*lines, "", f"Resident memory at the end: {memory} MB."])


def map_cost() -> Cost:
    """The Map columns of a block by themselves."""
    columns = [pa.chunked_array([np.random.default_rng(0).normal(size=1024) for _ in range(40)]) for _ in range(20)]
    names = pa.array([f"f{i:02d}" for i in range(20)])
    keys = np.arange(20, dtype=np.int32)
    return _best(lambda: map_array([numeric_entries(columns, keys, 40_960)], names, pa.float64()), 40_960, repeat=10)


def block_costs(store: Store, signal: Signal, template: Template) -> tuple[Cost, Cost]:
    """Decode and insert of blocks in which nothing is repeated: the best decode, the mean of all inserts."""
    decoding = Cost(float("inf"), float("inf"))
    cpu = wall = 0.0
    blocks = max(2, BLOCKS * min(template.rows, 512) // 512) if signal == Signal.LOGS else 6
    for token, records in _blocks(signal, template, blocks):
        rows = template.rows * len(records)
        cpu_before, wall_before = time.process_time(), time.perf_counter()
        decoded = decode(records, token=token, now=time.time_ns() // 10**6)
        cost = _since(cpu_before, wall_before, rows)
        decoding = min(decoding, cost)
        started = time.process_time(), time.perf_counter()
        for name, columns in decoded.tables.items():
            store.insert(name, columns, token)
        cpu += time.process_time() - started[0]
        wall += time.perf_counter() - started[1]
    started = time.process_time(), time.perf_counter()
    time.sleep(2)
    cpu += time.process_time() - started[0]
    return decoding, Cost(cpu / (blocks * rows) * 1e6, wall / (blocks * rows) * 1e6)


def _loads() -> Iterator[tuple[str, Signal, Template]]:
    for rows in (512, 4096):
        yield (
            f"batches of {rows} rows x 20 features",
            Signal.LOGS,
            batch_template(model="bench", rows=rows, features=20),
        )
    yield "spans with 20 features in a map", Signal.TRACES, span_template(model="spans", rows=1000, features=20)


def _blocks(signal: Signal, template: Template, count: int) -> Iterator[tuple[str, list[Record]]]:
    size = BLOCK_ROWS // template.rows if signal == Signal.LOGS else 10
    for block in range(count):
        numbers = range(block * size + 1, (block + 1) * size + 1)
        yield f"{id(template)}/{block}", [Record(n, signal, template.request(n)) for n in numbers]


def _best(action: Callable[[], object], rows: int, repeat: int) -> Cost:
    best = Cost(float("inf"), float("inf"))
    for _ in range(repeat):
        cpu, wall = time.process_time(), time.perf_counter()
        action()
        best = min(best, _since(cpu, wall, rows))
    return best


def _since(cpu: float, wall: float, rows: int) -> Cost:
    return Cost((time.process_time() - cpu) / rows * 1e6, (time.perf_counter() - wall) / rows * 1e6)


def _line(step: str, cost: Cost) -> str:
    return f"| {step} | {cost.cpu:.2f} | {cost.wall:.2f} |"


if __name__ == "__main__":
    print(table())

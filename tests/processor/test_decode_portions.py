"""A block that needs much memory is decoded in portions, which hold together what the block holds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from modelspan.processor.decode import decode
from modelspan.processor.decode.portions import portions
from modelspan.processor.journal import Block, Record, Signal
from modelspan.processor.portioned import Portioned
from modelspan.semconv import attributes, columns, events
from tests.processor import otlp
from tests.processor.otlp import field, nested

BUDGET = 1 << 20


def rows(block: Block) -> dict[str, Counter[str]]:
    """The rows of each table, without what depends on the token."""
    tables = decode(block.records, token=block.token, now=1).tables
    left_out = {"token", "prediction_id"}
    return {
        name: Counter(repr([(k, v) for k, v in row.items() if k not in left_out]) for row in table.to_pylist())
        for name, table in tables.items()
    }


def together(several: list[Block]) -> dict[str, Counter[str]]:
    total: dict[str, Counter[str]] = {}
    for portion in several:
        for table, found in rows(portion).items():
            total.setdefault(table, Counter()).update(found)
    return total


def batch(model: str, count: int) -> tuple[str, dict[str, Any]]:
    payload = otlp.arrow({f"{columns.FEATURE_PREFIX}{i}": pa.array([float(i)] * count) for i in range(20)})
    return events.ML_PREDICTION_BATCH, {
        **otlp.MODEL,
        attributes.ML_MODEL_NAME: model,
        attributes.ML_PREDICTION_BATCH_DATA: payload,
    }


def gauge(points: int, sequence: int) -> Record:
    metric = field(1, b"m") + field(5, field(1, b"\x19" + (5).to_bytes(8, "little")) * points)
    return Record(sequence, Signal.METRICS, nested(1, 2, content=field(2, metric) * 3))


def groups_between(record: Record) -> Record:
    """The same with a field of a kind that no longer exists, at every level."""
    group = b"\xf3\x3e\xf4\x3e"
    inner = record.payload
    return Record(record.sequence, record.signal, group + inner + group)


BLOCKS: dict[str, list[Record]] = {
    "spans": [otlp.spans([{"attributes": {"i": i, "t": "x" * (i % 7)}} for i in range(2000)])],
    "spans and unknown groups": [groups_between(otlp.spans([{"attributes": {"i": i}} for i in range(2000)]))],
    "log records": [otlp.logs([("e", {"i": i}) for i in range(2000)], sequence=1), otlp.log("last", {}, sequence=2)],
    "batches": [otlp.logs([batch(f"m{i}", 1000 + i) for i in range(5)], sequence=7)],
    "points": [gauge(500, 1), gauge(700, 2)],
    "predictions without ids": [otlp.logs([(events.ML_PREDICTION_DETAILS, dict(otlp.MODEL)) for _ in range(2000)])],
}


@pytest.mark.parametrize("case", BLOCKS)
def test_portions_hold_what_the_block_holds_and_are_always_the_same(case: str):
    block = Block("t:1-9", tuple(BLOCKS[case]))
    several = list(portions(block, BUDGET))
    assert len(several) > 1
    assert together(several) == rows(block)
    assert several == list(portions(block, BUDGET))
    assert len({portion.token for portion in several}) == len(several)


def test_predictions_without_ids_get_different_ones_in_every_portion():
    several = list(portions(Block("t:1-1", tuple(BLOCKS["predictions without ids"])), BUDGET))
    ids = [
        name
        for portion in several
        for name in decode(portion.records, token=portion.token, now=1)
        .tables["ml_predictions"]["prediction_id"]
        .to_pylist()
    ]
    assert len(set(ids)) == len(ids) == 2000


def test_a_block_that_fits_is_handed_out_as_it_is():
    block = Block("t:1-2", (otlp.spans([{}] * 10), otlp.log("e", {}, sequence=2)))
    assert list(portions(block)) == [block]


def test_requests_are_kept_in_their_order_and_whole_where_they_fit():
    records = tuple(otlp.logs([("e", {"i": i})] * 600, sequence=i + 1) for i in range(6))
    several = list(portions(Block("t:1-6", records), BUDGET))
    assert len(several) > 1
    assert [record for portion in several for record in portion.records] == list(records)


def test_many_cells_in_few_bytes_are_many_portions():
    payloads = [
        otlp.arrow({f"f.{i}": pa.array([1.0] * 20_000) for i in range(3 + n)}, compression="zstd") for n in range(6)
    ]
    records = tuple(otlp.batch(payload, sequence=n + 1) for n, payload in enumerate(payloads))
    assert sum(len(record.payload) for record in records) < 1 << 20
    several = list(portions(Block("t:1-6", records), 16 << 20))
    assert [len(portion.records) for portion in several] == [1] * 6


def test_names_that_every_record_repeats_count_for_each():
    resource = field(1, field(1, field(1, b"k") + field(2, field(1, b"v" * 50_000))))
    record = Record(1, Signal.LOGS, field(1, resource + field(2, field(2, b"") * 1000)))
    assert len(list(portions(Block("t:1-1", (record,)), BUDGET))) >= 10


@pytest.mark.parametrize("payload", [b"\xff" * 100_000, b"\x0b" * 100_000, b"\x0a\x00" * 100_000, b""])
def test_what_is_no_request_or_holds_nothing_is_handed_out(payload: bytes):
    block = Block("t:1-1", (Record(1, Signal.TRACES, payload),))
    assert [portion.records for portion in portions(block, BUDGET)] == [block.records]


class Queue:
    def __init__(self, *blocks: Block) -> None:
        self.blocks, self.completed = list(blocks), list[Block]()

    def next_block(self, **limits: float) -> Block | None:
        return self.blocks.pop(0) if self.blocks else None

    def complete(self, block: Block) -> None:
        self.completed.append(block)


def test_a_block_is_completed_once_its_last_portion_is():
    payloads = [otlp.arrow({f"f.{i}": pa.nulls(400_000) for i in range(6 + n)}, compression="zstd") for n in range(3)]
    large = Block("t:1-3", tuple(otlp.batch(payload, sequence=n + 1) for n, payload in enumerate(payloads)))
    small = Block("t:4-4", (otlp.log("e", {}, sequence=4),))
    queue = Queue(large, small)
    portioned = Portioned(queue)

    def take() -> Block | None:
        return portioned.next_block(max_bytes=1, max_records=1, wait=0, linger=0)

    parts = [take(), take(), take()]
    assert [part.token for part in parts if part] == ["t:1-3/0", "t:1-3/1", "t:1-3/2"]
    after = take()
    for part in parts[:2]:
        portioned.complete(part)
    assert queue.completed == []
    portioned.complete(parts[2])
    portioned.complete(after)
    assert (queue.completed, take()) == ([large, small], None)

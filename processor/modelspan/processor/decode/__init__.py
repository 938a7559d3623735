"""A block of raw requests to Arrow tables, one for each table of the store. Bytes in, columns out.

Whatever a request holds, the rest of its block is decoded: what cannot be taken as what it claims to be is kept as ordinary
telemetry and counted by reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from modelspan.processor.decode import rejection
from modelspan.processor.decode.batches import Batches
from modelspan.processor.decode.deliveries import keys_of
from modelspan.processor.decode.logs import Logs
from modelspan.processor.decode.maps import Codes
from modelspan.processor.decode.metrics import decode_metrics
from modelspan.processor.decode.predictions import Predictions, Touched
from modelspan.processor.decode.row_form import RowForm
from modelspan.processor.decode.tables import INGESTED, ORDER, PREDICTIONS, TRACES, Model, Rows, arrow_table
from modelspan.processor.decode.traces import Traces
from modelspan.processor.decode.truth import Truth
from modelspan.processor.journal import Record, Signal

__all__ = ["Decoded", "Model", "Touched", "decode"]

_BATCH, _ROW = "batch", "row"


@dataclass(frozen=True)
class Decoded:
    """What a block holds."""

    tables: dict[str, pa.Table]
    """Tables with rows, in the order in which they are inserted."""
    rejected: Counter[str]
    """What was not taken as what it claims to be, by reason."""
    touched: Touched
    """Models with predictions in this block, and the seconds of their event times."""
    references: set[Model]
    """Models for which a reference came."""
    unreadable: list[Record]
    """Requests that are no OTLP."""
    models: list[Model]
    """Models of the predictions, by their code."""
    model_codes: Codes
    """int32 [rows of ml_predictions]: the model of each row."""
    row_form: int
    """How many of the last rows of ml_predictions came in row form."""
    batch_keys: Set[int]
    """Keys of the batches in this block."""


_REQUESTS: Final[dict[Signal, Callable[[bytes], Any]]] = {
    Signal.METRICS: ExportMetricsServiceRequest.FromString,
    Signal.LOGS: ExportLogsServiceRequest.FromString,
}


def decode(
    records: Sequence[Record],
    *,
    token: str,
    now: int,
    stored: Callable[[Collection[int]], Collection[int]] = lambda keys: (),
) -> Decoded:
    """Decode a block.

    `token` is that of the block: it names predictions that have no id, so it must be the same in a replay. `now`:
    milliseconds since 1970. `stored`: given keys of batches (128-bit hashes of their payloads), those that are in the store.
    """
    rejected: Counter[str] = Counter()
    rows, predictions = Rows(), Predictions()
    batches, truth = Batches(predictions, rejected), Truth(rejected, now)
    row_form = RowForm(predictions, rejected)
    traces = Traces(predictions, row_form, rejected)
    requests, unreadable = _parsed(records, traces)
    rejected[rejection.CORRUPT_REQUEST] += len(unreadable)
    logs = Logs(rows, batches, truth, row_form, rejected, now)
    repeated = set(stored([key for _, request in requests for key in _keys(request)]))
    for record, request in requests:
        if record.signal == Signal.METRICS:
            decode_metrics(request, rows)
        else:
            logs.decode(request, f"{token}/{record.sequence}", repeated)
    batches.finish()
    spans = traces.finish()
    row_form.finish()
    tables = truth.joined(rows.arrow())
    if spans is not None:
        tables[TRACES] = spans
    if predictions.touched:
        tables[PREDICTIONS] = predictions.arrow(now)
    if logs.batch_keys:
        keys = [(key.to_bytes(16, "little"), _BATCH, token, now) for key in logs.batch_keys]
        tables[INGESTED] = arrow_table(INGESTED, keys)
    return Decoded(
        {table: tables[table] for table in ORDER if table in tables},
        +rejected,
        predictions.touched,
        logs.references,
        unreadable,
        predictions.models,
        predictions.model_codes(),
        len(row_form),
        logs.batch_keys.keys(),
    )


def _parsed(records: Sequence[Record], traces: Traces) -> tuple[list[tuple[Record, Any]], list[Record]]:
    """Requests, but for those with spans, which are read in another way, and what is no request."""
    requests, unreadable = [], []
    for record in records:
        try:
            if record.signal == Signal.TRACES:
                traces.add(record.payload)
            else:
                requests.append((record, _REQUESTS[record.signal](record.payload)))
        except (DecodeError, ValueError):
            unreadable.append(record)
    return requests, unreadable


def _keys(request: Any) -> Iterator[int]:
    return keys_of(request) if isinstance(request, ExportLogsServiceRequest) else iter(())

"""Keys by which a repeated delivery of an event is found.

Predictions in batches are found by their payload. Actuals and outcomes, which name no row of their own, are found by the whole record:
whoever repeats one sends the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import xxhash
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from modelspan.processor.decode.recognition import event_of, may_be_ours
from modelspan.processor.decode.source import Source, resource_texts, source
from modelspan.processor.decode.values import Raw, raws
from modelspan.semconv import attributes as names
from modelspan.semconv import events


def keys_of(request: ExportLogsServiceRequest) -> Iterator[int]:
    """Keys of all events of a request that have one."""
    for resource_logs in request.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            ours = [record for record in scope_logs.log_records if may_be_ours(record)]
            if not ours:
                continue
            origin = source(resource_logs, scope_logs, resource_texts(resource_logs))
            for record in ours:
                values = raws(record.attributes)
                key = delivery_key(record, event_of(record.event_name, values), values, origin)
                if key is not None:
                    yield key


def payloads_of(request: ExportLogsServiceRequest) -> Iterator[tuple[bytes, int]]:
    """Rows as columns, of whatever event, and the bytes of the rest of their record: what is decoded of a request is bounded by them."""
    for resource_logs in request.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                for pair in record.attributes:
                    if pair.key == names.ML_PREDICTION_BATCH_DATA:
                        payload = pair.value.bytes_value
                        yield payload, record.ByteSize() - len(payload)


def delivery_key(record: LogRecord, name: str, values: dict[str, Raw], origin: Source) -> int | None:
    """128 bits for one event; None of a record that is stored as often as it comes."""
    if name == events.ML_PREDICTION_BATCH:
        payload = values.get(names.ML_PREDICTION_BATCH_DATA)
        return batch_key(payload) if isinstance(payload, bytes) else None
    if name not in _KEYED:
        return None
    whose = "\0".join((origin.service_name, origin.environment, name, ""))
    return xxhash.xxh3_128_intdigest(whose.encode() + record.SerializeToString())


def batch_key(payload: bytes) -> int:
    """The key of a batch of predictions."""
    return xxhash.xxh3_128_intdigest(payload)


_KEYED = frozenset({events.ML_PREDICTION_BATCH, events.ML_PREDICTION_ACTUAL, events.ML_PREDICTION_OUTCOME})

"""Arrow IPC streams from strangers: checked before anything is allocated, and validated before anything is read."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import pyarrow as pa

from modelspan.processor.decode import rejection
from modelspan.processor.decode.rejection import Rejected

MAX_CELLS: Final = 8 * 1024 * 1024
"""Rows times columns of one payload: what 64 MiB of numbers hold. Compressed, null and bit columns claim more in fewer bytes."""
MAX_DECOMPRESSED: Final = 64 * 1024 * 1024
"""Bytes of one payload after decompression of its buffers."""

# Message.fbs and Schema.fbs of the Arrow format: types of a message, and places of the fields read here.
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3
_DICTIONARY_DATA = 1
_LENGTH, _BUFFERS, _COMPRESSION = 0, 2, 3

_frame = struct.Struct("<Ii").unpack_from
_buffer = struct.Struct("<qq").unpack_from


class Stream(NamedTuple):
    """A payload that was read. `layout` are the bytes of its schema: equal bytes, equal columns."""

    layout: bytes
    schema: pa.Schema
    batches: list[pa.RecordBatch]


def read(data: bytes) -> Stream:
    """The stream's record batches, not yet validated (see `validated`). Raises `Rejected`."""
    try:
        layout = _check_messages(data)
        reader = pa.ipc.open_stream(pa.py_buffer(data))
        batches = list(reader)
    except (struct.error, IndexError, OverflowError) as error:
        raise Rejected(rejection.CORRUPT_PAYLOAD, "truncated") from error
    except (pa.ArrowException, OSError, ValueError, NotImplementedError) as error:
        raise Rejected(rejection.CORRUPT_PAYLOAD, str(error)) from error
    rows = sum(batch.num_rows for batch in batches)
    if rows * max(1, len(reader.schema)) > MAX_CELLS:
        raise Rejected(rejection.TOO_LARGE, f"{rows} rows of {len(reader.schema)} columns")
    return Stream(layout, reader.schema, batches)


def validated(batch: pa.RecordBatch, columns: list[int]) -> pa.RecordBatch:
    """The chosen columns, after a check of every offset, index and string. Raises `Rejected`."""
    chosen = batch if len(columns) == batch.num_columns else batch.select(columns)
    try:
        chosen.validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        raise Rejected(rejection.CORRUPT_PAYLOAD, str(error)) from error
    return chosen


def _check_messages(data: bytes) -> bytes:
    """Walk the messages and add up what they claim. The metadata of the first one, the schema."""
    layout = b""
    decompressed = 0
    position = 0
    while position + 8 <= len(data):
        marker, size = _frame(data, position)
        if marker != 0xFFFFFFFF or size < 0:
            raise Rejected(rejection.CORRUPT_PAYLOAD, "not an Arrow stream")
        if size == 0:
            break
        message = _root(data, position + 8)
        body = position + 8 + size
        layout = layout or data[position + 8 : body]
        batch = _batch_of(data, message)
        if batch is not None:
            decompressed += _claimed_by(data, batch, body)
            if decompressed > MAX_DECOMPRESSED:
                raise Rejected(rejection.TOO_LARGE, f"{decompressed} bytes decompressed")
        at = _field(data, message, _BODY_LENGTH)
        length = _i64(data, at) if at else 0
        if length < 0 or body + length > len(data):
            raise Rejected(rejection.CORRUPT_PAYLOAD, "truncated")
        position = body + length
    if not layout:
        raise Rejected(rejection.CORRUPT_PAYLOAD, "no schema")
    return layout


def _batch_of(data: bytes, message: int) -> int | None:
    """Position of the message's RecordBatch table, also that of a dictionary."""
    at_type, at_header = _field(data, message, _HEADER_TYPE), _field(data, message, _HEADER)
    if not at_type or not at_header or data[at_type] not in (_DICTIONARY_BATCH, _RECORD_BATCH):
        return None
    header = at_header + _u32(data, at_header)
    if data[at_type] == _RECORD_BATCH:
        return header
    at_data = _field(data, header, _DICTIONARY_DATA)
    return at_data + _u32(data, at_data) if at_data else None


def _claimed_by(data: bytes, batch: int, body: int) -> int:
    """Bytes that the batch's compressed buffers say they hold. Raises `Rejected` for a row count that cannot be."""
    at_length = _field(data, batch, _LENGTH)
    rows = _i64(data, at_length) if at_length else 0
    if not 0 <= rows <= MAX_CELLS:
        raise Rejected(rejection.TOO_LARGE, f"{rows} rows")
    if not _field(data, batch, _COMPRESSION):
        return 0
    return sum(_claim(data, body + offset, length) for offset, length in _buffers(data, batch))


def _claim(data: bytes, start: int, length: int) -> int:
    if length < 8:
        return max(length, 0)
    claimed = _i64(data, start)
    if claimed < -1:
        raise Rejected(rejection.CORRUPT_PAYLOAD, "negative length of a buffer")
    return length if claimed == -1 else claimed


def _buffers(data: bytes, batch: int) -> Iterator[tuple[int, int]]:
    at = _field(data, batch, _BUFFERS)
    if not at:
        return
    vector = at + _u32(data, at)
    for i in range(min(_u32(data, vector), len(data) // 16)):
        yield _buffer(data, vector + 4 + 16 * i)


def _root(data: bytes, start: int) -> int:
    return start + _u32(data, start)


def _field(data: bytes, table: int, index: int) -> int:
    """Position of a field of a flatbuffers table; 0 where it is absent."""
    vtable = table - _i32(data, table)
    entry = 4 + 2 * index
    if vtable < 0 or entry >= _u16(data, vtable):
        return 0
    offset = _u16(data, vtable + entry)
    return table + offset if offset else 0


def _reader(code: str) -> Callable[[bytes, int], int]:
    unpack = struct.Struct("<" + code).unpack_from
    return lambda data, at: int(unpack(data, at)[0])


_u16, _i32, _u32, _i64 = (_reader(code) for code in "HiIq")

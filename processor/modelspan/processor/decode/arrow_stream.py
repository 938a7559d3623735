"""Arrow IPC streams from strangers: measured before anything is allocated, and validated before anything is read."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelspan.processor.decode import rejection
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.tables import MAX_TIME
from modelspan.processor.decode.times import in_nanoseconds

MAX_CELLS: Final = 8 * 1024 * 1024
"""Rows times columns of one payload: what 64 MiB of numbers hold. Compressed, null and bit columns claim more in fewer bytes."""
MAX_DECOMPRESSED: Final = 64 * 1024 * 1024
"""Bytes of one payload after decompression of its buffers."""
MAX_TEXT: Final = 64 * 1024 * 1024
"""Bytes of one column of dictionary-encoded strings or views after decoding: a long value can be repeated by each of its rows."""
MAX_FIELDS: Final = 16 * 1024
"""Columns of one payload, and what is nested in them: fields of a schema may share their bytes."""
CELLS_OF_A_COLUMN: Final = 32
"""Cells that a column of a record batch counts at least: what it costs without rows."""
CELLS_OF_A_ROW: Final = 16
"""Columns that every row has in the store, beside its features."""
NANOSECONDS_OF: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
"""Of the units of time."""
_MAX_TEXT_UNREAD: Final = 8 * 1024 * 1024
"""Bytes of text in dictionaries and views, once each row has its own, up to which nobody looks how many there are."""

# Message.fbs and Schema.fbs of the Arrow format: types of a message, and places of the fields read here.
_SCHEMA, _DICTIONARY_BATCH, _RECORD_BATCH = 1, 2, 3
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3
_DICTIONARY_DATA = 1
_LENGTH, _NODES, _BUFFERS, _COMPRESSION, _VIEWS = 0, 1, 2, 3, 4
_SCHEMA_FIELDS, _FIELD_CHILDREN = 1, 5

_frame = struct.Struct("<Ii").unpack_from
_buffer = struct.Struct("<qq").unpack_from


class Stream(NamedTuple):
    """A payload that was read. `layout` are the bytes of its schema: equal bytes, equal columns."""

    layout: bytes
    schema: pa.Schema
    batches: list[pa.RecordBatch]


class Claims(NamedTuple):
    """Sizes that a payload declares in its Arrow metadata, before anything is decoded."""

    layout: bytes
    cells: int
    """Values of all columns and dictionaries."""
    rows: int
    decompressed: int
    """Bytes of compressed buffers."""
    text: int
    """Bytes of text in dictionaries and views if each row has all of them."""


class Size(NamedTuple):
    """Size of a payload once decoded."""

    cells: int
    """Values, with those that the store adds to a row."""
    rows: int
    size: int
    """Bytes, with compressed buffers and dictionaries expanded."""


def read(data: bytes) -> Stream:
    """The stream's record batches, not yet validated (see `validated`). Raises `Rejected`."""
    claims = _claims(data)
    try:
        reader = pa.ipc.open_stream(pa.py_buffer(data))
        return Stream(claims.layout, reader.schema, list(reader))
    except (pa.ArrowException, OSError, ValueError, NotImplementedError) as error:
        raise Rejected(rejection.CORRUPT_PAYLOAD, str(error)) from error


def size_of(data: bytes) -> Size:
    """Measure a payload; its text only where it may be much. Raises `Rejected` as `read` does."""
    claims = _claims(data)
    cells, size = claims.cells + CELLS_OF_A_ROW * claims.rows, len(data) + claims.decompressed
    if claims.text > _MAX_TEXT_UNREAD:
        stream = read(data)
        encoded = [
            i
            for i, field in enumerate(stream.schema)
            if pa.types.is_dictionary(field.type) or pa.types.is_string_view(field.type)
        ]
        size += sum(map(text_bytes, _columns(stream, encoded)))
    return Size(cells, claims.rows, size)


def times_of(data: bytes, name: str) -> Iterator[npt.NDArray[np.int64]]:
    """Times in nanoseconds of each record batch, by the column of this name: the only one that is read. Raises `Rejected`."""
    buffer = pa.py_buffer(data)
    try:
        schema = pa.ipc.open_stream(buffer).schema
        places = [i for i in schema.get_all_field_indices(name) if pa.types.is_timestamp(schema.field(i).type)]
        options = pa.ipc.IpcReadOptions(included_fields=places)
        for batch in pa.ipc.open_stream(buffer, options=options) if places else ():
            for column in validated(batch, [0]).columns:
                ticks = column.drop_null().cast(pa.int64()).to_numpy()
                most = MAX_TIME // NANOSECONDS_OF[column.type.unit]
                yield in_nanoseconds(np.clip(ticks, 0, most) * NANOSECONDS_OF[column.type.unit])[0]
    except (pa.ArrowException, OSError, ValueError, NotImplementedError) as error:
        raise Rejected(rejection.CORRUPT_PAYLOAD, str(error)) from error


def _columns(stream: Stream, places: list[int]) -> Iterator[pa.Array]:
    for batch in stream.batches:
        yield from validated(batch, places).columns


def refuse_expansion(column: pa.Array) -> None:
    """Raise `Rejected` where the strings of a column are too many, once each row has its own."""
    total = text_bytes(column)
    if total > MAX_TEXT:
        raise Rejected(rejection.TOO_LARGE, f"{total} bytes of text")


def text_bytes(column: pa.Array) -> int:
    """Bytes of a column of strings, dictionary-encoded or views, once each row has its own; 0 for other types."""
    if not pa.types.is_dictionary(column.type):
        return pc.sum(_lengths(column)).as_py() or 0
    return pc.sum(_lengths(column.dictionary).take(column.indices)).as_py() or 0


def _lengths(texts: pa.Array) -> pa.Array:
    """int64 [len(texts)]: bytes of each; null for null, and where these are no strings."""
    kind = texts.type
    if pa.types.is_string_view(kind):
        views = np.frombuffer(texts.buffers()[1], np.int32).reshape(-1, 4)[texts.offset :][: len(texts)]
        return pc.if_else(texts.is_valid(), pa.array(views[:, 0], pa.int64()), None)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pc.binary_length(texts).cast(pa.int64())
    return pa.nulls(len(texts), pa.int64())


def validated(batch: pa.RecordBatch, columns: list[int]) -> pa.RecordBatch:
    """The chosen columns, after a check of every offset, index and string. Raises `Rejected`."""
    chosen = batch if len(columns) == batch.num_columns else batch.select(columns)
    try:
        chosen.validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        raise Rejected(rejection.CORRUPT_PAYLOAD, str(error)) from error
    return chosen


def _claims(data: bytes) -> Claims:
    """Walk the messages and add up what they claim. Raises `Rejected` for what is corrupt or too large."""
    try:
        claims = _summed(data)
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise Rejected(rejection.CORRUPT_PAYLOAD, "truncated") from error
    if claims.cells > MAX_CELLS:
        raise Rejected(rejection.TOO_LARGE, f"{claims.cells} cells and the limit is {MAX_CELLS}")
    if claims.decompressed > MAX_DECOMPRESSED:
        raise Rejected(
            rejection.TOO_LARGE, f"{claims.decompressed} bytes decompressed and the limit is {MAX_DECOMPRESSED}"
        )
    return claims


def _summed(data: bytes) -> Claims:
    layout = b""
    cells = decompressed = rows = dictionaries = 0
    position = 0
    while position + 8 <= len(data):
        marker, size = _frame(data, position)
        if marker != 0xFFFFFFFF or size < 0:
            raise Rejected(rejection.CORRUPT_PAYLOAD, "not an Arrow stream")
        if size == 0:
            break
        message = _root(data, position + 8)
        body = position + 8 + size
        if not layout:
            layout = data[position + 8 : body]
            _count_fields(data, message)
        at = _field(data, message, _BODY_LENGTH)
        length = _i64(data, at) if at else 0
        batch, is_dictionary = _batch_of(data, message)
        if batch is not None:
            claimed = _claimed_by(data, batch, body)
            decompressed += claimed
            cells += _cells_of(data, batch)
            if is_dictionary or _field(data, batch, _VIEWS):
                dictionaries += max(claimed, length)
            if not is_dictionary:
                rows += _rows_of(data, batch)
        if length < 0 or body + length > len(data):
            raise Rejected(rejection.CORRUPT_PAYLOAD, "truncated")
        position = body + length
    if not layout:
        raise Rejected(rejection.CORRUPT_PAYLOAD, "no schema")
    return Claims(layout, cells, rows, decompressed, rows * dictionaries)


def _count_fields(data: bytes, message: int) -> None:
    """Walk the schema as whoever reads it does: fields that share their bytes are fields. Raises `Rejected`."""
    at_type, at_header = _field(data, message, _HEADER_TYPE), _field(data, message, _HEADER)
    if not at_type or not at_header or data[at_type] != _SCHEMA:
        raise Rejected(rejection.CORRUPT_PAYLOAD, "no schema")
    count, waiting = 0, [_field(data, at_header + _u32(data, at_header), _SCHEMA_FIELDS)]
    while waiting:
        at = waiting.pop()
        if not at:
            continue
        vector = at + _u32(data, at)
        several = _u32(data, vector)
        count += several
        if count > MAX_FIELDS:
            raise Rejected(rejection.TOO_LARGE, f"more than {MAX_FIELDS} columns")
        for place in range(vector + 4, vector + 4 + 4 * several, 4):
            waiting.append(_field(data, place + _u32(data, place), _FIELD_CHILDREN))


def _cells_of(data: bytes, batch: int) -> int:
    """Values of all columns of a batch, as its nodes say. Raises `Rejected` for what cannot be."""
    at = _field(data, batch, _NODES)
    if not at:
        return 0
    vector = at + _u32(data, at)
    count = min(_u32(data, vector), len(data) // 16)
    lengths = np.frombuffer(data, "<i8", 2 * count, vector + 4)[::2]
    if count and not 0 <= lengths.min() <= lengths.max() <= MAX_CELLS:
        raise Rejected(rejection.TOO_LARGE, "a column of more cells than there may be")
    return int(np.maximum(lengths, CELLS_OF_A_COLUMN).sum())


def _batch_of(data: bytes, message: int) -> tuple[int | None, bool]:
    """Position of the message's RecordBatch table, and whether it is that of a dictionary."""
    at_type, at_header = _field(data, message, _HEADER_TYPE), _field(data, message, _HEADER)
    if not at_type or not at_header or data[at_type] not in (_DICTIONARY_BATCH, _RECORD_BATCH):
        return None, False
    header = at_header + _u32(data, at_header)
    if data[at_type] == _RECORD_BATCH:
        return header, False
    at_data = _field(data, header, _DICTIONARY_DATA)
    return (at_data + _u32(data, at_data) if at_data else None), True


def _claimed_by(data: bytes, batch: int, body: int) -> int:
    """Bytes that the batch's compressed buffers say they hold."""
    if not _field(data, batch, _COMPRESSION):
        return 0
    return sum(_claim(data, body + offset, length) for offset, length in _buffers(data, batch))


def _rows_of(data: bytes, batch: int) -> int:
    """Raises `Rejected` for a count that cannot be."""
    at = _field(data, batch, _LENGTH)
    rows = _i64(data, at) if at else 0
    if not 0 <= rows <= MAX_CELLS:
        raise Rejected(rejection.TOO_LARGE, f"{rows} rows")
    return rows


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

"""Predictions that arrive as the attributes of a span or of an `ml.prediction.details` event (`docs/wire.md` section 2)."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import numpy as np
import orjson
import pyarrow as pa
from opentelemetry.semconv.attributes import error_attributes

from modelspan.processor.decode import rejection
from modelspan.processor.decode.maps import row_entries
from modelspan.processor.decode.predictions import Part, Predictions
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.source import MAX_NAME
from modelspan.processor.decode.tables import MAX_TIME, MAX_WEIGHT, MIN_WEIGHT, Model
from modelspan.processor.decode.values import Raw, text
from modelspan.profile import number_text
from modelspan.semconv import attributes as names

MAX_ROWS: Final = 100_000
"""Rows of one span or event."""
MAX_REPEATED: Final = 64 * 1024 * 1024
"""Bytes of ids, segments and other text that the rows of one span or event share, once for each of them."""

SEGMENT: Final = names.ML_SEGMENT + "."
_LABEL, _SCORE, _VALUE = "label", "score", "value"
"""Keys of `ml.output.predictions`."""


class Occasion(NamedTuple):
    """What a span or log record says by itself."""

    time: int
    duration: int
    trace_id: str
    span_id: str
    default_id: str
    """Prediction id where the attributes have none."""


class RowForm:
    """Collects the predictions of a block that came in row form."""

    def __init__(self, predictions: Predictions, rejected: Counter[str]) -> None:
        self._predictions = predictions
        self._rejected = rejected
        self._models: list[int] = []
        self._columns: list[tuple[Any, ...]] = []
        self._maps: list[tuple[dict[str, Any], ...]] = []
        self._parts: list[Part] = []

    def __len__(self) -> int:
        return len(self._models) + sum(len(part.models) for part in self._parts)

    def add_part(self, part: Part) -> None:
        """Take many rows at once, whose models are known and touched already."""
        self._parts.append(part)

    def add(self, model: Model, values: dict[str, Raw], occasion: Occasion) -> None:
        """Take the rows of one span or event. Raises `Rejected`, and takes nothing then."""
        if not 0 < occasion.time < MAX_TIME:
            raise Rejected(rejection.TIME_RANGE, str(occasion.time))
        unusable: list[Rejected] = []
        features = _tried(_mapping, values.get(names.ML_INPUT_FEATURES), names.ML_INPUT_FEATURES, unusable) or {}
        outputs = values.get(names.ML_OUTPUT_PREDICTIONS)
        several = outputs is not None or (set(map(type, features.values())) == {list} and _OUTPUTS.isdisjoint(values))
        usable = _usable(features, _LISTS if several else _VALUES, unusable)
        rows = (
            _several(usable, _mapping(outputs, names.ML_OUTPUT_PREDICTIONS), unusable)
            if several
            else [_row(usable, values, unusable)]
        )
        if unusable and not usable and outputs is None and all(map(_is_empty, rows)):
            raise unusable[0]
        shared = _shared(values, occasion)
        segment = {name: text(values[key]) for key, name in _segments(tuple(values))}
        prediction_id = id_text(values.get(names.ML_PREDICTION_ID)) or occasion.default_id
        _refuse_repetition(len(rows), (prediction_id, *shared, *segment.values()))
        for reason, number in Counter(error.reason for error in unusable).items():
            said = dict.fromkeys(error.detail for error in unusable if error.reason == reason)
            what = f"{', '.join(itertools.islice(said, 5))} of {model.model_name!r}"
            rejection.left_out(self._rejected, reason, what, number)
        code = self._predictions.code(model)
        for i, (outcome, maps) in enumerate(rows):
            self._models.append(code)
            self._columns.append((*shared, f"{prediction_id}-{i}" if several else prediction_id, *outcome))
            self._maps.append((segment, *maps))

    def finish(self) -> None:
        """Hand all rows on."""
        for part in self._parts:
            self._predictions.add(part)
        if not self._models:
            return
        lists = zip(*self._columns, strict=True)
        columns = {name: pa.array(column, kind) for (name, kind), column in zip(_TYPES.items(), lists, strict=True)}
        names = self._predictions.names
        maps = {
            name: row_entries(rows, kind, names)
            for (name, kind), rows in zip(_MAP_TYPES.items(), zip(*self._maps, strict=True), strict=True)
        }
        models = np.array(self._models, np.int32)
        times = columns["time"].cast(pa.int64()).to_numpy()
        for code, model in enumerate(self._predictions.models):
            self._predictions.touch(model, times[models == code])
        self._predictions.add(Part(models, columns, maps))


_TYPES: Final[dict[str, pa.DataType]] = {
    "time": pa.timestamp("ns", "UTC"),
    "operation": pa.string(),
    "trace_id": pa.string(),
    "span_id": pa.string(),
    "duration": pa.uint64(),
    "variant": pa.string(),
    "weight": pa.float64(),
    "keep_reason": pa.string(),
    "error_type": pa.string(),
    "unreadable": pa.string(),
    "prediction_id": pa.string(),
    "label": pa.string(),
    "score": pa.float64(),
    "value": pa.float64(),
}
_MAP_TYPES: Final[dict[str, pa.DataType]] = {
    "segment": pa.string(),
    "features_numeric": pa.float64(),
    "features_text": pa.string(),
    "outputs_numeric": pa.float64(),
    "outputs_text": pa.string(),
}


def _segments(keys: tuple[str, ...]) -> list[tuple[str, str]]:
    """Attributes that are segments, and their names."""
    return _known_segments(keys) if sum(map(len, keys)) < 4096 else _segments_among(keys)


def _segments_among(keys: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(key, key[len(SEGMENT) :]) for key in keys if key.startswith(SEGMENT)]


_known_segments = lru_cache(maxsize=1024)(_segments_among)


_Row: TypeAlias = tuple[
    tuple["str | None", "float | None", "float | None"],
    tuple[dict[str, Any], ...],
]
"""Label, score and value; numeric and text features, numeric and text outputs."""


def label_text(value: Raw, name: str = "label") -> str | None:
    """A label as its string; integral floats as integers. Raises `Rejected` for what cannot be a label."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return None if value != value else number_text(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise Rejected(rejection.ATTRIBUTE_TYPE, f"{name} ({type(value).__name__})")


def id_text(value: Raw) -> str:
    """An identifier as programs write it: bytes as UTF-8, else as hexadecimal digits."""
    if not isinstance(value, bytes):
        return text(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


_NUMERAL: Final = re.compile(r"[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]+)?|[-+]?inf(inity)?|nan", re.I | re.A)


def number(value: Raw, name: str) -> float | None:
    """A number, also one that is written as a text; None for a missing one. Raises `Rejected` for anything else."""
    if isinstance(value, str):
        value = value.strip() or None
        if value is not None and _NUMERAL.fullmatch(value):
            value = float(value)
    if value is None:
        return None
    if isinstance(value, (int, float)):
        try:
            result = float(value)
        except OverflowError as error:
            raise Rejected(rejection.VALUE_RANGE, name) from error
        return result if result == result else None
    raise Rejected(rejection.ATTRIBUTE_TYPE, f"{name} ({type(value).__name__})")


def duration_of(value: Raw) -> int:
    """Seconds as nanoseconds; 0 of what is no duration."""
    seconds = _tried(number, value, names.ML_PREDICTION_DURATION, [])
    return round(seconds * 1e9) if seconds is not None and 0 <= seconds < MAX_TIME / 1e9 else 0


_T = TypeVar("_T")


def _tried(read: Callable[[Any, str], _T | None], value: Raw, name: str, unusable: list[Rejected]) -> _T | None:
    """A value as `read` makes it; None, and the error among the `unusable`, for one that cannot be read."""
    try:
        return read(value, name)
    except Rejected as error:
        unusable.append(error)
        return None


def _text(values: dict[str, Raw], name: str) -> str:
    return text(values[name]) if name in values else ""


def _shared(values: dict[str, Raw], occasion: Occasion) -> tuple[Any, ...]:
    weight = number(values.get(names.ML_SAMPLING_ADJUSTED_COUNT), names.ML_SAMPLING_ADJUSTED_COUNT)
    if weight is not None and not MIN_WEIGHT <= weight <= MAX_WEIGHT:
        raise Rejected(rejection.VALUE_RANGE, names.ML_SAMPLING_ADJUSTED_COUNT)
    return (
        occasion.time,
        _text(values, names.ML_OPERATION_NAME),
        occasion.trace_id,
        occasion.span_id,
        occasion.duration,
        _text(values, names.ML_PREDICTION_VARIANT),
        1.0 if weight is None else weight,
        _text(values, names.ML_SAMPLING_REASON),
        _text(values, error_attributes.ERROR_TYPE),
        _text(values, names.ML_CAPTURE_UNREADABLE),
    )


def _mapping(value: Raw, name: str) -> dict[str, Raw]:
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = _read_json(value)
        except (ValueError, RecursionError) as error:
            raise Rejected(rejection.ATTRIBUTE_TYPE, f"{name}: not JSON") from error
    if not isinstance(value, dict):
        raise Rejected(rejection.ATTRIBUTE_TYPE, name)
    return value


def _refuse_repetition(rows: int, shared: Iterable[Any]) -> None:
    """Each row repeats what they share."""
    repeated = rows * sum(len(value) for value in shared if isinstance(value, str))
    if rows > 1 and repeated > MAX_REPEATED:
        raise Rejected(rejection.TOO_LARGE, f"{repeated} bytes of text that {rows} rows share")


def _read_json(given: str) -> Any:
    """JSON, also as many languages write it: with NaN and infinities. Raises `ValueError` or `RecursionError`."""
    try:
        return orjson.loads(given)
    except orjson.JSONDecodeError:
        return _storable(json.loads(given))


def _storable(value: Any) -> Any:
    """The value, with an empty map for what JSON can spell and no column can hold: halves of surrogate pairs, numbers without limit."""
    if isinstance(value, dict):
        return {key.encode(errors="replace").decode(): _storable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, str) and not value.isascii():
        return value if value.encode(errors="replace") == value.encode(errors="surrogatepass") else {}
    return {} if isinstance(value, int) and abs(value) > _LARGEST else value


def _usable(features: dict[str, Raw], kinds: frozenset[type], unusable: list[Rejected]) -> dict[str, Raw]:
    """Features with values of these types; the others are named in `unusable`."""
    if kinds.issuperset(map(type, features.values())) and max(map(len, features), default=0) <= MAX_NAME // 4:
        return features
    good = {}
    for name, value in features.items():
        if type(value) in kinds and len(name.encode()) <= MAX_NAME:
            good[name] = value
        else:
            unusable.append(Rejected(rejection.ATTRIBUTE_TYPE, f"feature {name[:40]!r} ({type(value).__name__})"))
    return good


_VALUES: Final[frozenset[type]] = frozenset({float, int, bool, str, bytes, type(None)})
_LISTS: Final[frozenset[type]] = frozenset({list})
_LARGEST: Final = 10**308
_OUTPUTS: Final = frozenset(
    {
        names.ML_OUTPUT_LABEL,
        names.ML_OUTPUT_SCORE,
        names.ML_OUTPUT_VALUE,
        names.ML_OUTPUT_SCORES,
        names.ML_OUTPUT_VALUES,
        names.ML_OUTPUT_LABELS,
    }
)
"""Outputs of one prediction."""
SEVERAL_OUTPUTS: Final = frozenset({names.ML_OUTPUT_SCORES, names.ML_OUTPUT_VALUES, names.ML_OUTPUT_LABELS})
_NONE: Final[dict[str, Any]] = {}


def _row(features: dict[str, Raw], values: dict[str, Raw], unusable: list[Rejected]) -> _Row:
    numeric, texts = split(features)
    outcome = (
        _tried(label_text, values.get(names.ML_OUTPUT_LABEL), names.ML_OUTPUT_LABEL, unusable),
        _tried(number, values.get(names.ML_OUTPUT_SCORE), names.ML_OUTPUT_SCORE, unusable),
        _tried(number, values.get(names.ML_OUTPUT_VALUE), names.ML_OUTPUT_VALUE, unusable),
    )
    if SEVERAL_OUTPUTS.isdisjoint(values):
        return outcome, (numeric, texts, _NONE, _NONE)

    def each(
        read: Callable[[Any, str], _T | None], name: str, mapping: Callable[[Any, str], dict[str, Raw]]
    ) -> _Found[_T]:
        given = _tried(mapping, values.get(name), name, unusable) or {}
        return {key: _tried(read, value, f"{name}.{key}", unusable) for key, value in given.items()}

    scores = each(number, names.ML_OUTPUT_SCORES, lambda given, name: _scores(given, name, values))
    if outcome[1] is None and scores:
        outcome = (outcome[0], _score(scores, values), outcome[2])
    outputs = _present(scores) | _present(each(number, names.ML_OUTPUT_VALUES, _mapping))
    return outcome, (numeric, texts, outputs, _present(each(label_text, names.ML_OUTPUT_LABELS, _mapping)))


_Found: TypeAlias = "dict[str, _T | None]"


def _present(found: _Found[_T]) -> dict[str, _T]:
    return {key: value for key, value in found.items() if value is not None}


def _is_empty(row: _Row) -> bool:
    return row[0] == (None, None, None) and not any(row[1])


def _scores(given: Raw, name: str, values: dict[str, Raw]) -> dict[str, Raw]:
    if not isinstance(given, list):
        return _mapping(given, name)
    classes = values.get(names.ML_MODEL_CLASSES)
    if not isinstance(classes, list) or len(classes) != len(given):
        raise Rejected(rejection.MISSING_ATTRIBUTE, names.ML_MODEL_CLASSES)
    return {label_text(one) or "": score for one, score in zip(classes, given, strict=True)}


def _score(numbers: Mapping[str, float | None], values: dict[str, Raw]) -> float | None:
    """The score of the positive class of two, which is the last in `ml.model.classes`, else in order; otherwise the highest."""
    if len(numbers) != 2:
        return max((one for one in numbers.values() if one is not None), default=None)
    classes = values.get(names.ML_MODEL_CLASSES)
    listed = [label_text(one) for one in classes] if isinstance(classes, list) else []
    positive = listed[-1] if set(listed) == set(numbers) else max(numbers, key=_order)
    return numbers[positive or ""]


def _order(name: str) -> tuple[bool, float, str]:
    """Numbers by their size, then texts."""
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name


def _several(features: dict[str, Raw], outputs: dict[str, Raw], unusable: list[Rejected]) -> list[_Row]:
    columns = [*features.values(), *outputs.values()]
    if not all(isinstance(column, list) for column in columns):
        raise Rejected(rejection.ATTRIBUTE_TYPE, "several rows need an array for every feature and output")
    lengths = {len(column) for column in columns if isinstance(column, list)}
    if len(lengths) > 1 or max(lengths, default=0) > MAX_ROWS:
        raise Rejected(rejection.ROW_COUNT, f"arrays of {sorted(lengths)} values")
    return [_nth(features, outputs, i, unusable) for i in range(max(lengths, default=0))]


def _nth(features: dict[str, Any], outputs: dict[str, Any], i: int, unusable: list[Rejected]) -> _Row:
    numeric, texts = split(_usable({name: column[i] for name, column in features.items()}, _VALUES, unusable))
    outcome = (
        _tried(label_text, outputs[_LABEL][i] if _LABEL in outputs else None, _LABEL, unusable),
        _tried(number, outputs[_SCORE][i] if _SCORE in outputs else None, _SCORE, unusable),
        _tried(number, outputs[_VALUE][i] if _VALUE in outputs else None, _VALUE, unusable),
    )
    return outcome, (numeric, texts, {}, {})


_FLOATS: Final = {float}


def split(features: dict[str, Raw]) -> tuple[dict[str, float], dict[str, str]]:
    if set(map(type, features.values())) == _FLOATS and (total := sum(features.values())) == total:  # type: ignore[arg-type]  # floats
        return features, {}  # type: ignore[return-value]  # floats
    numeric: dict[str, float] = {}
    texts: dict[str, str] = {}
    for name, value in features.items():
        if isinstance(value, float):
            if value == value:
                numeric[name] = value
        elif isinstance(value, str):
            texts[name] = value
        elif isinstance(value, int):
            numeric[name] = float(value)
        elif isinstance(value, bytes):
            texts[name] = value.decode("utf-8", "replace")
        elif value is not None:
            raise Rejected(rejection.ATTRIBUTE_TYPE, f"feature {name!r}")
    return numeric, texts

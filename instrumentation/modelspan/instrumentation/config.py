"""What the user can choose, and from where: keyword arguments of the instrumentor before environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from modelspan.instrumentation.failure import warn_once
from modelspan.instrumentation.recorder.keep import KeepRules, parse_keep
from modelspan.instrumentation.recorder.policy import DROP, HASH, MASK, NOTHING, OFF, Rules, parse_features

RowRule = Callable[[Mapping[str, Sequence[Any]]], Sequence[bool]]
"""Given the columns of some rows by name, as `docs/wire.md` lists them, which rows to keep."""

PREFIX = "OTEL_INSTRUMENTATION_ML_"


def _number(kind: type[int] | type[float], text: str) -> int | float:
    """The number that a text holds, NaN where it holds none: no bound admits it."""
    try:
        return kind(text)
    except ValueError:
        return float("nan")


def _positive(kind: type[int] | type[float]) -> Callable[[str], int | float]:
    def parse(text: str) -> int | float:
        value = _number(kind, text)
        if not 0 < value < float("inf"):
            raise ValueError("must be a whole number above 0" if kind is int else "must be a number above 0")
        return value

    return parse


def _not_negative(text: str) -> float:
    value = _number(float, text)
    if not 0 <= value < float("inf"):
        raise ValueError("must be 0 or a number above 0")
    return value


def _features(given: Any) -> frozenset[str] | None:
    """`all` is None, `none` is the empty set, anything else the names of the features to capture. What is none of these hides."""
    if not isinstance(given, str):
        warn_once("capture", f"{PREFIX}CAPTURE={given!r} is not all, none or names of features: none is captured.")
        return frozenset()
    choice = given.strip()
    if choice.lower() in ("all", "true"):
        return None
    if choice.lower() in NOTHING:
        return frozenset()
    return frozenset(name.strip() for name in choice.split(",") if name.strip())


def _redaction(text: Any) -> str | None:
    """`off` is None. What is not understood hides, too."""
    choice = str(text).strip().lower()
    if choice in NOTHING:
        return None
    if choice not in (MASK, HASH, DROP):
        warn_once("pii", f"{PREFIX}PII={text!r} is none of {OFF}, {MASK}, {HASH}, {DROP}: personal data is masked.")
        return MASK
    return choice


def _probability(text: str) -> float:
    value = _number(float, text)
    if not 0 < value <= 1:
        raise ValueError("must be a number above 0, at most 1, such as 0.1 for 10%")
    return value


def _function(text: str | RowRule) -> str | RowRule:
    if callable(text):
        return text
    module, _, name = text.strip().partition(":")
    if not module or not name:
        raise ValueError("must be module:function")
    return text.strip()


def _switch(text: str) -> bool:
    choice = text.strip().lower()
    if choice not in ("true", "false"):
        raise ValueError("must be true or false")
    return choice == "true"


AUTO = "auto"


def _auto_or_off(text: str) -> str:
    choice = text.strip().lower()
    if choice in NOTHING:
        return OFF
    if choice not in (AUTO, "true"):
        raise ValueError(f"must be {AUTO} or {OFF}")
    return AUTO


_TENSORS = ("summary", "values", "none")


def _tensors(text: Any) -> str:
    """What is not understood hides, too."""
    choice = str(text).strip().lower()
    if choice not in (*_TENSORS, *NOTHING):
        warn_once("tensors", f"{PREFIX}TENSORS={text!r} is none of {', '.join(_TENSORS)}: no tensor is captured.")
    return choice if choice in _TENSORS else "none"


BATCHES, ROWS = "batches", "rows"


def _form(text: str) -> str:
    choice = text.strip().lower()
    if choice not in (BATCHES, ROWS):
        raise ValueError(f"must be {BATCHES} or {ROWS}")
    return choice


def _region(text: str) -> str:
    region = text.strip().upper()
    if not re.fullmatch("[A-Z]{2}", region):
        raise ValueError("must be two letters, such as DE")
    return region


def _option(
    variable: str,
    default: Any,
    parse: Callable[[Any], Any],
    *,
    secret: bool = False,
) -> Any:
    """An option, read by `parse` from a text, or from what `plain` makes of another value."""
    return field(default=default, metadata={"variable": PREFIX + variable, "parse": parse}, repr=not secret)


@dataclass(frozen=True)
class Config:
    """Options of the instrumentation. The name of each environment variable is in its declaration, after the prefix."""

    capture: frozenset[str] | None = _option("CAPTURE", None, _features)
    """Features to capture: None for all, else their names; the empty set for none."""
    tensors: str = _option("TENSORS", "summary", _tensors)
    """What is captured of each row of a tensor: a `summary`, its `values` where these are at most 1000, or `none`."""
    model_name: str | None = _option("MODEL_NAME", None, str)
    """Name of every model that `identify` does not name."""
    model_version: str | None = _option("MODEL_VERSION", None, str)
    """Version of every model to which `identify` gives none."""
    span_rate: float = _option("SPAN_RATE", 10.0, _not_negative)
    """Spans per second and model for predictions outside a sampled trace. Inside one, every prediction gets its span."""
    span_features: bool = _option("SPAN_FEATURES", False, _switch)
    """Whether spans of one row carry the features, as one map attribute."""
    form: str = _option("FORM", BATCHES, _form)
    """`batches`: many predictions in one event, as Arrow; `rows`: one event each, which people and other back ends can read, at some
    hundred times the cost. Spans of one row carry the features then, too."""
    reference: str = _option("REFERENCE", AUTO, _auto_or_off)
    """`auto`: what a model is fitted on is profiled, as what its predictions are compared with; `off`: only by `set_reference`."""
    flush_interval: float = _option("FLUSH_INTERVAL", 1.0, _positive(float))
    """Seconds between two batches of a model."""
    queue_bytes: int = _option("QUEUE_BYTES", 64 * 1024 * 1024, _positive(int))
    """Bytes of predictions that may wait for the background thread. What does not fit is dropped and counted."""
    queue_calls: int = _option("QUEUE_CALLS", 100_000, _positive(int))
    """Calls that may wait for the background thread."""
    call_bytes: int = _option("CALL_BYTES", 8 * 1024 * 1024, _positive(int))
    """Bytes copied of one call. Of a larger call a random sample of rows is captured, with its weight."""
    duty: float = _option("DUTY", 0.1, _positive(float))
    """Share of one core that the background thread may take. Above it, fewer rows of large calls are captured, with their weight."""
    overhead: float = _option("OVERHEAD", 0.005, _positive(float))
    """Share of the time that the callers of a model may spend on recording calls of 1000 rows and more. Above it, some of those are
    left out, outside of traces: they are counted, and those that are captured carry their weight. 1: every call is captured."""
    features: Rules | None = _option("FEATURES", None, parse_features)  # noqa: RUF009  # a field
    """What is done with features by their name, `*` for anything in it: `drop`, `hash`, `mask`, `bucket:10`, `bucket:18/65`."""
    hash_key: str | None = _option("HASH_KEY", None, str, secret=True)
    """Key of the hashes. Processes with the same key give equal values equal hashes."""
    hash_key_file: str | None = _option("HASH_KEY_FILE", None, str)
    """File that holds the key."""
    pii: str | None = _option("PII", None, _redaction)
    """What is done with personal data that is found in texts: `mask`, `hash`, `drop`, or nothing (None)."""
    pii_region: str | None = _option("PII_REGION", None, _region)
    """Country whose phone numbers are found without the prefix of a country, such as `DE`."""
    sample: float = _option("SAMPLE", 1.0, _probability)
    """Probability with which a row is handed on; those that are carry its inverse as their weight."""
    keep: KeepRules = _option("KEEP", parse_keep("error,uncertain:0.05,slow:p99"), parse_keep)  # noqa: RUF009  # a field
    """Rows that are handed on whatever `sample` says."""
    keep_rule: RowRule | str | None = _option("KEEP_RULE", None, _function)  # noqa: RUF009  # a field
    """A rule of the program: a function, or `module:function`, that is given the columns of rows as lists by name and returns
    which rows to hand on whatever `sample` says."""
    batch_rows: int = _option("BATCH_ROWS", 4096, _positive(int))
    """Most rows in one batch."""
    max_features: int = _option("MAX_FEATURES", 1000, _positive(int))
    """Features captured of each row; of more the first."""
    exit_timeout: float = _option("EXIT_TIMEOUT", 5.0, _not_negative)
    """Seconds that the exit of the interpreter may wait for the last exports; then they, and what the SDK still holds, are lost."""


def load(environ: Mapping[str, str] = os.environ, **overrides: Any) -> Config:
    """Read the environment; a value that cannot be used is named in one warning and its default taken.

    Keywords come first, and are read as in the environment; None and an empty variable say nothing. Raises TypeError for a
    keyword that is not an option.
    """
    values = {}
    for variable in environ.keys() - {option.metadata["variable"] for option in fields(Config)}:
        if variable.startswith(PREFIX):
            warn_once(variable, f"There is no option {variable}; it is ignored.")
    for option in fields(Config):
        variable = option.metadata["variable"]
        given = overrides.pop(option.name, None)
        given = environ.get(variable) or None if given is None else given
        if given is None:
            continue
        try:
            values[option.name] = option.metadata["parse"](_plain(given))
        except (AttributeError, TypeError, ValueError) as error:
            shown = repr(given) if option.repr else "a value of type " + type(given).__name__
            warn_once(variable, f"{variable}={shown} is ignored: {error}; using {option.default!r}")
    return Config(**values, **overrides)


def _plain(value: Any) -> Any:
    """A value of the program or of YAML as the environment would write it. Names of features may stand for themselves."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(part, str) for part in value):
        return ",".join(value) or "none"
    return value

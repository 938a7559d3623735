"""What is kept, changed or left out of features before anything leaves the process."""

from __future__ import annotations

import copy
import hashlib
import hmac
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.config import Config
from modelspan.instrumentation.failure import warn_once
from modelspan.instrumentation.recorder import columns
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.pii import Detectors, NoDetectors
from modelspan.instrumentation.recorder.policy import BUCKET, DROP, HASH, MASK, Action, Rules, find_action
from modelspan.instrumentation.recorder.unmatched import Unmatched
from modelspan.instrumentation.recorder.values import label_text
from modelspan.semconv import attributes as ml
from modelspan.semconv.attributes import MlCaptureFeaturesValues, MlRedactionMethodValues

MASKED = "[masked]"
"""What stands for every value of a masked feature."""
MAX_NAMES = 100
"""Features whose redaction is named in an event; how many there are is said beside."""
MAX_ACTIONS = 10_000
"""Names of features for which the action is remembered."""

_METHODS = {
    DROP: MlRedactionMethodValues.REMOVED.value,
    HASH: MlRedactionMethodValues.HASHED.value,
    MASK: MlRedactionMethodValues.MASKED.value,
    BUCKET: MlRedactionMethodValues.BUCKETED.value,
}
_REMOVED = _METHODS[DROP]
_NO_TEXT = "Values of feature {!r} that are no numbers cannot be put into buckets; they are dropped."
_NO_KEY = "Feature {!r} is dropped: to hash it, set OTEL_INSTRUMENTATION_ML_HASH_KEY or OTEL_INSTRUMENTATION_ML_HASH_KEY_FILE."


class FeaturePolicy:
    """Which features leave the process, and how: those `allowed` by name, or all (None), at most `most`; changed by rules, and by
    detectors of personal data in texts.
    """

    def __init__(
        self,
        allowed: frozenset[str] | None,
        most: int,
        rules: Rules = (),
        key: bytes | None = None,
        detectors: Detectors | None = None,
    ) -> None:
        self._allowed = allowed
        self.most = most
        self._rules = rules
        self._key = key
        self._detectors = detectors or NoDetectors()
        self._actions: dict[str, Action | None] = {}
        self._called: Mapping[str, str] = {}
        self._seen: Sequence[str] = ()
        self._model: str | None = None
        self.unmatched = Unmatched(allowed or (), [name for name, _ in rules])
        """Names in it that no model has, shared with the same policy afresh."""
        self.withheld: dict[str, str] = {}
        """What was done with features, by their name: an `ml.redaction.method`."""
        self.detected: Counter[str] = Counter()
        """Values in which personal data was found, by its kind."""

    def afresh(self, model: str | None = None) -> FeaturePolicy:
        """The same policy, of which nothing was withheld yet, for the features of a model of that name."""
        again = copy.copy(self)
        again.withheld, again.detected, again._called, again._model = {}, Counter(), {}, model
        again._seen = ()
        return again

    def also_called(self, names: Mapping[str, str]) -> None:
        """Treat features as what is said of these other names of theirs, by which the program passes them, says."""
        self._called = names

    @property
    def captures(self) -> bool:
        """Whether any feature is to leave the process."""
        return self._allowed is None or bool(self._allowed)

    @property
    def withholds(self) -> bool:
        """True if an allow-list or a rule withholds features by name."""
        return self._allowed is not None or bool(self._rules)

    def see(self, names: Sequence[str]) -> None:
        """Compare the rules with the features of the model, also those that it does not use."""
        self._seen = names
        if self.unmatched.left:
            self.unmatched.see(self._model, names, self._called.values())

    def choose(self, names: Sequence[str]) -> list[int]:
        """Positions of the features to keep."""
        self.see(names)
        kept = [i for i, name in enumerate(names) if self._keeps(name)]
        if len(kept) > self.most:
            warn_once(
                f"features:{len(names)}", f"A model has {len(names)} features; the first {self.most} are captured."
            )
        return kept[: self.most]

    def _keeps(self, name: str) -> bool:
        action = self._action(name)
        is_allowed = self._allowed is None or name in self._allowed or self._called.get(name) in self._allowed
        kept = is_allowed and (action is None or action.kind != DROP)
        if not kept:
            self.withheld[name] = _REMOVED
        return kept

    def _action(self, name: str) -> Action | None:
        """Return the redaction rule of a feature, by either of its names; a rule that drops it wins."""
        if not self._rules:
            return None
        actions = [self._action_of(name)]
        if name in self._called:
            actions.insert(0, self._action_of(self._called[name]))
        found = [action for action in actions if action is not None]
        return next((action for action in found if action.kind == DROP), found[0] if found else None)

    def _action_of(self, name: str) -> Action | None:
        if name not in self._actions:
            if len(self._actions) >= MAX_ACTIONS:  # names may be keys of dicts, hence anything
                self._actions.clear()
            self._actions[name] = find_action(self._rules, name)
        return self._actions[name]

    def apply(self, found: Mapping[str, Column]) -> dict[str, Column]:
        """The features that were chosen, as they may leave the process."""
        if not self._rules and not self._detectors.active:
            return dict(found)
        changed = {name: self._change(name, column) for name, column in found.items()}
        return {name: column for name, column in changed.items() if column is not None}

    def _change(self, name: str, column: Column) -> Column | None:
        action = self._action(name)
        if action is None:
            return self._detect(name, column)
        self.withheld[name] = self._method(action)
        changed = _apply(action, name, column, self._key)
        if changed is None:
            self.withheld[name] = _REMOVED
        return changed

    def _detect(self, name: str, column: Column) -> Column:
        if column.texts is not None:
            return replace(column, texts=self._detect(name, column.texts))
        if column.type != columns.UTF8 or not self._detectors.active:
            return column
        cleaned, detected = self._detectors.clean(column.objects())
        if not detected:
            return column
        self.detected += detected
        self.withheld[name] = _METHODS[self._detectors.action]
        return columns.from_texts(cleaned)

    def without_values(self, error: Exception) -> Exception:
        """An error to log: where anything is withheld only its type, because its message may show a value."""
        if self._allowed is None and not self._rules and not self._detectors.active:
            return error
        return RuntimeError(type(error).__name__)

    def described(self) -> dict[str, Any]:
        """Attributes that say what the policy withholds of the features that it has seen: rules that none of them has are left out."""
        names = {*self._seen, *self._called.values()} if self._rules else ()
        matched = {
            rule[0]: self._method(rule[1]) for rule in self._rules if any(find_action((rule,), one) for one in names)
        }
        return {**self._captured(), **_attributes(matched)}

    def _method(self, action: Action) -> str:
        return _REMOVED if action.kind == HASH and self._key is None else _METHODS[action.kind]

    def attributes(self) -> dict[str, Any]:
        """Attributes that say what was withheld."""
        return {**self._captured(), **_attributes(self.withheld)}

    def _captured(self) -> dict[str, Any]:
        if self._allowed is None:
            return {}
        values = MlCaptureFeaturesValues
        return {ml.ML_CAPTURE_FEATURES: (values.LISTED if self._allowed else values.NONE).value}


def _attributes(withheld: Mapping[str, str]) -> dict[str, Any]:
    if not withheld:
        return {}
    named = sorted(withheld)[:MAX_NAMES]
    return {
        ml.ML_REDACTION_FEATURES: named,
        ml.ML_REDACTION_METHODS: [withheld[name] for name in named],
        ml.ML_REDACTION_FEATURE_COUNT: len(withheld),
    }


def policy_of(config: Config) -> FeaturePolicy:
    """The policy that a configuration asks for."""
    key = hash_key(config)
    detectors = None if config.pii is None else Detectors(config.pii, config.pii_region, key)
    return FeaturePolicy(config.capture, config.max_features, config.features or (), key, detectors)


def hash_key(config: Config) -> bytes | None:
    """The key of hashes, of the configuration or a file; None without, or where the file cannot be read, which is said."""
    if config.hash_key:
        return config.hash_key.encode("utf-8", "surrogateescape")
    if config.hash_key_file is None:
        return None
    try:
        return Path(config.hash_key_file).read_bytes().strip() or None
    except OSError as error:
        warn_once("hash-key", f"The file of the hash key cannot be read ({type(error).__name__}); nothing is hashed.")
        return None


def hashed(value: str, key: bytes) -> str:
    """The first 128 bits of the HMAC-SHA256 (RFC 2104) of a text, as hexadecimal digits."""
    return hmac.digest(key, value.encode("utf-8", "replace"), hashlib.sha256).hex()[:32]


def _apply(action: Action, name: str, column: Column, key: bytes | None) -> Column | None:
    """A changed column; None where it can only be dropped, which is said once."""
    if action.kind == MASK:
        return columns.from_texts([None if value is None else MASKED for value in column.objects()])
    if action.kind == HASH:
        if key is None:
            warn_once(f"hash:{name}", _NO_KEY.format(name))
            return None
        texts = [label_text(value) for value in column.objects()]
        hashes = {text: hashed(text, key) for text in set(texts) if text is not None}
        return columns.from_texts([None if text is None else hashes[text] for text in texts])
    if column.texts is not None or (column.type == columns.UTF8 and not column.is_empty()):
        warn_once(f"bucket:{name}", _NO_TEXT.format(name))
        return _bucketed(action, column.numbers()) if column.texts is not None else None
    return column if column.is_empty() else _bucketed(action, column)


def _bucketed(action: Action, column: Column) -> Column:
    if action.edges:
        written = [label_text(edge) or "" for edge in action.edges]
        labels = [f"<{written[0]}", *map("..".join, itertools.pairwise(written)), f">={written[-1]}"]
        # Edges as rounded as the values, else what is 0.7 lies below 0.7 once it is a float32.
        edges = np.array(action.edges, dtype=np.float32 if column.type == columns.FLOAT32 else np.float64)
        places = np.searchsorted(edges, column.values, side="right")
        texts = [labels[place] for place in places.tolist()]
        valid = [True] * len(texts) if column.valid is None else column.valid.tolist()
        return columns.from_texts([text if ok else None for text, ok in zip(texts, valid, strict=True)])
    return Column(columns.FLOAT64, _multiples(column, action.width), column.valid)


def _multiples(column: Column, width: float) -> npt.NDArray[np.float64]:
    """The multiple of `width` at or below each number. One that is a multiple but for its rounding counts as that: 0.3 / 0.1 is
    less than 3, and more than 3 for a float32.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # of infinities, and what is none in float32
        quotients = np.asarray(column.values, dtype=np.float64) / width
        nearest = np.rint(quotients)
        if column.type == columns.FLOAT32:
            is_multiple = (nearest * width).astype(np.float32) == column.values
        else:
            is_multiple = np.abs(quotients - nearest) <= np.finfo(np.float64).eps * np.abs(quotients)
    multiples: npt.NDArray[np.float64] = np.where(is_multiple, nearest, np.floor(quotients)) * width
    return multiples

"""Who a model is: the name and version of a model object, kept beside it and never on it.

An `Identity` belongs to one fitted state of one object. A refit gives the object a new one.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from modelspan.instrumentation.config import Config
from modelspan.instrumentation.recorder.kinds import describe, kind_of
from modelspan.instrumentation.recorder.texts import readable

_MAX_PINNED = 64


class Identity:
    """Name, version and lineage of one fitted state of one model; what is not given is worked out when first asked for."""

    __slots__ = ("_facts", "announced", "lineage", "model", "name", "reference", "spans", "version")

    def __init__(self, name: str | None, version: str | None, lineage: Mapping[str, Any]) -> None:
        self.name = None if name is None else readable(str(name))
        self.version = None if version is None else readable(str(version))
        self.lineage = dict(lineage)
        self.announced = False
        """Whether `ml.model.loaded` was emitted."""
        self.spans = (0.0, 0.0)
        """Spans that may still be made without a trace, and when that was worked out."""
        self.reference: Any = None
        """What tells that the model is gone."""
        self._facts: dict[str, Any] | None = None

    def resolve(self, model: Any, config: Config) -> None:
        """Fill in the name and version that nobody gave. Takes milliseconds for large models, once."""
        if self.name is None:
            self.name = readable(config.model_name or kind_of(model).name(model))
        if self.version is None:
            self.version = config.model_version or _FIT + kind_of(model).digest(model)[:12]

    def facts(self, model: Any) -> dict[str, Any]:
        """Attributes that say what the model is: type, framework, task."""
        if self._facts is None:
            self._facts = describe(model)
        return self._facts


class Identities:
    """The identity of each model object that was seen, without keeping the object alive."""

    def __init__(self) -> None:
        self.by_id: dict[int, Identity] = {}
        """By the address of the model. An entry goes before the model's memory can be another's."""
        self._pinned: OrderedDict[int, Any] = OrderedDict()

    def get(self, model: Any) -> Identity:
        """The identity of a model, a new one for a model not seen before."""
        known = self.by_id.get(id(model))
        if known is not None:
            return known
        new = Identity(None, None, {})
        new.reference = self._reference(model)
        # Two threads may come here with the same model: both get what the first put.
        return self.by_id.setdefault(id(model), new)

    def put(self, model: Any, identity: Identity) -> Identity:
        """Make `identity` that of `model`."""
        identity.reference = self._reference(model)
        self.by_id[id(model)] = identity
        return identity

    def refit(self, model: Any, config: Config) -> None:
        """A fit begins: what was predicted so far keeps the old version, what follows gets a new one."""
        old = self.by_id.get(id(model))
        if old is None:
            return
        given = old.version if old.version is not None and not old.version.startswith(_FIT) else None
        name = old.name
        try:
            old.facts(model)
            old.resolve(model, config)
        finally:
            self.put(model, Identity(name, given, old.lineage))

    def _reference(self, model: Any) -> Any:
        key = id(model)
        by_id = self.by_id
        try:
            # Removed only if it is still this one's: the model may have got another identity since.
            # No names of the module: it may be empty when the last models go, at the exit.
            return weakref.ref(
                model, lambda gone: by_id.pop(key) if (now := by_id.get(key)) and now.reference is gone else None
            )
        except TypeError:
            return self._pin(model)

    def _pin(self, model: Any) -> Any:
        """Hold a model that allows no weak references, the latest few of them."""
        self._pinned[id(model)] = model
        if len(self._pinned) > _MAX_PINNED:
            self.by_id.pop(self._pinned.popitem(last=False)[0], None)
        return model


identities = Identities()
"""Those of this process."""

_FIT = "fit-"

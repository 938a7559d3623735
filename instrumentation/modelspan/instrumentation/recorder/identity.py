"""Who a model is: the name and version of a model object, kept beside it and never on it.

An `Identity` belongs to one fitted state of one object. A refit gives the object a new one.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from modelspan.instrumentation.config import Config
from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.recorder.attribute import own
from modelspan.instrumentation.recorder.budget import Budget
from modelspan.instrumentation.recorder.kinds import describe, kind_of
from modelspan.instrumentation.recorder.takers import takers
from modelspan.instrumentation.recorder.texts import readable, short
from modelspan.semconv.attributes import ML_MODEL_SOURCE_URI

_MAX_PINNED = 64
_MOST_TELLS = 7
_MOST_COMPARED = 100
BY_HAND, BY_FILE, BY_CLASS = "hand", "file", "class"
"""Who named a model: somebody (the program, the environment, a registry), its file, or nobody."""


class Origin(NamedTuple):
    """What that which loaded or fitted a model says about it. Comes after what the program and the environment say."""

    name: str | None = None
    version: str | None = None
    lineage: Mapping[str, Any] = {}
    """Attributes. A function stands for what takes its time to find out: it is called in the background, None is left out."""
    file_name: str | None = None
    """Name after the file that it was loaded from, where nobody gives one."""

    def known(self) -> dict[str, Any]:
        """The lineage, with what had to be found out."""
        found: dict[str, Any] = {}
        for key, value in self.lineage.items():
            try:
                found[key] = value() if callable(value) else value
            except Exception as error:
                failed("find out where a model comes from", error)
        return {key: value for key, value in found.items() if value is not None}


Tell = Callable[[], Origin]
"""Asked once, when the model first matters, in the background or before a new fit. May raise."""


class Identity:
    """Name, version and lineage of one fitted state of one model; what is not given is worked out when first asked for."""

    __slots__ = (
        "_facts",
        "announced",
        "budget",
        "digest",
        "fitted",
        "keys",
        "lineage",
        "name",
        "named_by",
        "origin",
        "plan",
        "predicted",
        "reference",
        "spans",
        "tells",
        "training",
        "version",
    )

    def __init__(self, name: str | None, version: str | None, lineage: Mapping[str, Any]) -> None:
        self.name = None if name is None else short(readable(str(name)))
        self.version = None if version is None else short(readable(str(version)))
        self.named_by = BY_CLASS if name is None else BY_HAND
        """Where its name is from."""
        self.lineage = dict(lineage)
        self.tells: tuple[Tell, ...] = ()
        """Who is still to be asked about the model; of two that contradict each other the later one is right."""
        self.digest: str | None = None
        """Of what the model has learnt; None: not made yet, empty: not to be made."""
        self.origin = Origin()
        """Name, version and lineage that the sources in `tells` have reported."""
        self.fitted = False
        """True if the program called `fit` on it in this process."""
        self.keys: frozenset[str] = frozenset()
        """Features that are recorded of inputs in dicts, until others come that are before them in their order."""
        self.announced: object = None
        """The announcements of which `ml.model.loaded` is one."""
        self.budget = Budget()
        """Time that the program's threads may spend on recording it."""
        self.predicted = False
        """True once predictions of it are recorded."""
        self.plan: Any = None
        """Cached facts about its calls, set by the instrumentation of its library."""
        self.spans = (0.0, 0.0)
        """Spans that may still be made without a trace, and when that was worked out."""
        self.reference: Any = None
        """What tells that the model is gone."""
        self.training: Any = None
        """What it was fitted on, if that was in this process."""
        self._facts: dict[str, Any] | None = None

    def resolve(self, model: Any, config: Config) -> None:
        """Fill in the name and version that nobody gave. Takes milliseconds for large models, once."""
        if self.tells:
            self._ask()
        if self.name is None and not (config.model_name or self.origin.name or self.origin.file_name):
            self._take_over(model)
        if self.name is None:
            given, file_name = config.model_name or self.origin.name, self.origin.file_name
            self.named_by = BY_HAND if given else BY_FILE if file_name else BY_CLASS
            self.name = short(readable(given or file_name or _name_of(model)))
        if self.version is None:
            # A refit, which asks first, waits for a digest that is being made, so that none is made of a model in change.
            with _resolving:
                if self.version is None:
                    told = config.model_version or self.origin.version
                    self.version = short(readable(told)) if told else _FIT + (self.digest_of(model)[:12] or "unknown")

    def _take_over(self, model: Any) -> None:
        """Have name, version and lineage of a named model that has learnt the same, of which this is a copy."""
        same = identities.same_as(model, self)
        if same is None:
            return
        lineage = {} if self.fitted else same.origin.lineage
        self.origin = same.origin._replace(lineage={**lineage, **self.origin.lineage})
        self.lineage = {**same.lineage, **self.lineage}
        self.version = self.version or same.version
        if same.name is not None:
            self.name, self.named_by = same.name, same.named_by

    def is_named(self) -> bool:
        """True if the program, a registry or its file has named the model. Asks who knows it, where nobody has yet."""
        if self.name is not None:
            return self.named_by != BY_CLASS
        if self.tells:
            self._ask()
        return bool(self.origin.name or self.origin.file_name)

    def know_digest(self, model: Any) -> None:
        """Have the digest made, unless the model has become another since. In the background: takes milliseconds and more."""
        with _resolving:
            if self.digest is None and identities.known(model) is self:
                self.digest_of(model)

    def digest_of(self, model: Any) -> str:
        """The digest, which is made where it is not known; empty where none can be or is to be."""
        try:
            return self._made_digest(model)
        except Exception as error:
            failed("make a digest of a model", error)
            self.digest = ""
            return ""

    def _made_digest(self, model: Any) -> str:
        if self.digest is None:
            self.digest = kind_of(model).digest(model)
        return self.digest

    def learnt(self, lineage: Mapping[str, Any]) -> None:
        """More is known of where the model comes from."""
        self.origin = self.origin._replace(lineage={**self.origin.lineage, **lineage})

    def _ask(self) -> None:
        tells, self.tells = self.tells, ()
        for tell in tells:
            try:
                told = tell()
            except Exception as error:
                failed("find out where a model comes from", error)
                continue
            old = self.origin
            self.origin = Origin(
                told.name or old.name,
                told.version or old.version,
                {**old.lineage, **told.lineage},
                told.file_name or old.file_name,
            )

    def facts(self, model: Any) -> dict[str, Any]:
        """Attributes that say what the model is: type, framework, task."""
        if self._facts is None:
            self._facts = describe(model)
        return self._facts


def _name_of(model: Any) -> str:
    try:
        return kind_of(model).name(model)
    except Exception as error:
        failed("find the name of a model", error)
        return type(model).__name__


def booster_of(model: Any) -> Any:
    """The Booster of a model of XGBoost or LightGBM, which programs take out of it; None where it has none."""
    return own(model).get("_Booster")


def _holds(model: Any, inner: Any) -> bool:
    return booster_of(model) is inner or any(one is inner for one in takers(model))


class Identities:
    """The identity of each model object that was seen, without keeping the object alive."""

    def __init__(self) -> None:
        self.by_id: dict[int, Identity] = {}
        """By the address of the model. An entry goes before the model's memory can be another's."""
        self._changed: dict[int, Identity] = {}
        """Of models that were changed and that nobody has asked about since: a loop that trains on one costs nothing."""
        self._pinned: OrderedDict[int, Any] = OrderedDict()

    def get(self, model: Any) -> Identity:
        """The identity of a model, a new one for a model not seen before."""
        known = self.by_id.get(id(model))
        if known is not None:
            return known
        new = self._changed.get(id(model))
        if new is None:
            new = Identity(None, None, {})
            new.reference = self._reference(model)
        # Two threads may come here with the same model: both get what the first put.
        found = self.by_id.setdefault(id(model), new)
        self._changed.pop(id(model), None)
        return found

    def known(self, model: Any) -> Identity | None:
        """The identity of a model, if it has one."""
        return self.by_id.get(id(model)) or self._changed.get(id(model))

    def named(self, name: str) -> Any:
        """The only model that the program has identified by a name, or one of its copies; None where there is none, or several."""
        found = [known for known in list(self.by_id.values()) if known.name == name]
        is_one = len(found) == 1 or (found and found[0].digest and len({known.digest for known in found}) == 1)
        reference = found[0].reference if is_one else None
        return reference() if isinstance(reference, weakref.ref) else None

    def put(self, model: Any, identity: Identity) -> Identity:
        """Make `identity` that of `model`."""
        identity.reference = self._reference(model)
        self.by_id[id(model)] = identity
        self._changed.pop(id(model), None)
        return identity

    def other_of_the_name(self, identity: Identity) -> Identity | None:
        """A model that predicts under the same name by chance, and has learnt something else; one of the same file is a version of it."""
        if identity.named_by == BY_HAND or not identity.digest:
            return None
        file = identity.origin.lineage.get(ML_MODEL_SOURCE_URI)
        return next(
            (
                other
                for other in list(self.by_id.values())[-_MOST_COMPARED:]
                if other.predicted
                and other.name == identity.name
                and other is not identity
                and other.named_by != BY_HAND
                and other.digest not in (None, "", identity.digest)
                and (file is None or other.origin.lineage.get(ML_MODEL_SOURCE_URI) != file)
            ),
            None,
        )

    def same_as(self, model: Any, identity: Identity) -> Identity | None:
        """The identity of a named model that has learnt the same as `model`; None where there is none, or they have several names.
        One that came after `model` was first seen is a copy of it, and gives it no name, unless one holds the other.
        """
        name = _name_of(model)
        found: list[Identity] = []
        is_later = False
        with _resolving:
            for other in list(self.by_id.values())[-_MOST_COMPARED:]:
                is_later = is_later or other is identity
                one = other.reference() if isinstance(other.reference, weakref.ref) else other.reference
                if other is identity or one is None:
                    continue
                if _name_of(one) != name and booster_of(one) is not model and booster_of(model) is not one:
                    continue
                if is_later and not _holds(one, model) and not _holds(model, one):
                    continue
                if not other.is_named():
                    continue
                if other.digest_of(one) and other.digest == identity.digest_of(model):
                    found.append(other)
        names = {other.name or other.origin.name or other.origin.file_name for other in found}
        return found[-1] if len(names) == 1 else None

    def identify(self, model: Any, identity: Identity) -> None:
        """The program says who a model is; what is known from elsewhere is still known."""
        old = self.known(model)
        if old is not None:
            identity.tells, identity.origin, identity.digest = old.tells, old.origin, old.digest
        self.put(model, identity)

    def tell(self, model: Any, tell: Tell) -> None:
        """Have `tell` asked about a model, beside who else knows it."""
        identity = self.get(model)
        identity.tells = (*identity.tells[-_MOST_TELLS:], tell)

    def refit(self, model: Any, config: Config) -> None:
        """A fit begins: what was predicted so far keeps the old version, what follows gets a new one."""
        old = self.by_id.get(id(model))
        if old is None:
            return
        told = old.version is None or old.version.startswith(_FIT) or old.version == old.origin.version
        given = None if told else old.version
        try:
            old.facts(model)
            old.resolve(model, config)
        finally:
            new = Identity(old.name, given, old.lineage)
            new.named_by = old.named_by
            if given is not None:
                new.digest = (
                    ""  # a loop that trains on a model with a version of its own would have one made at every step
                )
            new.reference = self._reference(model)
            with _resolving:  # no digest is made of a model in change
                self._changed[id(model)] = new
                self.by_id.pop(id(model), None)

    def reload(self, model: Any, config: Config) -> None:
        """A model becomes another that a file holds: named after that, if it was named after a file."""
        self.refit(model, config)
        new = self.known(model)
        if new is not None and new.named_by == BY_FILE:
            new.name, new.origin = None, Origin(file_name=new.name)

    def forget_budgets(self) -> None:
        """Nothing was spent yet on any model."""
        for identity in [*self.by_id.values(), *self._changed.values()]:
            identity.budget = Budget()

    def _reference(self, model: Any) -> Any:
        key = id(model)
        tables = self.by_id, self._changed

        def forget(gone: Any) -> None:
            # Removed only if it is still this one's: the model may have got another identity since.
            # No names of the module: it may be empty when the last models go, at the exit.
            for table in tables:
                now = table.get(key)
                if now is not None and now.reference is gone:
                    table.pop(key)

        try:
            return weakref.ref(model, forget)
        except TypeError:
            return self._pin(model)

    def _pin(self, model: Any) -> Any:
        """Hold a model that allows no weak references, the latest few of them."""
        self._pinned[id(model)] = model
        if len(self._pinned) > _MAX_PINNED:
            gone, _ = self._pinned.popitem(last=False)
            self.by_id.pop(gone, None)
            self._changed.pop(gone, None)
        return model


identities = Identities()
"""Those of this process."""

_resolving = threading.RLock()


def _start_over() -> None:
    """A process that is forked while another thread holds the lock would never get it."""
    global _resolving
    _resolving = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)

_FIT = "fit-"

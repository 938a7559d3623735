"""A digest of what a model has learnt: equal in every process that loads the same model, other after a refit.

Pickles and `joblib.hash` of one model differ between the process that fitted it and those that loaded it (memory layout,
shared objects). This digest is over content alone: each object is digested from its class and its parts, without
identity.
"""

from __future__ import annotations

import copyreg
import hashlib
import inspect
import random
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from modelspan.instrumentation.failure import heard

MAX_BYTES = 256 * 1024 * 1024
MAX_OBJECTS = 200_000
MAX_DEPTH = 100

_SKLEARN = "sklearn"

_IGNORED_STATE = frozenset(
    {
        "_sklearn_version",
        "_deprecated_key_to_warnings",
        "_stop_words_id",
        "_sklearn_output_config",
        "n_jobs",
        "verbose",
    }
)
"""The library that wrote a pickled state, what scikit-learn's Bunch loses when it is pickled, an address in memory that its
vectorizers keep, and what a server may well set otherwise: not what was learnt."""


Own = Callable[[Any], "str | None"]
"""The digest of an object that has one of its own; None for any other."""


def fingerprint(model: Any, own: Own = lambda _: None) -> str:
    """Hex digest of the content of `model`. `own` digests the objects within it that keep what they have learnt outside of Python.

    Of a model with more than MAX_BYTES of arrays or MAX_OBJECTS objects, or nested deeper than MAX_DEPTH, only what comes
    first in the order of its state is digested.
    """
    return _Digester(own).digest(model, 0).hex()


class _Digester:
    def __init__(self, own: Own) -> None:
        self.own = own
        self.bytes_left = MAX_BYTES
        self.objects_left = MAX_OBJECTS
        self.done: dict[int, tuple[Any, bytes]] = {}
        self.parameters: dict[type, frozenset[str]] = {}

    def digest(self, value: Any, depth: int) -> bytes:
        if isinstance(value, np.generic):
            # Not its own `repr`, which NumPy 2 writes in another way.
            return _hash(value.dtype.str, [repr(value.item()).encode("utf-8", "backslashreplace")])
        if isinstance(value, (str, bytes, int, float, complex, type(None))):
            return _hash(type(value).__name__, [repr(value).encode("utf-8", "backslashreplace")])
        known = self.done.get(id(value))
        if known is not None:
            return known[1]
        self.objects_left -= 1
        if depth > MAX_DEPTH or self.objects_left < 0 or self.bytes_left < 0:
            return _hash("more", [])
        # Kept while its parts are digested, so that a cycle ends here; with the object, so that its id is not used again.
        self.done[id(value)] = (value, _hash("cycle", []))
        digest = self._composite(value, depth + 1)
        self.done[id(value)] = (value, digest)
        return digest

    def _composite(self, value: Any, depth: int) -> bytes:
        if isinstance(value, np.ndarray):
            return self._array(value, depth)
        if isinstance(value, np.dtype):
            return _hash("dtype", [str(value).encode()])
        if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
            return self._parts(type(value).__name__, value, depth)
        if type(value) is dict:
            return self._mapping(value, depth)
        if isinstance(value, (set, frozenset)):
            return _hash("set", sorted(self.digest(part, depth) for part in value))
        if isinstance(value, random.Random) or type(value).__module__.startswith("numpy.random."):
            # By its type alone: predictions may draw from it, and skops gives it another seed sequence.
            return _hash("random", [_name(type(value)).encode()])
        if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, np.ufunc)):
            return _hash("name", [_name(value).encode()])
        return self._reduced(value, depth)

    def _parameters(self, cls: Any) -> frozenset[str]:
        if cls not in self.parameters:
            self.parameters[cls] = frozenset(inspect.signature(cls.__init__).parameters)
        return self.parameters[cls]

    def _parts(self, kind: str, parts: Iterable[Any], depth: int) -> bytes:
        return _hash(kind, [self.digest(part, depth) for part in parts])

    def _mapping(self, value: dict[Any, Any], depth: int) -> bytes:
        pairs = (pair for pair in value.items() if not _is_ignored(pair[0]))
        return _hash("dict", [self.digest(part, depth) for pair in pairs for part in pair])

    def _array(self, value: np.ndarray[Any, Any], depth: int) -> bytes:
        if value.dtype.names:
            # By field: the bytes of padding between fields are arbitrary.
            return self._parts("fields", [part for name in value.dtype.names for part in (name, value[name])], depth)
        head = f"{value.dtype!s} {value.shape}".encode()
        if value.dtype.hasobject:
            return _hash("array", [head, self.digest(value.tolist(), depth)])
        self.bytes_left -= value.nbytes
        # As plain bytes: dates have no buffer of their own.
        plain = np.ascontiguousarray(value).reshape(-1).view(np.uint8).data if value.size and value.itemsize else b""
        return _hash("array", [head, plain])

    def _reduced(self, value: Any, depth: int) -> bytes:
        """What pickle would write: how to make the object, and its state."""
        try:
            own = self.own(value)
            if own is not None:
                return _hash(_name(type(value)), [own.encode()])
            reducer = copyreg.dispatch_table.get(type(value))
            reduced = reducer(value) if reducer else value.__reduce_ex__(4)
        except Exception as error:  # an object that cannot be pickled counts by its type alone
            heard(error)
            return _hash("opaque", [_name(type(value)).encode()])
        if isinstance(reduced, str):
            return _hash("name", [reduced.encode()])
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        if hasattr(type(value), "get_tree_stats"):
            # A KDTree or BallTree counts the calls of its queries; its other integers follow from its arrays.
            state = [part for part in state if not isinstance(part, int)]
        if (
            type(state) is dict
            and type(value).__module__.partition(".")[0] == _SKLEARN
            and hasattr(type(value), "get_params")
        ):
            state = _learnt(state, self._parameters(type(value)))
        return _hash(
            _name(type(value)),
            [
                self.digest(make, depth),
                self.digest(arguments, depth),
                self.digest(_kept(state), depth),
                self._parts("items", items or (), depth),
                self._parts("pairs", pairs or (), depth),
            ],
        )


def _learnt(state: dict[str, Any], parameters: frozenset[str]) -> dict[str, Any]:
    """What scikit-learn's own estimators learn ends with an underscore, or begins with one. What else they have, beside their
    parameters, are constants, and what a program sets after the fit: a threshold, a comment.
    """
    return {
        name: value for name, value in state.items() if name.startswith("_") or name.endswith("_") or name in parameters
    }


def _kept(state: Any) -> Any:
    """A state; None where nothing of it counts: some objects have an empty one until they are pickled, and then none."""
    return None if type(state) is dict and all(map(_is_ignored, state)) else state


def _is_ignored(key: Any) -> bool:
    return isinstance(key, str) and key in _IGNORED_STATE


def _hash(kind: str, parts: Iterable[Any]) -> bytes:
    digest = hashlib.blake2b(kind.encode(), digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") if isinstance(part, bytes) else b"")
        digest.update(part)
    return digest.digest()


def _name(value: Any) -> str:
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", repr(type(value)))
    return f"{getattr(value, '__module__', '')}.{name}"

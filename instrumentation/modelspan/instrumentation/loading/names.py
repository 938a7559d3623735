"""Names of models after the files that they were loaded from: the stem, else the folder, with the key where a file holds several."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

Keys = tuple[str, ...]
"""Where in a file something is: the keys and positions that lead there."""

_OF_FILES = """
best bin checkpoint checkpoints ckpt classifier clf current data default dev dict dump epoch estimator export exported file
final fitted fp16 fp32 graph int8 iter iteration jit joblib last latest main model models module my net network new obj object
old onnx optimized output outputs params pickle pipe pipeline pipelines pkl predictor prod production python quantized
regressor saved serialized sklearn staging state step temp tmp torch trained ver version weights
"""
_OF_FOLDERS = """
api app apps artifact artifacts assets build code content deploy deployment dist downloads files function home input lib local
mnt ml notebooks opt project repo resources root server service share snapshots src srv static storage store task test tests
usr var work workdir working workspace
"""
_GENERIC = frozenset(_OF_FILES.split())
_PLACES = _GENERIC | frozenset(_OF_FOLDERS.split())
_NUMBER = re.compile(
    r"v?[0-9]+|(?=.*[0-9])[0-9a-f]{7,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|tmp\w{8}", re.ASCII | re.IGNORECASE
)
"""Versions, dates and steps, digests, UUIDs, and what `tempfile` makes up."""
_WORDS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")
_PACKED = frozenset({".bz2", ".gz", ".lz4", ".lzma", ".tar", ".xz", ".z", ".zip", ".zst"})
_MOST_FOLDERS = 3
"""A folder for each version is often between the file and the name."""


def of_file(path: str) -> str | None:
    """The name of a model by its file or folder; None where neither the file nor its folder says anything."""
    *folders, file = [part for part in path.replace("\\", "/").split("/") if part]
    stem = _stem(file)
    if not is_generic(stem):
        return stem
    for depth in range(min(_MOST_FOLDERS, len(folders))):
        folder = folders[-1 - depth]
        if not is_generic(folder, _PLACES):
            return None if "/".join(["", *folders[: len(folders) - depth]]) == os.path.expanduser("~") else folder
        if not is_generic(folder, frozenset()):
            return None
    return None


@lru_cache(16)
def of_parts(name: str | None, parts: tuple[Keys, ...]) -> Mapping[Keys, str | None]:
    """Names of the models that are at these places of a file which is called `name`."""
    if len(parts) == 1:
        return {parts[0]: name}
    telling = [tuple(key for key in keys if key.lower() not in _GENERIC) for keys in parts]
    chosen = telling if len(set(telling)) == len(parts) else parts
    return {at: ".".join(filter(None, (name, *keys))) or None for at, keys in zip(parts, chosen, strict=True)}


def key_of(key: Any, place: int) -> str:
    """A key as text, without running the program's code; its place where it is an object of the program."""
    if isinstance(key, tuple):
        return ".".join(key_of(part, place) for part in key)
    return str(key) if type(key) in (str, int) or type(key).__module__ == "numpy" else str(place)


def is_generic(name: str, generic: frozenset[str] = _GENERIC) -> bool:
    """True if a name is made of such words and of numbers alone, so that it says nothing."""
    if _NUMBER.fullmatch(name):
        return True
    return all(word.lower() in generic or _NUMBER.fullmatch(word) for word in _WORDS.split(name) if word)


def _stem(file: str) -> str:
    stem, extension = os.path.splitext(file)
    if extension.lower() in _PACKED:
        stem, extension = os.path.splitext(stem)
    return stem + extension if extension[1:].isdigit() else stem

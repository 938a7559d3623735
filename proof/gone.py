"""Plugin of pytest, `-p proof.gone`: names that tests of a library's other versions import, and that the installed one has no more.

The library is named by `PROOF_LIBRARY`. Both variants have them.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

LIBRARY = "PROOF_LIBRARY"
"""Environment variable."""


def _unchanged(test: Any) -> Any:
    return test


def _decorator(*arguments: Any, **keywords: Any) -> Callable[[Any], Any]:
    return _unchanged


_TORCH = "torch.testing._internal."
_NAMES: dict[str, dict[str, dict[str, Any]]] = {
    "lightgbm": {
        "lightgbm.compat": {
            "DASK_INSTALLED": False,
            "PYARROW_INSTALLED": True,
            "pa_Table": pa.Table,
            "pa_array": pa.array,
            "pa_chunked_array": pa.chunked_array,
        }
    },
    "torch": {
        "torch.jit.frontend": {"_IS_ASTUNPARSE_INSTALLED": True},
        f"{_TORCH}common_cuda": {"tf32_is_not_fp32": lambda: False},
        f"{_TORCH}common_mkldnn": {"bf32_on_and_off": _decorator, "bf32_is_not_fp32": lambda: False},
        f"{_TORCH}common_nn": {"new_module_tests": []},
        f"{_TORCH}common_utils": {
            "BUILD_WITH_CAFFE2": False,
            "disable_translation_validation_if_dynamic_shapes": _unchanged,
            "skipIfMps": _unchanged,
        },
        f"{_TORCH}jit_metaprogramming_utils": {"additional_module_tests": []},
    },
}


@pytest.hookimpl(trylast=True)
def pytest_load_initial_conftests() -> None:
    for module, names in _NAMES.get(os.environ[LIBRARY], {}).items():
        found = importlib.import_module(module)
        for name, value in names.items():
            if not hasattr(found, name):
                setattr(found, name, value)

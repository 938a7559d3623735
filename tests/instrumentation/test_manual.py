"""The manual says what the code does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import modelspan.instrumentation
from modelspan.instrumentation.config import PREFIX, Config

PAGE = (Path(__file__).parents[2] / "docs" / "instrumentation.md").read_text()


def test_the_page_lists_every_variable_with_its_default() -> None:
    listed = dict(re.findall(rf"^\| `({PREFIX}\w+)` \| `?(.*?)`? ?\|", PAGE, re.MULTILINE))
    assert set(listed) == {option.metadata["variable"] for option in fields(Config)}
    for option in fields(Config):
        written = listed[option.metadata["variable"]]
        assert (option.metadata["parse"](written) if written else None) == option.default, option.name


def test_the_docstring_lists_every_variable() -> None:
    listed = re.findall(rf"^``({PREFIX}\w+)``", modelspan.instrumentation.__doc__ or "", re.MULTILINE)
    assert sorted(listed) == sorted(option.metadata["variable"] for option in fields(Config))


def test_the_example_runs_without_a_warning(program: Callable[..., str]) -> None:
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "identify(" in code]
    check = """
import logging, io
said = io.StringIO()
logging.basicConfig(stream=said)
set_up_sdk()
SklearnInstrumentor().instrument()
"""
    assert program(check + example + "\nprint(rows(), repr(said.getvalue()))") == "2 ''"

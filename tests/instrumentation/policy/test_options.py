"""Options mean the same however they are given; one that cannot be used is named, and never lets more out than was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from modelspan.instrumentation import config, failure
from modelspan.instrumentation.recorder.keep import KeepRules
from modelspan.instrumentation.recorder.policy import DROP, Action, find_action
from modelspan.instrumentation.recorder.redaction import hash_key

DEFAULT = config.Config()


@pytest.fixture(autouse=True)
def _warn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure, "_said", set())


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("sample", 0),
        ("sample", -1.0),
        ("sample", 5),
        ("flush_interval", 0),
        ("flush_interval", float("nan")),
        ("batch_rows", 0),
        ("max_features", 1.5),
        ("queue_calls", -5),
        ("duty", [1]),
        ("span_rate", -1),
        ("span_features", 1),
        ("exit_timeout", object()),
        ("keep", 5),
        ("keep", ["eror"]),
        ("keep_rule", 5),
        ("reference", 5),
        ("pii_region", "Germany"),
    ],
)
def test_a_keyword_that_cannot_be_used_is_named_and_its_default_taken(
    caplog: pytest.LogCaptureFixture, option: str, given: Any
) -> None:
    assert getattr(config.load({}, **{option: given}), option) == getattr(DEFAULT, option)
    assert f"{config.PREFIX}{option.upper()}={given!r} is ignored" in caplog.text
    assert "could not convert" not in caplog.text
    assert "invalid literal" not in caplog.text


@pytest.mark.parametrize(
    ("option", "given", "wanted"),
    [
        ("SAMPLE", "10%", "must be a number above 0, at most 1, such as 0.1 for 10%"),
        ("DUTY", "ten", "must be a number above 0"),
        ("SPAN_RATE", "10/s", "must be 0 or a number above 0"),
        ("QUEUE_BYTES", "1e6", "must be a whole number above 0"),
        ("KEEP", "uncertain:5%", "'5%' must be a number between 0 and 1"),
        ("KEEP", "slow:p100", "'100' must be a number between 0 and 100"),
        ("KEEP", "slow:quick ms", "'quick ' must be a number above 0"),
    ],
)
def test_what_is_no_number_is_answered_with_the_numbers_that_are_taken(
    caplog: pytest.LogCaptureFixture, option: str, given: str, wanted: str
) -> None:
    config.load({config.PREFIX + option: given})
    (said,) = [record.getMessage() for record in caplog.records]
    assert f"{option}={given!r} is ignored: {wanted}; using " in said


def large(rows: Any) -> list[bool]:
    return []


@pytest.mark.parametrize(
    ("option", "given", "read"),
    [
        ("reference", False, "off"),  # as YAML reads `off`
        ("reference", True, "auto"),
        ("pii", False, None),
        ("tensors", False, "none"),
        ("capture", False, frozenset()),
        ("capture", True, None),
        ("capture", [], frozenset()),
        ("capture", ["age", "zip"], frozenset({"age", "zip"})),
        ("capture", {"age"}, frozenset({"age"})),
        ("keep", ["error", "slow:250ms"], KeepRules(errors=True, slow_seconds=0.25)),
        ("keep", False, KeepRules()),
        ("keep", KeepRules(margin=0.5), KeepRules(margin=0.5)),
        ("keep_rule", large, large),
        ("model_name", 7, "7"),
        ("sample", "0.5", 0.5),
        ("sample", None, 1.0),
        ("exit_timeout", None, 5.0),
        ("features", [], ()),
        ("features", False, ()),
        ("features", "drop", (("*", Action("drop")),)),
        ("features", " =bucket:10 , age=mask", (("*", Action("bucket", 10.0)), ("age", Action("mask")))),
        ("pii_region", " de", "DE"),
    ],
)
def test_a_keyword_may_be_what_yaml_or_a_program_writes(option: str, given: Any, read: Any) -> None:
    assert getattr(config.load({}, **{option: given}), option) == read


@pytest.mark.parametrize("option", ["sample", "keep", "hash_key_file", "reference", "model_name"])
def test_an_empty_variable_is_not_set(caplog: pytest.LogCaptureFixture, option: str) -> None:
    assert config.load({config.PREFIX + option.upper(): ""}) == DEFAULT
    assert not caplog.records


def test_a_variable_that_there_is_not_is_named(caplog: pytest.LogCaptureFixture) -> None:
    assert config.load({config.PREFIX + "FETURES": "ssn=drop", "OTEL_SERVICE_NAME": "x"}) == DEFAULT
    assert [one.message for one in caplog.records] == [f"There is no option {config.PREFIX}FETURES; it is ignored."]


@pytest.mark.parametrize(
    "given", [["ssn"], "ssn", [("ssn", "drop")], {"ssn": ["drop"]}, {"ssn": None}, 5, [{"ssn": "drop"}]]
)
def test_whatever_is_given_as_rules_does_not_let_the_named_feature_out(given: Any) -> None:
    rules = config.load({}, features=given).features
    assert rules
    action = find_action(rules, "5" if given == 5 else "ssn")
    assert action is not None
    assert action.kind == DROP


@pytest.mark.parametrize("given", [{"age": True}, object()])
def test_what_is_no_choice_of_features_lets_none_out(caplog: pytest.LogCaptureFixture, given: Any) -> None:
    assert config.load({}, capture=given).capture == frozenset()
    assert "none is captured" in caplog.text


@pytest.mark.parametrize("given", ["of", {}, 5])
def test_what_is_no_choice_of_tensors_lets_none_out(caplog: pytest.LogCaptureFixture, given: Any) -> None:
    assert config.load({}, tensors=given).tensors == "none"
    assert "no tensor is captured" in caplog.text


@pytest.mark.parametrize("key", [b"\xff0123456789abcdef", "0123456789abcdef"])
def test_a_key_may_be_bytes(key: bytes | str) -> None:
    assert hash_key(config.load({}, hash_key=key)) == (key if isinstance(key, bytes) else key.encode())


def test_a_secret_is_not_shown_when_it_cannot_be_used(caplog: pytest.LogCaptureFixture) -> None:
    class Key:
        def __str__(self) -> str:
            raise ValueError("no text")

        def __repr__(self) -> str:
            return "Zwetschge"

    assert config.load({}, hash_key=Key()).hash_key is None
    assert "Zwetschge" not in caplog.text
    assert "HASH_KEY" in caplog.text

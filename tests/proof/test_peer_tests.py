"""The comparison of a library's tests with and without instrumentation finds what differs, and hides nothing."""

from __future__ import annotations

import textwrap
from pathlib import Path

from proof.compared import AGAIN, INSTRUMENTED, PLAIN, caused, differences, fails, rows, said_by
from proof.peer_tests import Suite, compare, run

INNOCENT = """
    import numpy as np
    import pytest
    from sklearn.linear_model import LinearRegression

    def test_predicts():
        model = LinearRegression().fit(np.eye(3), np.arange(3))
        assert model.predict(np.eye(3)).shape == (3,)

    def test_fails():
        raise ValueError(f"always, {object()}")

    def test_skipped():
        pytest.skip("always")

    @pytest.mark.xfail
    def test_expected_to_fail():
        raise KeyError
"""
SENSITIVE = """
    from sklearn.linear_model import LinearRegression

    def test_method_is_as_scikit_learn_has_it():
        assert not hasattr(LinearRegression.predict, "__wrapped__")
"""


def _compared(folder: Path, tests: str) -> tuple[dict[str, dict[str, str]], dict[str, object]]:
    peers = folder / "peers"
    peers.mkdir()
    (peers / "test_of_a_peer.py").write_text(textwrap.dedent(tests))
    return compare(Suite("scikit-learn", ".", ("test_of_a_peer.py",)), peers, folder)


def test_tests_that_instrumentation_does_not_change_have_the_same_outcome_and_rows_are_recorded(tmp_path: Path) -> None:
    found, recorded = _compared(tmp_path, INNOCENT)
    assert found[PLAIN] == found[INSTRUMENTED]
    assert AGAIN not in found
    assert sorted(said.partition(":")[0] for said in found[PLAIN].values()) == [
        "1",
        "failed",
        "passed",
        "skipped",
        "xfailed",
    ]
    assert caused(found) == []
    assert rows(recorded) == 3


def test_a_test_that_instrumentation_changes_is_found(tmp_path: Path) -> None:
    found, recorded = _compared(tmp_path, SENSITIVE)
    changed = "test_of_a_peer.py::test_method_is_as_scikit_learn_has_it"
    assert caused(found) == ["exit status of pytest", changed]
    assert found[PLAIN][changed] == found[AGAIN][changed] == "passed"
    assert any(changed in line for line in differences(found))
    assert rows(recorded) == 0


def test_tests_of_an_installed_package_are_named_by_their_whole_path(tmp_path: Path) -> None:
    found, _ = run(Suite("scikit-learn", "", ("sklearn.frozen", "sklearn.tests.test_init")), PLAIN, tmp_path, tmp_path)
    assert {check.partition("::")[0] for check in found if "::" in check} == {
        "sklearn/frozen/tests/test_frozen.py",
        "sklearn/tests/test_init.py",
    }


def test_a_test_that_differs_between_two_plain_runs_is_said_but_not_counted_as_ours() -> None:
    found = {PLAIN: {"a": "passed"}, INSTRUMENTED: {"a": "failed"}, AGAIN: {"a": "failed"}}
    assert caused(found) == []
    assert "* `a`: plain: passed; instrumented: failed; plain again: failed" in differences(found)


def test_messages_that_differ_in_addresses_and_the_time_of_day_alone_are_the_same() -> None:
    thing, other = object(), object()
    one = said_by(ValueError(f"at 10:20:30 {thing} of {id(thing)} is not 0.12345678901234"))
    assert one == said_by(ValueError(f"at 11:20:30 {other} of {id(other)} is not 0.12345678901234"))
    assert one != said_by(ValueError(f"at 11:20:30 {other} of {id(other)} is not 0.12345678901235"))


def test_a_test_that_is_missing_in_one_run_is_a_difference() -> None:
    assert caused({PLAIN: {"a": "passed"}, INSTRUMENTED: {}, AGAIN: {"a": "passed"}}) == ["a"]


def test_a_run_in_which_nothing_was_recorded_fails() -> None:
    same = {PLAIN: {"a": "passed"}, INSTRUMENTED: {"a": "passed"}}
    assert fails(same, {})
    assert fails(same, {"counts": {"spans": 5}})
    assert not fails(same, {"counts": {"rows": 5}})

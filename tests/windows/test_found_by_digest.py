"""A model that has no reference under its own name is compared with what the same fitted model was trained on."""

from __future__ import annotations

import numpy as np
from windows.lab import KEY, Lab, window_times

from modelspan.processor.windows import ModelKey

TRAINED = ModelKey("training", "", "LogisticRegression", "fit-77")
RNG = np.random.default_rng(5)
USUAL, HIGH = RNG.normal(size=3000), RNG.normal(5, 1, 3000)


def predict(lab: Lab, window: int = 0) -> None:
    lab.predict(window_times(400, window), {"x": RNG.normal(size=400)})
    lab.settle()


def verdict(lab: Lab) -> tuple[str, str, str]:
    """Status, reference and its source of the only feature in the only window."""
    row = lab.drift()["feature", "x"]
    return row["status"], row["reference_id"], row["reference_source"]


def test_it_is_compared_with_the_reference_of_its_fit(lab: Lab) -> None:
    lab.loaded(TRAINED, "77")
    lab.loaded(KEY, "77")
    lab.reference({"x": USUAL}, key=TRAINED, model_digest="77", source="fit")
    predict(lab)
    assert verdict(lab) == ("ok", "train", "fit")


def test_drift_is_found_against_it(lab: Lab) -> None:
    lab.loaded(KEY, "77")
    lab.reference({"x": HIGH}, key=TRAINED, model_digest="77")
    predict(lab)
    assert verdict(lab)[0] == "drifted"


def test_a_reference_under_its_own_name_comes_first(lab: Lab) -> None:
    lab.loaded(KEY, "77")
    lab.reference({"x": USUAL}, reference_id="own", source="fit")
    lab.reference({"x": HIGH}, key=TRAINED, model_digest="77", reference_id="same", created=9.0)
    predict(lab)
    assert verdict(lab) == ("ok", "own", "fit")


def test_the_reference_of_another_fit_is_not_used(lab: Lab) -> None:
    lab.loaded(KEY, "77")
    lab.loaded(KEY._replace(model_version="4"), "88")
    lab.reference({"x": USUAL}, key=TRAINED, model_digest="88")
    lab.reference({"x": USUAL}, key=TRAINED._replace(model_version="fit-0"), model_digest="")
    predict(lab)
    assert verdict(lab)[0] == "no_reference"


def test_a_model_of_which_no_digest_is_known_has_none(lab: Lab) -> None:
    lab.loaded(KEY, None)
    lab.reference({"x": USUAL}, key=TRAINED, model_digest="")
    predict(lab)
    assert verdict(lab)[0] == "no_reference"


def test_the_latest_fit_under_a_name_counts(lab: Lab) -> None:
    for digest in ("66", "77", None):
        lab.loaded(KEY, digest)
    lab.reference({"x": HIGH}, key=TRAINED, model_digest="66", reference_id="first", created=9.0)
    lab.reference({"x": USUAL}, key=TRAINED, model_digest="77", reference_id="second")
    predict(lab)
    assert verdict(lab) == ("ok", "second", "training")


def test_windows_are_judged_again_when_the_reference_comes_later(lab: Lab) -> None:
    lab.loaded(KEY, "77")
    predict(lab)
    assert verdict(lab)[0] == "no_reference"
    lab.reference({"x": USUAL}, key=TRAINED, model_digest="77")
    lab.evaluator.reference_changed(TRAINED.model_name, TRAINED.model_version)
    assert lab.settle() == 1
    assert verdict(lab) == ("ok", "train", "training")

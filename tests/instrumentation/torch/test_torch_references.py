"""A reference of a module has the features that its predictions have, in whichever form the program gives the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from modelspan.instrumentation import flush, set_reference
from modelspan.profile import from_json
from modelspan.semconv import events
from tests.instrumentation.torch.test_torch_tensors import features

X = torch.randn(200, 3, generator=torch.Generator().manual_seed(3))
IDS = torch.arange(200) % 7
IMAGES = torch.rand(120, 3, 8, 8, generator=torch.Generator().manual_seed(4))


class Embeds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 3)

    def forward(self, x: Any, ids: Any) -> Any:
        return x + self.table(ids)


class TakesBatch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, batch: Any) -> Any:
        return self.linear(batch["x"])


def profile(telemetry: Any) -> dict[str, Any]:
    assert flush()
    (event,) = telemetry.events(events.ML_REFERENCE_PROFILE)
    return {s.name: s for s in from_json(event.attributes["ml.reference.profile.data"]).series if s.kind == "feature"}


def check(telemetry: Any, module: nn.Module, x: Any, *args: Any) -> None:
    """The reference `x` has the features, and of each the mean or the values, of a prediction of the same rows."""
    assert set_reference(module.eval(), x)
    with torch.inference_mode():
        module(*args)
    reference, predicted = profile(telemetry), features(telemetry.batch())
    assert reference.keys() == predicted.keys()
    for name, values in predicted.items():
        series = reference[name]
        assert series.rows == len(values)
        if isinstance(values[0], str):
            assert list(series.categories) == sorted(set(values))
        else:
            assert series.mean == pytest.approx(np.mean(values), abs=1e-6)


FORMS: dict[str, Callable[[], Any]] = {
    "tensor": lambda: X,
    "arguments": lambda: (X,),
    "array": X.numpy,
    "wider array": lambda: X.numpy().astype(np.float64),
    "list": X.tolist,
    "frame": lambda: pd.DataFrame(X.numpy().astype(np.float64), columns=["a", "b", "c"]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tensors", ["summary", "values"])
def test_a_table_is_read_as_the_tensor_that_is_made_of_it(
    instrument: Callable[..., Any], form: str, tensors: str
) -> None:
    check(instrument(tensors=tensors), nn.Linear(3, 2), FORMS[form](), X)


@pytest.mark.parametrize("x", [IMAGES, IMAGES.contiguous(memory_format=torch.channels_last)])
def test_images_are_summarised(torch_telemetry: Any, x: Any) -> None:
    check(torch_telemetry, nn.Conv2d(3, 2, 3), x, IMAGES)


@pytest.mark.parametrize("x", [(X, IDS), {"ids": IDS, "x": X}], ids=["by position", "by name"])
def test_several_arguments_are_told_by_position_or_name(torch_telemetry: Any, x: Any) -> None:
    check(torch_telemetry, Embeds(), x, X, IDS)


def test_a_mapping_is_one_argument_where_the_module_has_no_such_parameters(torch_telemetry: Any) -> None:
    check(torch_telemetry, TakesBatch(), {"x": X}, {"x": X})


def test_of_many_long_rows_some_are_a_reference_and_all_have_predictions(torch_telemetry: Any) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4000, 2)).eval()
    assert set_reference(module, torch.rand(2000, 4000), predictions=module)
    assert 100 < profile(torch_telemetry)["input.norm"].rows < 2000


@pytest.mark.parametrize("x", [torch.utils.data.TensorDataset(X), "rows.csv", {"x": ["a"]}])
def test_what_holds_no_tensor_is_refused(torch_telemetry: Any, caplog: pytest.LogCaptureFixture, x: Any) -> None:
    assert not set_reference(nn.Linear(3, 2), x)
    assert "no rows can be read from" in caplog.text


def test_tensors_that_are_withheld_make_no_reference(
    instrument: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = instrument(tensors="none")
    assert not set_reference(nn.Linear(3, 2), X)
    assert "withholds them" in caplog.text
    assert telemetry.events(events.ML_REFERENCE_PROFILE) == []

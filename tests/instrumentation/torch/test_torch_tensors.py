"""What arrives of tensors: summaries of their rows, or their values, and never anything that the program could notice."""

from __future__ import annotations

import warnings
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from modelspan.instrumentation.recorder.tensors import MAX_WIDTH, PROJECTIONS, projection
from modelspan.instrumentation.torch.capture import COPY_BYTES
from modelspan.semconv import attributes as ml

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(6, 5, generator=GENERATOR)


class Returns(nn.Module):
    """Takes anything and returns what it was made with, or what it was given first."""

    def __init__(self, result: Any = None) -> None:
        super().__init__()
        self.result = result

    def forward(self, x: Any = None, mask: Any = None, **others: Any) -> Any:
        return x if self.result is None else self.result


def features(table: pa.Table) -> dict[str, list[Any]]:
    prefix = "feature."
    return {n.removeprefix(prefix): table[n].to_pylist() for n in table.column_names if n.startswith(prefix)}


def outputs(table: pa.Table) -> dict[str, list[Any]]:
    heads = ("label", "score", "value")
    return {n: table[n].to_pylist() for n in table.column_names if n.partition(".")[0] in heads}


@torch.no_grad()
def call(*args: Any, result: Any = None, **kwargs: Any) -> Any:
    return Returns(result).eval()(*args, **kwargs)


def test_a_row_is_summarised(torch_telemetry: Any) -> None:
    values = X.clone()
    values[0, 0], values[1, 0] = 0, float("nan")
    call(values)
    found = features(torch_telemetry.batch())
    finite = np.nan_to_num(values.numpy().astype(np.float64))
    assert found["x.shape"] == ["5"] * 6
    assert found["x.dtype"] == ["float32"] * 6
    assert found["x.norm"] == pytest.approx(np.linalg.norm(finite, axis=1))
    assert found["x.mean"] == pytest.approx(finite.mean(axis=1))
    assert found["x.std"] == pytest.approx(finite.std(axis=1))
    assert found["x.zeros"] == pytest.approx([0.2, 0, 0, 0, 0, 0])
    assert found["x.nan"] == pytest.approx([0, 0.2, 0, 0, 0, 0])
    projected = finite.astype(np.float32) @ projection("x", 5)
    assert [found[f"x.p{j}"] for j in range(PROJECTIONS)] == [pytest.approx(column) for column in projected.T]


def test_projections_keep_distances_and_are_the_same_in_every_process(program: Callable[..., str]) -> None:
    source = "from modelspan.instrumentation.recorder.tensors import projection\nprint(projection('x', 3).tolist())"
    assert program(source, prelude="") == str(projection("x", 3).tolist())
    shorter, longer = projection("x", 100), projection("x", 400)
    assert np.allclose(longer[:100] * 2, shorter)  # of one sequence, scaled by the width
    points = np.random.default_rng(0).normal(size=(200, 400)).astype(np.float32)
    kept = np.square(points @ longer).sum(axis=1) / np.square(points).sum(axis=1) * 400 / PROJECTIONS
    assert kept.mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "dtype", ["float64", "float16", "bfloat16", "int64", "int8", "uint8", "uint16", "bool", "complex64"]
)
def test_numbers_of_any_type_are_summarised(torch_telemetry: Any, dtype: str) -> None:
    values = (X * 3).abs().to(getattr(torch, dtype))
    assert call(values) is values
    found = features(torch_telemetry.batch())
    assert found["x.dtype"] == [dtype] * 6
    expected = values.abs() if dtype == "complex64" else values
    assert found["x.mean"] == pytest.approx(expected.double().mean(dim=1).tolist(), rel=1e-6)


STRANGE: dict[str, Callable[[], torch.Tensor]] = {
    "sparse": X.to_sparse,
    "csr": X.to_sparse_csr,
    "quantised": lambda: torch.quantize_per_tensor(X, 0.1, 0, torch.qint8),
    "float8": lambda: X.to(torch.float8_e4m3fn),
    "meta": lambda: X.to("meta"),
    "conjugate": lambda: torch.randn(6, 2, dtype=torch.complex64).conj(),
    "negative": lambda: torch.randn(6, 2, dtype=torch.complex64).conj().imag,
    "nested": lambda: torch.nested.nested_tensor([X[:1], X[:2], X[:3], X[:4], X[:5], X]),
    "subclass": lambda: X.as_subclass(type("Mine", (torch.Tensor,), {})),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", STRANGE)
def test_tensors_without_readable_memory_are_counted_by_shape_alone(torch_telemetry: Any, kind: str) -> None:
    tensor = STRANGE[kind]()
    assert call(tensor) is tensor
    ((attributes, table),) = torch_telemetry.batches()
    found = features(table)
    assert len(found["x.shape"]) == 6
    assert "x.norm" not in found
    assert attributes[ml.ML_CAPTURE_UNREADABLE] == ("device" if kind == "meta" else "unknown_type")


def test_an_input_that_is_not_copied_is_said_to_be_too_large_and_leaves_the_other_inputs(torch_telemetry: Any) -> None:
    call(X[:1], torch.zeros(1, 4), result=X[:1, 0])
    call(X[:1], torch.zeros(COPY_BYTES // 4 + 1), result=X[:1, 0])
    call(X[:1], result=X[:1, 0])
    found = {
        (attributes.get(ml.ML_CAPTURE_UNREADABLE), "mask.shape" in features(table), "mask.norm" in features(table))
        for attributes, table in torch_telemetry.batches()
        if "x.norm" in features(table)
    }
    assert found == {(None, True, True), ("too_large", True, False), (None, False, False)}


def test_layouts_in_memory_make_no_difference(torch_telemetry: Any) -> None:
    for values in (
        X,
        X.t().contiguous().t(),
        torch.cat([X, X], dim=1)[:, :5],
        X.repeat(1, 2)[:, ::2].contiguous()[:, :3],
    ):
        call(values)
    tables = [features(table) for _, table in torch_telemetry.batches()]
    rows = [list(column) for column in zip(*[table["x.p0"] for table in tables[:-1]], strict=True)]
    assert all(len({round(value, 5) for value in row}) == 1 for row in rows)


def test_empty_batches_single_numbers_and_rows_without_numbers(torch_telemetry: Any) -> None:
    assert call(X[:0]).shape == (0, 5)
    call(torch.tensor(2.0))
    call(torch.zeros(3, 0))
    tables = [table for _, table in torch_telemetry.batches()]
    assert [table.num_rows for table in tables] == [1, 3]
    assert outputs(tables[0]) == {"value": [2.0]}


@dataclass
class Output:
    logits: torch.Tensor
    loss: torch.Tensor | None = None
    hidden: Any = None


Pair = namedtuple("Pair", ["boxes", "count"])


def test_arguments_in_collections_are_named_by_where_they_are(torch_telemetry: Any) -> None:
    call({"ids": X, "parts": [X, (X[:, :2], "text")]}, X[:, :1], temperature=torch.tensor(0.5), depth=3)
    names = {name.rpartition(".")[0] for name in features(torch_telemetry.batch())}
    assert names == {"x.ids", "x.parts.0", "x.parts.1.0", "mask", "temperature"}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (X[:, 0], {"value"}),
        (X[:, :1], {"value"}),
        (X[:, :2], {"score", "score.0", "score.1"}),
        (X[:, :3].argmax(dim=1), {"label"}),
        (X.reshape(6, 5, 1)[:, :2], {"value.0", "value.1"}),
        (Output(X[:, :2], hidden=(X[:, :1],)), {"score", "score.0", "score.1", "value.hidden.0"}),
        (Pair(X[:, :2], X[:, 0].long()), {"score", "score.0", "score.1", "label.count"}),
        ({"a": X[:, 0], "b": [X[:, 1]]}, {"value", "value.b.0"}),
        ((X[:2], X[:, 0]), {"value"}),
    ],
)
def test_outputs_are_the_prediction(torch_telemetry: Any, result: Any, expected: set[str]) -> None:
    assert call(X, result=result) is result
    assert set(outputs(torch_telemetry.batch())) == expected


def test_logits_are_scores_by_class(torch_telemetry: Any) -> None:
    call(X, result=X)
    found = outputs(torch_telemetry.batch())
    assert found["score"] == pytest.approx(X.max(dim=1).values.tolist())
    assert [found[f"score.{i}"] for i in range(5)] == [pytest.approx(X[:, i].tolist()) for i in range(5)]


def test_an_embedding_is_summarised(torch_telemetry: Any) -> None:
    embedding = torch.randn(6, 384, generator=GENERATOR)
    call(X, result=embedding)
    found = outputs(torch_telemetry.batch())
    assert set(found) == {
        f"value.{key}" for key in ("norm", "mean", "std", "zeros", "nan", *[f"p{j}" for j in range(8)])
    }
    assert found["value.norm"] == pytest.approx(embedding.norm(dim=1).tolist(), rel=1e-5)


def test_values_are_features_where_they_are_asked_for(instrument: Callable[..., Any]) -> None:
    telemetry = instrument(tensors="values")
    call(X)
    call(X, X[:, :1])
    one, two = (features(table) for _, table in telemetry.batches())
    assert one == {f"x{i}": X[:, i].tolist() for i in range(5)}
    assert set(two) == {f"x.{i}" for i in range(5)} | {"mask.0"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tensors": "none"}, {ml.ML_CAPTURE_UNREADABLE: "withheld"}),
        ({"capture": "none"}, {ml.ML_CAPTURE_FEATURES: "none"}),
    ],
)
def test_nothing_of_the_inputs_leaves_where_that_is_asked_for(
    instrument: Callable[..., Any], options: dict[str, str], said: dict[str, str]
) -> None:
    telemetry = instrument(**options)
    call(X, result=X[:, 0])
    ((attributes, table),) = telemetry.batches()
    assert features(table) == {}
    assert outputs(table) == {"value": pytest.approx(X[:, 0].tolist())}
    assert {name: value for name, value in attributes.items() if name.startswith("ml.capture.")} == said


def test_of_a_large_call_rows_are_sampled_and_weighted(torch_telemetry: Any) -> None:
    rows = 100_000
    numbers = torch.arange(rows, dtype=torch.float32)[:, None].repeat(1, 20)
    call(numbers)
    tables = [table for _, table in torch_telemetry.batches()]
    kept = sum(table.num_rows for table in tables)
    assert 0 < kept <= COPY_BYTES // 80
    assert sum(sum(table["weight"].to_pylist()) for table in tables) == pytest.approx(rows)
    for table in tables:  # the outputs are those of the same rows
        assert features(table)["x.mean"] == table["score.0"].to_pylist()


def test_outputs_may_be_larger_than_inputs(torch_telemetry: Any) -> None:
    scores = torch.randn(5_000, 90, generator=GENERATOR)
    call(torch.ones(5_000, 2), result=scores)
    found = [value for _, table in torch_telemetry.batches() for value in table["score"].to_pylist()]
    assert scores.nbytes > COPY_BYTES
    assert found == pytest.approx(scores.max(dim=1).values.tolist())


@pytest.mark.parametrize("format_", [torch.contiguous_format, torch.channels_last])
def test_of_a_wide_row_every_kth_number_is_summarised(torch_telemetry: Any, format_: torch.memory_format) -> None:
    images = torch.randn(3, 3, 256, 256, generator=GENERATOR) * torch.tensor([1.0, 2.0, 3.0])[:, None, None, None]
    images = images.to(memory_format=format_)
    call(images)
    found = features(torch_telemetry.batch())
    assert found["x.shape"] == ["3x256x256"] * 3
    assert found["x.norm"] == pytest.approx(images.flatten(1).norm(dim=1).tolist(), rel=0.03)
    assert MAX_WIDTH < 3 * 256 * 256


def test_what_happens_to_a_tensor_after_the_call_is_not_recorded(torch_telemetry: Any) -> None:
    array = np.ones((2, 4), dtype=np.float32)
    shared = torch.from_numpy(array)
    call(shared)
    array[:] = 5  # through memory that PyTorch does not watch
    with torch.inference_mode():
        call(torch.ones(2, 4)).add_(7)  # where tensors have no version
    means = [mean for _, table in torch_telemetry.batches() for mean in features(table)["x.mean"]]
    assert means == [1.0] * 4


def test_a_tensor_stays_as_it_is(torch_telemetry: Any) -> None:
    tensor = torch.ones(2, 4, requires_grad=False)
    version = tensor._version
    call(tensor)
    assert tensor._version == version
    assert tensor.untyped_storage().resizable()  # Tensor.numpy() would end that


def test_numbers_too_large_for_their_squares_are_no_warning(torch_telemetry: Any) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call(torch.tensor([[1e300, -1e308]], dtype=torch.float64))
        call(torch.full((1, 4), 3e38))
        assert torch_telemetry.rows() == 2
    assert said == []

"""Tensors of more than two dimensions, or of very many columns, are recorded as summaries, and sessions return what they did."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from opentelemetry.instrumentation.utils import suppress_instrumentation

from modelspan.instrumentation import flush, set_reference
from modelspan.instrumentation.onnxruntime.packing import MAX_WIDTH
from modelspan.instrumentation.recorder.tensors import MAX_WIDTH as MAX_NUMBERS
from modelspan.instrumentation.recorder.tensors import projection, step_of
from modelspan.profile import from_json
from modelspan.semconv import events
from tests.instrumentation.onnxruntime.conftest import session

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(4, 3, 8, 8)).astype(np.float32)
TABLE = RANDOM.normal(size=(4, 2)).astype(np.float32)
TOKENS = RANDOM.integers(0, 100, size=(4, MAX_WIDTH + 1))


def model(inputs: dict[str, Any], outputs: dict[str, int], *nodes: Any, weights: Any = ()) -> ort.InferenceSession:
    """A session of a graph, given examples of its inputs, and types of its outputs."""

    def described(name: str, kind: int, shape: Any = None) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    found = [
        described(name, helper.np_dtype_to_tensor_dtype(one.dtype), [None, *one.shape[1:]])
        for name, one in inputs.items()
    ]
    graph = helper.make_graph(
        list(nodes), "g", found, [described(name, kind) for name, kind in outputs.items()], list(weights)
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
    made.ir_version = 8
    return session(made)


def network() -> ort.InferenceSession:
    """A convolution, and a number for each image."""
    weights = numpy_helper.from_array(RANDOM.normal(size=(2, 3, 3, 3)).astype(np.float32), "w")
    return model(
        {"image": IMAGES},
        {"map": TensorProto.FLOAT, "mean": TensorProto.FLOAT},
        helper.make_node("Conv", ["image", "w"], ["map"]),
        helper.make_node("ReduceMean", ["map"], ["mean"], axes=[1, 2, 3], keepdims=0),
        weights=[weights],
    )


def identity(example: Any, name: str = "x") -> ort.InferenceSession:
    kind = helper.np_dtype_to_tensor_dtype(example.dtype)
    return model({name: example}, {"y": kind}, helper.make_node("Identity", [name], ["y"]))


def columns(telemetry: Any, *prefixes: str) -> dict[str, list[Any]]:
    table = telemetry.batch()
    return {name: table.column(name).to_pylist() for name in table.column_names if name.startswith(prefixes)}


def norms(values: Any) -> Any:
    return pytest.approx(np.linalg.norm(values.reshape(len(values), -1).astype(np.float64), axis=1), rel=1e-6)


def test_an_image_is_recorded_as_its_summary_and_the_network_returns_what_it_did(sessions: Any) -> None:
    net = network()
    with suppress_instrumentation():
        plain = net.run(None, {"image": IMAGES})
    found = net.run(None, {"image": IMAGES})
    for one, other in zip(plain, found, strict=True):
        np.testing.assert_array_equal(one, other)
    kept = columns(sessions, "feature.", "value")
    flat = IMAGES.reshape(4, -1).astype(np.float64)
    assert kept["feature.image.shape"] == ["3x8x8"] * 4
    assert kept["feature.image.dtype"] == ["float32"] * 4
    assert kept["feature.image.norm"] == norms(IMAGES)
    assert kept["feature.image.mean"] == pytest.approx(flat.mean(axis=1), abs=1e-6)
    assert kept["feature.image.std"] == pytest.approx(flat.std(axis=1), rel=1e-6)
    projected = IMAGES.reshape(4, -1) @ projection("image", flat.shape[1])
    for j in range(8):
        assert kept[f"feature.image.p{j}"] == pytest.approx(projected[:, j], abs=1e-5)
    assert kept["value"] == pytest.approx(plain[1])
    assert kept["value.map.71"] == plain[0].reshape(4, -1)[:, 71].astype(float).tolist()


def test_a_long_output_is_a_summary_and_a_short_one_its_numbers(sessions: Any) -> None:
    long, short = IMAGES, IMAGES[:, :, :2, :2]
    identity(long).run(None, {"x": long})
    assert columns(sessions, "value.norm") == {"value.norm": norms(long)}
    identity(short, "s").run(None, {"s": short})
    table = sessions.batches()[-1][1]
    assert table.column("value.5").to_pylist() == short.reshape(4, -1)[:, 5].astype(float).tolist()


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "int8", "uint16", "bool"])
@pytest.mark.parametrize("shape", [(4, 3, 5), (1, 2, 2, 2), (4, MAX_WIDTH + 1), (3, 2, MAX_NUMBERS)])
def test_numbers_of_every_type_are_summarised(sessions: Any, dtype: str, shape: tuple[int, ...]) -> None:
    given = (RANDOM.normal(size=shape) * 3).astype(dtype)
    (returned,) = identity(given).run(None, {"x": given})
    np.testing.assert_array_equal(returned, given)
    kept = columns(sessions, "feature.")
    flat = given.reshape(len(given), -1).astype(np.float64)
    taken = flat[:, :: step_of(flat.shape[1])]
    scale = np.sqrt(flat.shape[1] / taken.shape[1])
    assert kept["feature.x.norm"] == pytest.approx(np.linalg.norm(taken, axis=1) * scale, rel=1e-5)
    assert kept["feature.x.zeros"] == pytest.approx((taken == 0).mean(axis=1), abs=1e-6)
    assert set(kept["feature.x.dtype"]) == {dtype}


@pytest.mark.parametrize("shape", [(4,), (4, 3)])
def test_a_short_output_of_a_type_that_numpy_does_not_have_is_its_numbers(
    sessions: Any, shape: tuple[int, ...]
) -> None:
    given = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)
    net = model({"x": given}, {"y": TensorProto.BFLOAT16}, cast)
    (found,) = net.run_with_ort_values(None, {"x": ort.OrtValue.ortvalue_from_numpy(given)})
    assert found.data_type() == "tensor(bfloat16)"
    kept = columns(sessions, "value", "score")
    assert list(kept.values())[-1] == given.reshape(4, -1)[:, -1].tolist()


def test_inputs_of_any_dimension_are_features_under_their_names(sessions: Any) -> None:
    given = {"image": IMAGES, "table": TABLE, "tokens": TOKENS, "age": np.arange(4.0)}
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in given]
    outputs = {f"{name}_out": helper.np_dtype_to_tensor_dtype(one.dtype) for name, one in given.items()}
    returned = model(given, outputs, *nodes).run(None, given)
    for one, other in zip(given.values(), returned, strict=True):
        np.testing.assert_array_equal(one, other)
    kept = columns(sessions, "feature.", "label", "value", "score")
    assert kept["feature.image.norm"] == norms(IMAGES)
    assert kept["feature.tokens.norm"] == norms(TOKENS)
    assert kept["feature.tokens.p0"] == pytest.approx((TOKENS @ projection("tokens", MAX_WIDTH + 1))[:, 0], rel=1e-4)
    assert kept["feature.table.1"] == TABLE[:, 1].astype(float).tolist()
    assert kept["feature.age"] == [0.0, 1.0, 2.0, 3.0]
    assert kept["value.image_out.norm"] == norms(IMAGES)
    assert kept["value.tokens_out.norm"] == norms(TOKENS)


def by_name(net: Any, given: Any) -> Any:
    return net.run(None, {"x": given})[0]


def by_ort_value(net: Any, given: Any) -> Any:
    return net.run_with_ort_values(None, {"x": ort.OrtValue.ortvalue_from_numpy(given)})[0].numpy()


def by_binding(net: Any, given: Any) -> Any:
    binding = net.io_binding()
    binding.bind_cpu_input("x", given)
    binding.bind_output("y")
    net.run_with_iobinding(binding)
    return binding.copy_outputs_to_cpu()[0]


def by_bound_ort_value(net: Any, given: Any) -> Any:
    binding = net.io_binding()
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(given))
    binding.bind_output("y")
    net.run_with_iobinding(binding)
    return binding.get_outputs()[0].numpy()


def by_callback(net: Any, given: Any) -> Any:
    found: list[Any] = []
    done = threading.Event()
    net.run_async(None, {"x": given}, lambda outputs, _, __: (found.extend(outputs), done.set()), None)
    assert done.wait(10)
    return found[0]


WAYS = [by_name, by_ort_value, by_binding, by_bound_ort_value, by_callback]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("given", [IMAGES, IMAGES.astype(np.float16), TOKENS, IMAGES[:0]], ids=["f4", "f2", "i8", "0"])
def test_a_tensor_is_recorded_alike_whichever_way_the_session_is_run(sessions: Any, way: Any, given: Any) -> None:
    returned = way(identity(given), given)
    assert returned.dtype == given.dtype
    np.testing.assert_array_equal(returned, given)
    if len(given):
        kept = columns(sessions, "feature.x.norm", "value.norm")
        assert kept == {"feature.x.norm": norms(given), "value.norm": norms(given)}


def test_what_does_not_lie_in_order_is_read_in_order(sessions: Any) -> None:
    given = RANDOM.normal(size=(300, 200, 2)).astype(np.float32).T
    identity(given).run(None, {"x": given})
    taken = given.reshape(2, -1)[:, :: step_of(60_000)].astype(np.float64)
    expected = np.linalg.norm(taken, axis=1) * np.sqrt(60_000 / taken.shape[1])
    assert columns(sessions, "feature.x.norm") == {"feature.x.norm": pytest.approx(expected, rel=1e-6)}


@pytest.mark.parametrize("transposed", [False, True])
def test_of_a_large_tensor_a_sample_of_rows_is_kept_with_its_weight(
    sessions_with: Callable[..., Any], transposed: bool
) -> None:
    telemetry = sessions_with(call_bytes=100_000)
    given = np.repeat(np.arange(1000, dtype=np.float32), 200).reshape(1000, 10, 20)
    given = np.asfortranarray(given) if transposed else given
    identity(given).run(None, {"x": given})
    kept = columns(telemetry, "feature.x.mean", "feature.x.norm", "weight", "value.norm")
    rows = len(kept["weight"])
    assert 100 <= rows < 1000
    assert sum(kept["weight"]) == pytest.approx(1000)
    assert len(set(kept["feature.x.mean"])) == rows
    assert kept["feature.x.norm"] == pytest.approx(np.array(kept["feature.x.mean"]) * np.sqrt(200), rel=1e-6)
    assert kept["value.norm"] == kept["feature.x.norm"]


def test_values_of_tensors_are_features_where_they_are_asked_for(sessions_with: Callable[..., Any]) -> None:
    telemetry = sessions_with(tensors="values")
    identity(IMAGES).run(None, {"x": IMAGES})
    kept = columns(telemetry, "feature.")
    assert len(kept) == 192
    assert kept["feature.x.191"] == IMAGES.reshape(4, -1)[:, 191].astype(float).tolist()


def test_nothing_of_tensors_is_recorded_where_nothing_is_asked_for(sessions_with: Callable[..., Any]) -> None:
    telemetry = sessions_with(tensors="none")
    identity(IMAGES).run(None, {"x": IMAGES})
    assert telemetry.rows() == 4
    assert columns(telemetry, "feature.") == {}


def test_the_policy_holds_for_summaries(sessions_with: Callable[..., Any]) -> None:
    telemetry = sessions_with(capture=frozenset({"x.norm"}))
    identity(IMAGES).run(None, {"x": IMAGES})
    assert columns(telemetry, "feature.") == {"feature.x.norm": norms(IMAGES)}


def test_calls_that_are_alike_become_one_table(sessions: Any) -> None:
    net = identity(IMAGES)
    for i in range(4):
        net.run(None, {"x": IMAGES[i : i + 1]})
    assert columns(sessions, "feature.x.norm") == {"feature.x.norm": norms(IMAGES)}


def test_a_tensor_that_the_session_refuses_raises_as_ever_and_is_recorded(sessions: Any) -> None:
    with pytest.raises(Exception, match="Got invalid dimensions"):
        network().run(None, {"image": IMAGES[:, :2]})
    table = sessions.batch()
    assert table.column("feature.image.shape").to_pylist() == ["2x8x8"] * 4
    assert set(table.column("error_type").to_pylist()) == {"InvalidArgument"}


@pytest.mark.parametrize("form", ["feed", "array"])
@pytest.mark.parametrize(("name", "example"), [("x", TABLE), ("image", IMAGES)])
def test_a_reference_is_given_as_run_takes_it(sessions: Any, name: str, example: Any, form: str) -> None:
    one, x = identity(example, name), np.concatenate([example] * 50)
    assert set_reference(one, {name: x} if form == "feed" else x)
    one.run(None, {name: x})
    assert flush()
    (event,) = sessions.events(events.ML_REFERENCE_PROFILE)
    series = from_json(event.attributes["ml.reference.profile.data"]).series
    recorded = sessions.batch().column_names
    assert {f"feature.{s.name}" for s in series} == {column for column in recorded if column.startswith("feature.")}
    assert {s.rows for s in series} == {200}

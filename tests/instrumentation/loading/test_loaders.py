"""What loads a model says which file it was."""

from __future__ import annotations

import bz2
import copy
import gzip
import io
import lzma
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import cloudpickle
import joblib
import lightgbm
import numpy as np
import pytest
import skops.io
import torch
import xgboost
from opentelemetry.instrumentation.utils import suppress_instrumentation
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelspan.instrumentation import identify
from modelspan.instrumentation.loading import LoadingInstrumentor, files
from modelspan.instrumentation.recorder.fingerprint import fingerprint
from modelspan.semconv import events
from tests.instrumentation.loading.conftest import lineage, of_file

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)
MODEL = LogisticRegression().fit(X, Y)


def pickled(path: Path, value: Any = MODEL) -> Path:
    path.write_bytes(pickle.dumps(value))
    return path


def test_the_event_of_a_loaded_model_says_where_it_comes_from(loads: Any, tmp_path: Path) -> None:
    path = tmp_path / "fraud.joblib"
    joblib.dump(MODEL, path)
    joblib.load(path).predict(X)
    (event,) = loads.events(events.ML_MODEL_LOADED)
    found = dict(event.attributes)
    expected = {
        "ml.model.name": "fraud",
        "ml.model.version": f"fit-{fingerprint(MODEL)[:12]}",
        **of_file(path, "joblib.load"),
    }
    assert expected.items() <= found.items()
    assert "ml.training.end_time" not in found


def test_one_model_that_is_loaded_for_each_request_is_announced_once(loads: Any, tmp_path: Path) -> None:
    path = tmp_path / "fraud.joblib"
    joblib.dump(MODEL, path)
    for _ in range(5):
        joblib.load(path).predict(X[:1])
    assert loads.rows() == 5
    assert len(loads.events(events.ML_MODEL_LOADED)) == 1


@pytest.mark.parametrize("given", [str, Path, lambda path: path.open("rb")])
def test_joblib_takes_a_path_or_a_file(loads: Any, tmp_path: Path, given: Callable[[Path], Any]) -> None:
    path = tmp_path / "m.joblib"
    joblib.dump(MODEL, path, compress=3)
    assert lineage(joblib.load(given(path))) == of_file(path, "joblib.load")
    assert lineage(joblib.load(mmap_mode=None, filename=path)) == of_file(path, "joblib.load")


def test_pickle_and_cloudpickle(loads: Any, tmp_path: Path) -> None:
    path = pickled(tmp_path / "m.pickle")
    with path.open("rb") as file:
        assert lineage(pickle.load(file)) == of_file(path, "pickle.load")
    with path.open("rb") as file:
        assert lineage(cloudpickle.load(file))["ml.model.source.uri"] == str(path)


def buffered(path: Path) -> Any:
    return io.BufferedReader(bz2.open(path))  # type: ignore[arg-type]  # which it is


@pytest.mark.parametrize("opened", [bz2.open, gzip.open, lzma.open, buffered])
def test_a_file_that_is_decompressed_is_named_as_it_lies_there(
    loads: Any, tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    path = tmp_path / "m.pickle.packed"
    pack = {gzip.open: gzip.compress, lzma.open: lzma.compress}.get(opened, bz2.compress)
    path.write_bytes(pack(pickle.dumps(MODEL)))
    for library in (pickle, cloudpickle, joblib):
        with opened(path) as file:
            assert lineage(library.load(file)) == of_file(path, f"{library.__name__}.load")


@pytest.mark.parametrize("compress", ["zlib", "gzip", "bz2", "lzma", "xz", "lz4"])
def test_joblib_decompresses(loads: Any, tmp_path: Path, compress: str) -> None:
    path = tmp_path / "m.joblib"
    joblib.dump(MODEL, path, compress=compress)
    assert lineage(joblib.load(path)) == of_file(path, "joblib.load")


def test_a_file_in_memory_that_is_decompressed_has_no_name(loads: Any) -> None:
    for packed in (bz2.BZ2File(io.BytesIO(bz2.compress(pickle.dumps(MODEL)))), io.BytesIO(pickle.dumps(MODEL))):
        assert lineage(pickle.load(packed)) == {}


def test_skops(loads: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    skops.io.dump(MODEL, path)
    assert lineage(skops.io.load(path)) == of_file(path, "skops.io.load")


def test_a_model_that_keeps_its_random_state_has_the_same_version_when_skops_loads_it(tmp_path: Path) -> None:
    model = GradientBoostingClassifier(n_estimators=2).fit(X, Y)
    skops.io.dump(model, tmp_path / "m.skops")
    untrusted = skops.io.get_untrusted_types(file=tmp_path / "m.skops")
    assert fingerprint(skops.io.load(tmp_path / "m.skops", trusted=untrusted)) == fingerprint(model)


def test_models_within_what_was_loaded(loads: Any, tmp_path: Path) -> None:
    path = tmp_path / "bundle.joblib"
    joblib.dump({"model": MODEL, "scaler": StandardScaler().fit(X), "threshold": 0.4, "classes": ["a"]}, path)
    bundle = joblib.load(path)
    assert lineage(bundle["model"]) == lineage(bundle["scaler"]) == of_file(path, "joblib.load")


def test_models_by_name_within_a_bundle(loads: Any, tmp_path: Path) -> None:
    path = tmp_path / "bundle.joblib"
    joblib.dump({"trained": "2026-03", "models": {"DE": MODEL, "FR": [LogisticRegression().fit(X, 1 - Y)]}}, path)
    models = joblib.load(path)["models"]
    assert lineage(models["DE"]) == lineage(models["FR"][0]) == of_file(path, "joblib.load")


def test_a_member_of_an_archive_is_not_the_file_of_its_name(
    loads: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("models.zip", "w") as archive:
        archive.writestr("model.pickle", pickle.dumps(MODEL))
    Path("model.pickle").write_bytes(b"another")
    with zipfile.ZipFile("models.zip") as archive, archive.open("model.pickle") as member:
        assert lineage(pickle.load(member)) == {}
        member.seek(0)
        assert lineage(joblib.load(member)) == {}


def test_a_file_that_another_has_replaced_since_it_was_opened_is_not_named(loads: Any, tmp_path: Path) -> None:
    path, new = pickled(tmp_path / "m.pickle"), pickled(tmp_path / "new.pickle", [MODEL, X])
    with path.open("rb") as file:
        new.replace(path)
        assert lineage(pickle.load(file)) == {}


def test_what_is_no_model_is_left_alone(loads: Any, tmp_path: Path) -> None:
    from modelspan.instrumentation.recorder.identity import identities

    before = len(identities.by_id)
    for value in (X, [1, 2], {"a": X}, LogisticRegression, "text", None):
        path = pickled(tmp_path / "value.pickle", value)
        with path.open("rb") as file:
            pickle.load(file)
    assert pickle.load(io.BytesIO(pickle.dumps(1))) == 1
    assert len(identities.by_id) == before


def test_xgboost(loads: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.ubj"
    xgboost.XGBClassifier(n_estimators=2).fit(X, Y).save_model(path)
    model, booster = xgboost.XGBClassifier(), xgboost.Booster()
    model.load_model(path)
    booster.load_model(fname=str(path))
    assert lineage(model) == of_file(path, "xgboost.XGBModel.load_model")
    assert lineage(booster) == of_file(path, "xgboost.Booster.load_model")
    assert lineage(xgboost.Booster(model_file=path)) == of_file(path, "xgboost.Booster.load_model")
    assert lineage(model.get_booster()) == of_file(path, "xgboost.Booster.load_model")
    booster.load_model(bytearray(booster.save_raw()))


def test_lightgbm(loads: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.txt"
    with suppress_instrumentation():
        trained = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, Y).booster_
    trained.save_model(path)
    assert lineage(lightgbm.Booster(model_file=path)) == of_file(path, "lightgbm.Booster")
    assert "ml.model.source.uri" not in lineage(lightgbm.Booster(model_str=path.read_text()))


def test_catboost(loads: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.cbm"
    catboost.CatBoostClassifier(iterations=2, verbose=0, allow_writing_files=False).fit(X, Y).save_model(str(path))
    model = catboost.CatBoostClassifier().load_model(str(path))
    assert lineage(model) == of_file(path, "catboost.CatBoost.load_model")
    with path.open("rb") as stream:
        assert lineage(catboost.CatBoostClassifier().load_model(stream=stream)) == of_file(
            path, "catboost.CatBoost.load_model"
        )


def test_torch_modules(loads: Any, tmp_path: Path) -> None:
    path, scripted = tmp_path / "m.pt", tmp_path / "s.pt"
    module = torch.nn.Linear(3, 1)
    torch.save(module, path)
    torch.jit.save(torch.jit.script(module), scripted)
    assert lineage(torch.load(path, weights_only=False)) == of_file(path, "torch.load")
    assert lineage(torch.jit.load(scripted)) == of_file(scripted, "torch.jit.load")


@pytest.mark.parametrize(
    "rename", [dict, lambda state: {key.removeprefix("module."): one for key, one in state.items()}]
)
def test_torch_weights_that_a_module_is_given_later(loads: Any, tmp_path: Path, rename: Callable[..., Any]) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"epoch": 3, "state": torch.nn.Linear(3, 1).state_dict(), "optimizer": {"state": {}}}, path)
    module, other = torch.nn.Linear(3, 1), torch.nn.Linear(3, 1)
    module.load_state_dict(rename(torch.load(path)["state"]))
    other.load_state_dict(torch.nn.Linear(3, 1).state_dict())
    assert lineage(module) == of_file(path, "torch.load")
    assert lineage(other) == {}


def test_what_identify_says_is_beside_the_file(loads: Any, tmp_path: Path) -> None:
    path = tmp_path / "fraud.joblib"
    joblib.dump(MODEL, path)
    model = joblib.load(path)
    identify(model, name="pricing", version="7", artifact_hash="mine")
    model.predict(X)
    (event,) = loads.events(events.ML_MODEL_LOADED)
    expected = {
        "ml.model.name": "pricing",
        "ml.model.version": "7",
        "artifact.hash": "mine",
        "artifact.filename": path.name,
    }
    assert expected.items() <= dict(event.attributes).items()


def test_a_model_that_is_fitted_again_has_left_its_file(loads: Any, tmp_path: Path) -> None:
    path = tmp_path / "fraud.joblib"
    joblib.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), path)
    model = joblib.load(path)
    model.predict(X)
    model.fit(X, 1 - Y).predict(X)
    first, second = (dict(event.attributes) for event in loads.events(events.ML_MODEL_LOADED))
    assert first["ml.model.source.uri"] == str(path)
    assert "ml.model.source.uri" not in second
    assert "ml.training.end_time" in second


def test_a_temporary_file_is_digested_before_it_goes(loads: Any, tmp_path: Path) -> None:
    MODEL.predict(X)
    path = tmp_path / "m.joblib"
    joblib.dump(MODEL, path)
    expected = of_file(path, "joblib.load")
    model = joblib.load(path)
    assert loads.logs()
    path.unlink()
    assert lineage(model) == expected


def test_a_file_that_was_written_anew_gives_no_digest(loads: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.joblib"
    joblib.dump(MODEL, path)
    model = joblib.load(path)
    joblib.dump([MODEL, MODEL], path)
    assert lineage(model) == {
        key: value for key, value in of_file(path, "joblib.load").items() if key != "artifact.hash"
    }


def test_a_large_file_is_not_digested(loads: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    path = tmp_path / "m.joblib"
    joblib.dump(MODEL, path)
    assert "artifact.hash" not in lineage(joblib.load(path))


def test_a_file_is_read_once_however_often_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = files._read
    monkeypatch.setattr(files, "_read", lambda path: (read.append(path), original(path))[1])
    path = pickled(tmp_path / "m.pickle")
    for _ in range(3):
        file = files.seen(path)
        assert file is not None
        files.digest(file)
    assert read == [str(path)]


def test_a_load_that_fails_raises_its_own_error(loads: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        joblib.load(tmp_path / "nowhere")
    with pytest.raises(TypeError):
        joblib.load()
    with pytest.raises(TypeError):
        pickle.load()
    with pytest.raises(EOFError):
        pickle.load(io.BytesIO())


def test_pickle_load_is_as_it_was_but_for_what_it_notes(loads: Any) -> None:
    class Serializer:
        load = pickle.load
        loads = pickle.loads

    assert Serializer().load(io.BytesIO(pickle.dumps("x"))) == "x"
    assert pickle.loads(pickle.dumps(pickle.load)) == pickle.load == copy.deepcopy(pickle.load)
    assert pickle.load.__name__ == "load"
    assert pickle.load(file=io.BytesIO(pickle.dumps(1)), encoding="ASCII") == 1


def test_nothing_is_left_after_uninstrumenting(telemetry: Any) -> None:
    owners = (
        *(
            joblib,
            joblib.numpy_pickle,
            pickle,
            cloudpickle,
            skops.io,
            xgboost.Booster,
            xgboost.XGBModel,
            lightgbm.Booster,
        ),
        *(catboost.CatBoost, torch, torch.jit, torch.nn.Module),
    )
    before = [dict(vars(owner)) for owner in owners]
    for _ in range(2):
        LoadingInstrumentor().instrument()
        assert joblib.load is not before[0]["load"]
        LoadingInstrumentor().uninstrument()
        for owner, then in zip(owners, before, strict=True):
            assert {key for key, value in vars(owner).items() if value is not then.get(key)} == set(), owner


def test_a_function_that_a_module_took_over_is_the_one_that_a_pickle_finds(program: Callable[..., str]) -> None:
    """`from joblib import load` before instrumenting, or while it lasts, by its name or another."""
    source = """
    import pickle
    from catboost import cv
    from joblib import load
    from lightgbm import train
    from mlflow.pyfunc import load_model
    from pickle import load as read
    before = [load, train, cv, load_model, read]

    def pickled():
        return [pickle.loads(pickle.dumps(one)) == one for one in (load, train, cv, load_model, read)]

    from modelspan.instrumentation.catboost import CatBoostInstrumentor
    from modelspan.instrumentation.lightgbm import LightGBMInstrumentor
    from modelspan.instrumentation.loading import LoadingInstrumentor
    from modelspan.instrumentation.mlflow import MLflowInstrumentor
    instrumentors = CatBoostInstrumentor, LightGBMInstrumentor, LoadingInstrumentor, MLflowInstrumentor
    for one in instrumentors:
        one().instrument()
    print(all(pickled()), sum(a is b for a, b in zip(before, [load, train, cv, load_model, read])))
    import cloudpickle, skops.io, torch
    from cloudpickle import load as third
    from joblib import load as another
    from lightgbm import train as fit
    from mlflow.sklearn import load_model as of_sklearn
    from pickle import load as read
    from skops.io import load as of_skops
    from torch import load as of_torch
    from torch.jit import load as of_jit
    print([one for one in (third, another, fit, of_sklearn, of_skops, of_torch, of_jit) if
           pickle.loads(pickle.dumps(one)) != one])
    class Held:
        load = another
    for one in reversed(instrumentors):
        one().uninstrument()
    now = [load, train, cv, load_model, read, third, another, fit, of_sklearn, of_skops, of_torch, of_jit]
    print([one for one in now if pickle.loads(pickle.dumps(one)) is not one or type(one).__module__ != "builtins"])
    print(all(a is b for a, b in zip(before, now)), Held.load is not another)
    """
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    assert program(source, prelude="", **environment).splitlines() == ["True 1", "[]", "[]", "True True"]


def test_a_loader_that_is_kept_after_uninstrumenting_notes_nothing(loads: Any, tmp_path: Path) -> None:
    path, weights, booster = pickled(tmp_path / "m.pickle"), tmp_path / "m.pt", tmp_path / "m.txt"
    torch.save(torch.nn.Linear(3, 1).state_dict(), weights)
    lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, Y).booster_.save_model(booster)
    kept = [pickle.load, cloudpickle.load, joblib.load]
    torch_load, take, make = torch.load, torch.nn.Module.load_state_dict, lightgbm.Booster.__init__
    LoadingInstrumentor().uninstrument()
    for load in kept:
        with path.open("rb") as file:
            assert lineage(load(file)) == {}
    module, made = torch.nn.Linear(3, 1), lightgbm.Booster.__new__(lightgbm.Booster)
    take(module, torch_load(weights))
    make(made, model_file=booster)
    assert lineage(module) == lineage(made) == {}
    LoadingInstrumentor().instrument()


def test_importing_the_instrumentor_imports_nothing_and_loads_are_noted_in_any_order(
    program: Callable[..., str], tmp_path: Path
) -> None:
    path = pickled(tmp_path / "m.pickle")
    source = """
    import sys
    from modelspan.instrumentation.loading import LoadingInstrumentor
    LoadingInstrumentor().instrument()
    print(sorted({"numpy", "joblib", "torch", "xgboost"} & set(sys.modules)))
    import sklearn.linear_model, pickle
    from modelspan.instrumentation.recorder.identity import identities
    with open(sys.argv[1], "rb") as file:
        model = pickle.load(file)
    print(len(identities.get(model).tells))
    LoadingInstrumentor().uninstrument()
    with open(sys.argv[1], "rb") as file:
        model = pickle.load(file)
    print(len(identities.get(model).tells), type(pickle.load).__name__)
    """
    assert program(source, str(path), prelude="").split() == ["[]", "1", "0", "builtin_function_or_method"]


def test_each_process_of_a_fork_announces_its_models(program: Callable[..., str], tmp_path: Path) -> None:
    path = pickled(tmp_path / "m.pickle")
    source = """
    import os, sys, pickle
    from modelspan.instrumentation.loading import LoadingInstrumentor
    set_up_sdk()
    SklearnInstrumentor().instrument()
    LoadingInstrumentor().instrument()
    import sklearn.linear_model
    with open(sys.argv[1], "rb") as file:
        model = pickle.load(file)
    def announced():
        model.predict(np.zeros((1, 3)))
        model.predict(np.zeros((1, 3)))
        flush()
        found = [log.log_record.attributes for log in logs.get_finished_logs()
                 if log.log_record.event_name == "ml.model.loaded"]
        return len(found), found[-1]["ml.model.source.uri"] == sys.argv[1]
    print(announced(), flush=True)
    logs.clear()
    child = os.fork()
    if child == 0:
        print(announced(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    """
    assert program(source, str(path)).splitlines() == ["(1, True)", "(1, True)"]

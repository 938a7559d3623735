"""The configuration: what wins, what is refused, and that what is printed can be read again."""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from modelspan.processor.config import Config, ConfigError, add_flags, as_yaml, load
from modelspan.processor.config.units import format_duration, format_size, parse_duration, parse_size

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def flags(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return parser.parse_args(given)


def refused(*given: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(flags(*given))
    return str(error.value)


def test_without_any_settings_everything_listens_on_loopback() -> None:
    config = load()
    addresses = [config.receiver.grpc_address, config.receiver.http_address, config.clickhouse_http.address]
    assert addresses == ["127.0.0.1:4317", "127.0.0.1:4318", "127.0.0.1:8123"]
    assert config.embedded


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "modelspan.yaml").write_text("drift: {alpha: 0.01, tolerance: 0.01, min_rows: 10}\n")
    monkeypatch.setenv("MODELSPAN_DRIFT__ALPHA", "0.02")
    monkeypatch.setenv("MODELSPAN_DRIFT__TOLERANCE", "0.02")
    drift = load(flags("--set", "drift.alpha=0.03")).drift
    assert (drift.alpha, drift.tolerance, drift.min_rows) == (0.03, 0.02, 10)


def test_the_file_is_the_one_named_by_flag_then_by_environment_then_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, rows in (("modelspan.yaml", 11), ("environment.yaml", 12), ("flag.yaml", 13)):
        (tmp_path / name).write_text(f"drift: {{min_rows: {rows}}}\n")
    assert load(flags()).drift.min_rows == 11
    monkeypatch.setenv("MODELSPAN_CONFIG", "environment.yaml")
    assert load(flags()).drift.min_rows == 12
    assert load(flags("--config", "flag.yaml")).drift.min_rows == 13


def test_the_embedded_store_lies_in_the_data_directory(tmp_path: Path) -> None:
    config = load(flags("--data-dir", "here"))
    assert config.store_url == f"chdb://{tmp_path}/here/store"
    assert config.journal_dir == tmp_path / "here" / "journal"


def test_a_server_as_store_is_not_embedded() -> None:
    assert not load(flags("--store-url", "http://clickhouse:8123")).embedded


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("MODELSPAN_WINDOWS__LENGTH", "soon", ["windows.length", "'soon'", "a duration such as"]),
        ("MODELSPAN_WINDOWS__LENGTH", "0s", ["windows.length", "whole seconds"]),
        ("MODELSPAN_WINDOWS__LENGTH", "1500ms", ["windows.length", "whole seconds"]),
        ("MODELSPAN_WINDOWS__IDLE", "0s", ["windows.idle", "greater than zero"]),
        ("MODELSPAN_STORE__DATABASE", "bad name", ["store.database", "letters, digits"]),
        (
            "MODELSPAN_RECEIVER__MAX_REQUEST_BYTES",
            "4GiB",
            ["max_request_bytes is 4GiB,", "less than or equal to 1GiB."],
        ),
        ("MODELSPAN_STORE__MEMORY", "2000000", ["store.memory is 2000000B,", "greater than or equal to 200MiB."]),
        ("MODELSPAN_DRIFT__MIN_ROWS", "many", ["drift.min_rows is 'many',", "but expected a whole number."]),
        ("MODELSPAN_DRIFT__BINS", "2.5", ["drift.bins is '2.5',", "but expected a whole number."]),
        ("MODELSPAN_CLICKHOUSE_HTTP__ENABLED", "maybe", ["but expected true or false."]),
        ("MODELSPAN_WINDOWS__LENGHT", "5m", ["names no key", "did you mean MODELSPAN_WINDOWS__LENGTH?"]),
        ("MODELSPAN_DRFIT__ALPHA", "0.01", ["names no key", "did you mean MODELSPAN_DRIFT__ALPHA?"]),
        ("MODELSPAN_DATADIR", "/data", ["names no key", "did you mean MODELSPAN_DATA_DIR?"]),
        ("modelspan_drift_alpha", "0.01", ["names no key", "did you mean MODELSPAN_DRIFT__ALPHA?"]),
        ("MODELSPAN_RECEIVER__GRPC_PORT", "4317", ["names no key"]),
        ("MODELSPAN_WINDOWS", "5", ["windows", "section"]),
        ("MODELSPAN_DRIFT__ALPHA", "2", ["drift.alpha", "'2'", "less than 1"]),
        ("MODELSPAN_RECEIVER__GRPC_ADDRESS", "4317", ["receiver.grpc_address", "host:port"]),
        ("MODELSPAN_RECEIVER__GRPC_ADDRESS", "localhost:80000", ["a port from 1 to 65535 (0: any free one)."]),
        ("MODELSPAN_RECEIVER__GRPC_ADDRESS", "::1:4317", ["an IPv6 host in brackets, as in [::1]:4317."]),
        ("MODELSPAN_RECEIVER__MAX_REQUEST_BYTES", "big", ["max_request_bytes", "64MiB"]),
        ("MODELSPAN_STORE__URL", "mysql://x", ["store.url", "http://host:8123"]),
        ("MODELSPAN_LOG__LEVEL", "loud", ["log.level", "'info'"]),
    ],
)
def test_a_bad_value_is_named_with_its_variable_and_what_was_expected(
    variable: str, value: str, says: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    sentence = refused()
    assert [part for part in [*says, variable] if part not in sentence] == []
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("windows: {length: 5m}\ndrfit: {}\n", "did you mean drift?"),
        ("windows: [\n", "is not YAML"),
        ("- 1\n", "holds no keys"),
        ("windows: 5\n", "section"),
        ("windows: {length: }\n", "windows.length is None"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    sentence = refused("--config", "mine.yaml")
    assert says in sentence
    assert "mine.yaml" in sentence
    assert "\n" not in sentence


def test_a_file_that_does_not_exist_is_refused() -> None:
    assert "nowhere.yaml" in refused("--config", "nowhere.yaml")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["drift.alpha=[1"], "--set drift.alpha=[1 is no list"),
        (["=1"], "--set =1 is not of the form KEY=VALUE"),
        (["a.b.c=1"], "a, from the flag --set, is not a key"),
        (["data_dir="], "data_dir is '', from the flag --data-dir, but expected a directory"),
        (["data_dir=[1, 2]"], "but expected a directory"),
        (["receiver=5", "receiver.max_connections=5"], "receiver is a section"),
    ],
)
def test_a_setting_that_is_misread_is_refused_in_one_sentence(settings: list[str], says: str) -> None:
    sentence = refused(*[argument for one in settings for argument in ("--set", one)])
    assert says in sentence
    assert "\n" not in sentence


def test_a_folder_as_configuration_file_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path} that --config names is not a file" in refused("--config", str(tmp_path))


def test_a_flag_that_is_wrong_is_named() -> None:
    assert "--grpc-address" in refused("--grpc-address", "x:y")


def test_a_journal_that_is_smaller_than_a_request_is_refused() -> None:
    sentence = "journal.max_bytes, 1MiB, is less than receiver.max_request_bytes, 64MiB: the journal must have room"
    assert refused("--set", "journal.max_bytes=1MiB").startswith(sentence)
    both = ["--set", "journal.max_bytes=1MiB", "--set", "receiver.max_request_bytes=1MiB"]
    assert load(flags(*both)).journal.max_bytes == 1024**2


def test_a_password_is_neither_printed_nor_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSPAN_STORE__PASSWORD", "hunter2")
    assert "hunter2" not in as_yaml(load())
    assert load().store.password.get_secret_value() == "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "http://writer:hunter2@clickhouse:8123",
        "https://writer:hunt@hunter2@clickhouse:8443",
        "http://:hunter2@clickhouse",
        "http://clickhouse:8123/?user=writer&password=hunter2",
    ],
)
def test_a_password_within_the_url_of_the_store_is_not_printed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSPAN_STORE__URL", url)
    assert "hunter2" not in as_yaml(load()) + repr(load())
    assert "clickhouse" in as_yaml(load())
    assert load().store.url == url


def test_a_url_that_is_refused_is_quoted_without_its_password() -> None:
    assert "hunter2" not in refused("--store-url", "mysql://writer:hunter2@clickhouse")


def test_what_is_printed_can_be_read_again(tmp_path: Path) -> None:
    config = load(flags("--set", "windows.length=90s", "--set", "journal.max_bytes=3GB", "--log-format", "json"))
    (tmp_path / "again.yaml").write_text(as_yaml(config))
    assert load(flags("--config", "again.yaml")).model_dump() == config.model_dump()


def test_a_key_that_the_file_gives_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    for text in ("drift:\n  alpha: 0.01\ndrift:\n  bins: 30\n", "log:\n  level: info\n  level: error\n"):
        file.write_text(text)
        with pytest.raises(ConfigError, match=r"twice\.yaml gives (drift|level) again in line 3; give it once"):
            load(flags("--config", str(file)))


def test_every_key_has_a_description_in_the_printed_configuration() -> None:
    for before, line in pairwise(as_yaml(load()).splitlines()):
        if line.strip() and not line.strip().startswith("#"):
            assert before.strip().startswith("# "), line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MODELSPAN_PORT", "tcp://10.0.0.1:4317"),
        ("MODELSPAN_PORT_4317_TCP_ADDR", "10.0.0.1"),
        ("MODELSPAN_SERVICE_HOST", "10.0.0.1"),
        ("MODELSPAN_OTLP_SERVICE_PORT_GRPC", "4317"),
        ("MODELSPAN_URL", "http://127.0.0.1:8123"),
        ("MODELSPANS_ALPHA", "1"),
    ],
)
def test_variables_of_clusters_and_other_programs_are_left_alone(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert load().model_dump() == Config().model_dump()


def test_the_page_of_the_configuration_is_up_to_date() -> None:
    check = [sys.executable, "-m", "modelspan.processor.config", "--check"]
    assert subprocess.run(check, cwd=ROOT, capture_output=True, text=True).stderr == ""


def test_a_stale_page_fails_the_check(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "configuration.md").write_text("old")
    check = [sys.executable, "-m", "modelspan.processor.config", "--check"]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("30s", 30),
        ("1h30m", 5400),
        ("7d", 604800),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("45", 45),
        ("2w", 1209600),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "m", "5 minutes", "5x", "-5m", "5m3", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GiB", 4 * 1024**3), ("500MB", 500_000_000), ("64 KiB", 65536), ("10", 10), ("1.5GiB", 3 * 2**29)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("text", ["", "GiB", "4 gigs", "-1", "1GiB2"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)

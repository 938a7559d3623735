"""What can be configured, with its defaults and a description of each key."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from modelspan.processor.config.units import format_duration, format_size, parse_duration, parse_size
from modelspan.processor.ports import parse_address


def _address(text: str) -> str:
    try:
        parse_address(text)
    except ValueError as error:
        raise ValueError(str(error).partition(": ")[2]) from None
    return text


def _folder(path: object) -> object:
    if not isinstance(path, str | Path) or not str(path).strip():
        raise ValueError("expected a directory, such as .modelspan")
    return path


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError("expected a duration greater than zero, such as 5m")
    return duration


def _whole_seconds(duration: timedelta) -> timedelta:
    if duration.microseconds or not timedelta(seconds=1) <= duration <= timedelta(days=366):
        raise ValueError("expected whole seconds, from 1s to 366d")
    return duration


def _database(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("expected letters, digits and underscores")
    return name


def _store_url(url: str) -> str:
    if url and not re.match(r"(chdb:///|https?://[^/])", url):
        raise ValueError("expected chdb:///path, http://host:8123 or https://host:8443")
    return url


def without_password(url: str) -> str:
    """Mask the user and password of a URL, before the host or among the parameters; other text is returned as it is."""
    url = re.sub(r"(?<=://)[^/?#]*@", "***@", url)
    return re.sub(r"(?i)(?<=[?&])([^=&]*passw[^=&]*|user|username)=[^&#]*", r"\1=***", url)


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Size = Annotated[int, BeforeValidator(parse_size), PlainSerializer(format_size, return_type=str), Field(gt=0)]
Address = Annotated[str, AfterValidator(_address)]


class Section(BaseModel):
    """A group of keys; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreConfig(Section):
    """Where telemetry, predictions and verdicts are kept."""

    url: Annotated[str, AfterValidator(_store_url), PlainSerializer(without_password)] = Field(
        default="",
        repr=False,
        description="ClickHouse to write to: http://host:8123 or https://host:8443. Empty: embedded, in data_dir.",
    )
    database: Annotated[str, AfterValidator(_database)] = Field(
        default="modelspan", description="Database of all tables; it is created if need be."
    )
    username: str = Field(default="default", description="User of a ClickHouse server.")
    password: SecretStr = Field(default=SecretStr(""), description="Its password; better set in the environment.")
    memory: Size = Field(
        default=430 * 1024**2,
        ge=200 * 1024**2,
        description="Memory of the embedded engine, inserts, merges and queries together; at least 200MiB. Not used with store.url.",
    )
    stuck_after: PositiveDuration = Field(
        default=timedelta(seconds=60),
        description="An insert that has not returned after this time makes /readyz answer 503: the engine hangs, or its disk does.",
    )


class ReceiverConfig(Section):
    """Where OTLP comes in."""

    grpc_address: Address = Field(
        default="127.0.0.1:4317", description="Where OTLP/gRPC listens; 0.0.0.0:4317 for everyone."
    )
    http_address: Address = Field(default="127.0.0.1:4318", description="Where OTLP/HTTP, /readyz and /metrics listen.")
    max_request_bytes: Size = Field(
        default=64 * 1024**2,
        le=1024**3,
        description="Largest request, after decompression, also of the batches in it; at most 1GiB.",
    )
    allowed_hosts: str = Field(
        default="",
        description="Host names, comma separated, by which clients may call OTLP/HTTP besides localhost and the address they reach; * for any. Needed where http_address is 0.0.0.0 and senders use a name.",
    )
    max_connections: int = Field(default=512, gt=0, description="Most connections of each of the two ports.")
    max_request_records: int = Field(
        default=250_000,
        gt=0,
        description="Most log records, spans, metrics, points, events and links of one request; see docs/limits.md.",
    )
    max_request_values: int = Field(
        default=6_000_000,
        gt=0,
        description="Most values of one request: attributes and all that is in them. One record may hold a third.",
    )
    max_request_cells: int = Field(
        default=32_000_000, gt=0, description="Most cells of one request: rows times columns of its batches."
    )
    max_request_days: int = Field(
        default=400,
        gt=0,
        description="Most days on which the spans, log records or points of one request lie, and months of the rows in its batches: each is a part on disk.",
    )


class JournalConfig(Section):
    """The durable queue between receiver and store."""

    max_bytes: Size = Field(
        default=4 * 1024**3,
        description="Requests that may wait for the store, in bytes; senders are told to retry beyond it. At least receiver.max_request_bytes.",
    )


class ClickHouseHttpConfig(Section):
    """The embedded store behind ClickHouse's HTTP protocol, read-only. Not used with store.url."""

    enabled: bool = Field(default=True, description="Whether to listen at all.")
    address: Address = Field(
        default="127.0.0.1:8123",
        description="Where ClickHouse's HTTP protocol listens. Anyone who reaches it can read everything.",
    )
    allowed_hosts: str = Field(
        default="",
        description="Host names and addresses, comma separated, by which clients may call it besides loopback and its own address; * for any.",
    )
    max_connections: int = Field(default=512, gt=0, description="Most connections at a time.")


class WindowsConfig(Section):
    """Event-time windows over which drift is judged."""

    length: Annotated[Duration, AfterValidator(_whole_seconds)] = Field(
        default=timedelta(minutes=5), description="Length of a window, in whole seconds."
    )
    lateness: Duration = Field(
        default=timedelta(seconds=30), description="How long after its end a window waits for late predictions."
    )
    idle: PositiveDuration = Field(
        default=timedelta(seconds=10), description="Without predictions for this long, open windows close by the clock."
    )
    horizon: PositiveDuration = Field(
        default=timedelta(days=7),
        description="How far back windows are judged again at the start and when a reference changes.",
    )
    max_models: int = Field(
        default=10_000,
        gt=0,
        description="Models whose windows may wait for a verdict at once. Rows of further ones are stored; they are judged when there is room.",
    )


class DriftConfig(Section):
    """How windows are compared with the reference."""

    alpha: float = Field(
        default=0.05, gt=0, lt=1, description="Bound on the probability that a window without drift is called drifted."
    )
    tolerance: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="Smallest KS distance worth a verdict, 0 to 1. For categories and missing values: a quarter of it, as a share of rows.",
    )
    min_rows: int = Field(default=100, ge=2, description="Fewer rows in a window give the verdict insufficient_data.")
    first_predictions: int = Field(
        default=2000, ge=0, description="Predictions that become the reference where none was set; 0 for never."
    )
    provisional_predictions: int = Field(
        default=200,
        ge=0,
        description="Predictions that stand in for them until they are there, marked as provisional; 0 for none.",
    )
    bins: int = Field(default=50, ge=2, le=1000, description="Bins of a numeric reference made from first predictions.")


class LogConfig(Section):
    """What the service says about itself, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severity that is written."
    )
    format: Literal["console", "json"] = Field(default="console", description="console for people, json for machines.")


class Config(BaseSettings):
    """Everything that `modelspan serve` can be told."""

    model_config = SettingsConfigDict(env_prefix="MODELSPAN_", env_nested_delimiter="__", extra="forbid", frozen=True)

    data_dir: Annotated[Path, BeforeValidator(_folder)] = Field(
        default=Path(".modelspan"), description="Directory of the journal and the embedded store."
    )
    store: StoreConfig = StoreConfig()
    receiver: ReceiverConfig = ReceiverConfig()
    journal: JournalConfig = JournalConfig()
    clickhouse_http: ClickHouseHttpConfig = ClickHouseHttpConfig()
    windows: WindowsConfig = WindowsConfig()
    drift: DriftConfig = DriftConfig()
    log: LogConfig = LogConfig()

    @model_validator(mode="after")
    def _journal_takes_the_largest_request(self) -> Config:
        largest, room = self.receiver.max_request_bytes, self.journal.max_bytes
        if room < largest:
            raise ValueError(
                f"journal.max_bytes, {format_size(room)}, is less than receiver.max_request_bytes, {format_size(largest)}: "
                "the journal must have room for the largest request"
            )
        return self

    @property
    def store_url(self) -> str:
        """Where the store is, `chdb:///...` for the embedded one."""
        return self.store.url or f"chdb://{(self.data_dir / 'store').resolve()}"

    @property
    def embedded(self) -> bool:
        """Whether the store is the embedded engine, which this process alone can open."""
        return self.store_url.startswith("chdb:")

    @property
    def journal_dir(self) -> Path:
        """Directory of the journal."""
        return (self.data_dir / "journal").resolve()

    @property
    def quarantine_dir(self) -> Path:
        """Directory of the requests that could not be stored whole."""
        return (self.data_dir / "quarantine").resolve()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags before environment before file."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)

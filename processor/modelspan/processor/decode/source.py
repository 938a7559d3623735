"""Where telemetry comes from: the resource and the scope of a request, and the model that a record names."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from opentelemetry.semconv._incubating.attributes import deployment_attributes
from opentelemetry.semconv.attributes import service_attributes

from modelspan.processor.decode import rejection
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.tables import Model
from modelspan.processor.decode.values import Raw, raws, text, texts
from modelspan.semconv import attributes as names

MAX_NAME: Final = 1024
"""Bytes of the name of a service, an environment, a model, a version or a feature: they are part of keys and of queries."""


class Source(NamedTuple):
    """The part that the records of one scope share."""

    service_name: str
    environment: str
    attributes: dict[str, str]
    schema_url: str
    scope_name: str
    scope_version: str
    scope_attributes: dict[str, str]
    scope_schema_url: str
    scope_dropped: int


def source(resource_part: Any, scope_part: Any, resource_attributes: dict[str, str]) -> Source:
    """Of a `Resource*` and a `Scope*` message of any signal."""
    return Source(
        resource_attributes.get(service_attributes.SERVICE_NAME, ""),
        resource_attributes.get(deployment_attributes.DEPLOYMENT_ENVIRONMENT_NAME)
        or resource_attributes.get(deployment_attributes.DEPLOYMENT_ENVIRONMENT, ""),
        resource_attributes,
        resource_part.schema_url,
        scope_part.scope.name,
        scope_part.scope.version,
        texts(raws(scope_part.scope.attributes)),
        scope_part.schema_url,
        scope_part.scope.dropped_attributes_count,
    )


def resource_texts(resource_part: Any) -> dict[str, str]:
    """Attributes of the resource as the store has them."""
    return texts(raws(resource_part.resource.attributes))


def model_of(origin: Source, values: dict[str, Raw]) -> Model:
    """The model that a record's attributes name. Raises `Rejected` when they name none, or one that is too long."""
    name = text(values.get(names.ML_MODEL_NAME))
    if not name:
        raise Rejected(rejection.MISSING_ATTRIBUTE, names.ML_MODEL_NAME)
    model = Model(origin.service_name, origin.environment, name, text(values.get(names.ML_MODEL_VERSION)))
    refuse_long(*model)
    return model


def refuse_long(*given: str) -> None:
    """Raises `Rejected` for a name that is too long to be one."""
    for name in given:
        if len(name) > MAX_NAME or len(name.encode()) > MAX_NAME:
            raise Rejected(rejection.NAME_TOO_LONG, f"{name[:40]}... has more than {MAX_NAME} bytes")


def hex_id(identifier: bytes) -> str:
    """Lower-case hex; empty for none, which OTLP also writes as zeros."""
    return identifier.hex() if any(identifier) else ""

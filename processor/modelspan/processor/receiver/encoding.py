"""The two encodings of OTLP/HTTP: what a body means, and how an answer is written in the same encoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf import json_format
from google.rpc.status_pb2 import Status

from modelspan.processor.journal import Signal
from modelspan.processor.receiver.limits import REQUESTS, Limits
from modelspan.processor.receiver.otlp_json import InvalidJson, JsonDecoder
from modelspan.processor.receiver.refusal import malformed

_json_decoders = {signal: JsonDecoder(request) for signal, request in REQUESTS.items()}


@dataclass(frozen=True)
class Encoding:
    """`to_protobuf` may raise `Refusal`; `success` is an export response without `partial_success`."""

    media_type: str
    to_protobuf: Callable[[Signal, bytes, Limits], bytes]
    success: bytes
    failure: Callable[[Status], bytes]


def _from_json(signal: Signal, body: bytes, limits: Limits) -> bytes:
    limits.check_json(body)
    try:
        return _json_decoders[signal].to_protobuf(body)
    except InvalidJson as error:
        raise malformed(str(error)) from error


PROTOBUF = Encoding(
    "application/x-protobuf", lambda signal, body, limits: body, b"", lambda status: status.SerializeToString()
)
JSON = Encoding(
    "application/json", _from_json, b"{}", lambda status: json_format.MessageToJson(status, indent=None).encode()
)
ENCODINGS = {encoding.media_type: encoding for encoding in (PROTOBUF, JSON)}

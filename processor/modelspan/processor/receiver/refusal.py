"""Why a request was not taken, in the terms of both transports (OTLP specification 1.11, "Failures")."""

from __future__ import annotations

import math

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.code_pb2 import INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE, UNIMPLEMENTED
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

RETRY_SECONDS = 2.0
"""Wait that clients are asked for. SDKs give up on a batch when the wait exceeds what is left of their 10 s timeout."""

_MESSAGE_CHARACTERS = 1000


class Refusal(Exception):
    """A request was not taken.

    Attributes:
        code: number of `google.rpc.Code`, the same as of gRPC.
        http_status: status code of the HTTP answer.
        reason: what is wrong and, where the client can act, what to do.
        retry_after: seconds after which the same request may be sent again; None: never.
        headers: further HTTP headers.

    """

    def __init__(
        self,
        code: int,
        http_status: int,
        reason: str,
        *,
        retry_after: float | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.http_status = http_status
        self.reason = reason[:_MESSAGE_CHARACTERS]
        self.retry_after = retry_after
        self.headers = headers

    @property
    def retry_info(self) -> RetryInfo | None:
        if self.retry_after is None:
            return None
        delay = Duration()
        delay.FromMilliseconds(round(self.retry_after * 1000))
        return RetryInfo(retry_delay=delay)

    def status(self) -> Status:
        """With `RetryInfo` where the client shall try again, with `BadRequest` where the data are bad."""
        status = Status(code=self.code, message=self.reason)
        detail: Message | None = self.retry_info
        if detail is None and self.code == INVALID_ARGUMENT:
            detail = BadRequest(field_violations=[BadRequest.FieldViolation(description=self.reason)])
        if detail is not None:
            status.details.add().Pack(detail)
        return status


def malformed(reason: str) -> Refusal:
    return Refusal(INVALID_ARGUMENT, 400, reason)


def too_large(limit: int) -> Refusal:
    return never_fits(f"the request exceeds {limit} bytes after decompression; send smaller batches")


def beyond(what: str, found: int, allowed: int, key: str, *, what_to_do: str = "send smaller batches") -> Refusal:
    """A request that holds too much; `key` is the end of the configuration's. `found` may be where counting stopped."""
    return malformed(
        f"the request holds {found:,} or more {what} and the limit is {allowed:,}: {what_to_do}, or raise "
        f"receiver.max_request_{key}"
    )


def never_fits(reason: str) -> Refusal:
    return Refusal(RESOURCE_EXHAUSTED, 413, reason)


def unavailable(reason: str) -> Refusal:
    headers = ((b"retry-after", b"%d" % math.ceil(RETRY_SECONDS)),)
    return Refusal(UNAVAILABLE, 503, reason, retry_after=RETRY_SECONDS, headers=headers)


def forbidden(reason: str) -> Refusal:
    return Refusal(PERMISSION_DENIED, 403, reason)


def unknown_path(path: str) -> Refusal:
    return Refusal(UNIMPLEMENTED, 404, f"nothing is served at {path}; OTLP is at /v1/traces, /v1/metrics and /v1/logs")


def wrong_method(method: str, allowed: str) -> Refusal:
    return Refusal(
        UNIMPLEMENTED, 405, f"{method} is not served here, only {allowed}", headers=((b"allow", allowed.encode()),)
    )


def unsupported_media_type(media_type: str) -> Refusal:
    return Refusal(
        INVALID_ARGUMENT,
        415,
        f"content type {media_type!r} is not supported; send application/x-protobuf or application/json",
        headers=((b"accept", b"application/x-protobuf, application/json"),),
    )


def unsupported_coding(coding: str, accepted: tuple[str, ...]) -> Refusal:
    return Refusal(
        INVALID_ARGUMENT,
        415,
        f"content encoding {coding!r} is not supported; send one of {', '.join(accepted)}",
        headers=((b"accept-encoding", ", ".join(accepted).encode()),),
    )

"""What the receiver counts about itself, for `/metrics`."""

from __future__ import annotations

from prometheus_client import Counter

from modelspan.processor.journal import Signal
from modelspan.processor.prometheus import prometheus_name
from modelspan.processor.receiver.refusal import Refusal
from modelspan.semconv import attributes, metrics
from modelspan.semconv.attributes import ModelspanOutcomeValues as Outcome

_SIGNAL = prometheus_name(attributes.MODELSPAN_SIGNAL)
_OUTCOME = prometheus_name(attributes.MODELSPAN_OUTCOME)
_REQUESTS = Counter(
    prometheus_name(metrics.MODELSPAN_RECEIVER_REQUESTS), "OTLP requests by what became of them.", [_SIGNAL, _OUTCOME]
)
_BYTES = Counter(
    prometheus_name(metrics.MODELSPAN_RECEIVER_BYTES),
    "Bytes of accepted OTLP requests, after decompression.",
    [_SIGNAL],
)
# Made at once, so that every series is there, at zero, before the first request.
_requests = {
    (signal, outcome): _REQUESTS.labels(signal.name.lower(), outcome.value) for signal in Signal for outcome in Outcome
}
_bytes = {signal: _BYTES.labels(signal.name.lower()) for signal in Signal}


def count_accepted(signal: Signal, size: int) -> None:
    _requests[signal, Outcome.ACCEPTED].inc()
    _bytes[signal].inc(size)


def count_refused(signal: Signal, refusal: Refusal) -> None:
    _requests[signal, Outcome.REJECTED if refusal.retry_after is None else Outcome.RETRY].inc()

"""Predictions of machine-learning models as OpenTelemetry.

Usage
-----

With no change to the program::

    opentelemetry-instrument --service_name pricing python server.py

or from within it, once the OpenTelemetry SDK is set up::

    from modelspan.instrumentation import instrument

    instrument()

Each prediction that the program makes becomes a row of an ``ml.prediction.batch`` event, with every feature and output;
a count and a duration in the metrics ``ml.predictions`` and ``ml.operation.duration``; and, within a sampled trace or else
up to ten times a second, a span ``predict <model>``. The program waits for a copy of the arrays; the rest happens in
one background thread. Where no SDK is set up, or under ``suppress_instrumentation()``, nothing is recorded.

Saying more
-----------

Nothing below is needed, and nothing below raises.

.. code-block:: python

    from modelspan.instrumentation import identify, prediction_context, record_actual, set_reference

    identify(model, name="pricing", version="2026-03", run_id="7f3a")    # else: the class, and a digest of the fit

    with prediction_context(ids=orders, segment={"country": "DE"}) as context:
        prices = model.predict(X)
    record_actual(model, context.prediction_ids, value=paid)             # when it is known

    set_reference(model, X_train)                                        # in the training program, or where the data is

Configuration
-------------

Environment variables; the keyword of the same name of ``instrument``, or of ``SklearnInstrumentor().instrument`` and the like, comes first.

================================================ ======== ==========================================================
variable                                         default  meaning
================================================ ======== ==========================================================
``OTEL_INSTRUMENTATION_ML_CAPTURE``              all      features to capture: ``all``, ``none``, or names with commas
``OTEL_INSTRUMENTATION_ML_TENSORS``              summary  of each row of a tensor: ``summary``, ``values``, ``none``
``OTEL_INSTRUMENTATION_ML_FEATURES``                      by name: ``age=bucket:10,ssn=drop,email=hash,name=mask``
``OTEL_INSTRUMENTATION_ML_HASH_KEY``                      key of the hashes
``OTEL_INSTRUMENTATION_ML_HASH_KEY_FILE``                 file that holds the key
``OTEL_INSTRUMENTATION_ML_PII``                  off      personal data in texts: ``off``, ``mask``, ``hash``, ``drop``
``OTEL_INSTRUMENTATION_ML_PII_REGION``                    country of phone numbers without a prefix, as ``DE``
``OTEL_INSTRUMENTATION_ML_MODEL_NAME``                    name of models that the program does not identify
``OTEL_INSTRUMENTATION_ML_MODEL_VERSION``                 version of models that the program does not identify
``OTEL_INSTRUMENTATION_ML_SPAN_RATE``            10       spans per second and model outside of a sampled trace
``OTEL_INSTRUMENTATION_ML_SPAN_FEATURES``        false    features of single rows on their spans, as one map
``OTEL_INSTRUMENTATION_ML_FORM``                 batches  ``rows``: each prediction is an event that people can read
``OTEL_INSTRUMENTATION_ML_REFERENCE``            auto     references of what is fitted: ``auto``, ``off``
``OTEL_INSTRUMENTATION_ML_FLUSH_INTERVAL``       1        seconds between two batches
``OTEL_INSTRUMENTATION_ML_QUEUE_BYTES``          64 MiB   bytes that may wait; what does not fit is dropped and counted
``OTEL_INSTRUMENTATION_ML_QUEUE_CALLS``          100000   calls that may wait
``OTEL_INSTRUMENTATION_ML_CALL_BYTES``           8 MiB    bytes copied of one call; more: a weighted sample of its rows
``OTEL_INSTRUMENTATION_ML_DUTY``                 0.1      share of a core for the background thread; more: as above
``OTEL_INSTRUMENTATION_ML_OVERHEAD``             0.005    share of the time for recording calls of 1,000 rows or more
``OTEL_INSTRUMENTATION_ML_SAMPLE``               1        probability with which a row is handed on
``OTEL_INSTRUMENTATION_ML_KEEP``                 *        rows handed on anyway: ``error,uncertain:0.05,slow:p99``
``OTEL_INSTRUMENTATION_ML_KEEP_RULE``                     ``module:function`` that says which other rows are
``OTEL_INSTRUMENTATION_ML_BATCH_ROWS``           4096     most rows in one event
``OTEL_INSTRUMENTATION_ML_MAX_FEATURES``         1000     features captured of each row
``OTEL_INSTRUMENTATION_ML_EXIT_TIMEOUT``         5        seconds that the exit may wait for the last exports
================================================ ======== ==========================================================

``OTEL_SDK_DISABLED`` and ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=modelspan-sklearn`` turn it off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelspan.instrumentation.api import (
        flush,
        identify,
        prediction_context,
        record_actual,
        record_outcome,
        set_reference,
        withdraw_reference,
    )
    from modelspan.instrumentation.everything import instrument, uninstrument

__all__ = [
    "flush",
    "identify",
    "instrument",
    "prediction_context",
    "record_actual",
    "record_outcome",
    "set_reference",
    "uninstrument",
    "withdraw_reference",
]


def __getattr__(name: str) -> Any:
    # Only now: every process that is instrumented imports this package, and few say anything.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from modelspan.instrumentation import api, everything

    return getattr(everything if name in ("instrument", "uninstrument") else api, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

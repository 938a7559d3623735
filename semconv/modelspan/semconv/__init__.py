"""The vocabulary of Modelspan: names of attributes, metrics, events and columns.

`registry/` is the one source, in OpenTelemetry's `definition/2` format. `attributes`, `metrics` and `events` are
generated from it (`python -m modelspan.semconv.generate`); `columns` names the columns of a batch.
"""

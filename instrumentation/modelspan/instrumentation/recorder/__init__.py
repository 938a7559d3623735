"""Turns calls of a model into telemetry: a snapshot by the caller, everything else in one background thread."""

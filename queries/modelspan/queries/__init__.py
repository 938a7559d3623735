"""Saved queries on predictions, windows and verdicts, and the commands that run them."""

from __future__ import annotations

from modelspan.queries.catalog import Parameter, QueryError, SavedQuery, catalog, find

__all__ = ["Parameter", "QueryError", "SavedQuery", "catalog", "find"]

"""Print the tables of the README: `python -m bench`, or `make bench`."""

from __future__ import annotations

from bench import import_cost, ingest, overhead, sustained

for title, table in (
    ("Overhead in the user's process", overhead.table),
    ("A program that predicts without end", sustained.table),
    ("Cost of importing and instrumenting", import_cost.table),
    ("Ingest", lambda: ingest.table(60)),
):
    print(f"\n## {title}\n\n{table()}", flush=True)

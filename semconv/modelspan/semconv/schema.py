"""The schema URL that instrumentation scopes carry.

Generated from `registry/` by `python -m modelspan.semconv.generate`. Do not edit.
"""

from typing import Final

SCHEMA_URL: Final = "https://modelspan.example/schemas/ml-dev/0.1.0-dev"

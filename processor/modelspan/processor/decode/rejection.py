"""Why something was not taken as what it claims to be. It is stored as ordinary telemetry then, and counted by reason."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from modelspan.processor.terse import REASON

_log = logging.getLogger(__name__)

CORRUPT_REQUEST: Final = "corrupt_request"
CORRUPT_PAYLOAD: Final = "corrupt_payload"
UNKNOWN_FORMAT: Final = "unknown_format"
TOO_LARGE: Final = "too_large"
MISSING_ATTRIBUTE: Final = "missing_attribute"
ATTRIBUTE_TYPE: Final = "attribute_type"
MISSING_COLUMN: Final = "missing_column"
DUPLICATE_COLUMN: Final = "duplicate_column"
COLUMN_TYPE: Final = "column_type"
MISSING_VALUE: Final = "missing_value"
ROW_COUNT: Final = "row_count"
TIME_RANGE: Final = "time_range"
VALUE_RANGE: Final = "value_range"
INVALID_PROFILE: Final = "invalid_profile"
NAME_TOO_LONG: Final = "name_too_long"
UNDECODABLE: Final = "undecodable"
UNRECOGNISED: Final = "unrecognised"
"""It looks like an event of ours, of which nobody knows which."""
REPEATED: Final = "repeated"
"""Not a fault: a delivery that came before."""


def left_out(rejected: Counter[str], reason: str, what: str, times: int = 1) -> None:
    """Count and name a part of something whose rest is taken."""
    rejected[reason] += times
    _log.warning("left out: %s", what, extra={REASON: reason})


def read_by_magnitude(rejected: Counter[str], whose: str, times: int = 1) -> None:
    """Count and name times that are no nanoseconds since 1970: they are taken in another unit, if there is one."""
    rejected[TIME_RANGE] += times
    _log.warning(
        "not in nanoseconds since 1970, so read by its magnitude: time of %s", whose, extra={REASON: TIME_RANGE}
    )


class Rejected(Exception):
    """A payload or an event that cannot be taken; `reason` is one of the constants above."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

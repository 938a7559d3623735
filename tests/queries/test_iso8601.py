"""Times as people and programs write them, with every Python that is supported."""

from __future__ import annotations

import pytest

from modelspan.queries import iso8601


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2025-01-31", "2025-01-31T00:00:00+00:00"),
        ("2025-01-31T12:00:00Z", "2025-01-31T12:00:00+00:00"),
        ("2025-01-31 12:00:00.25+02:00", "2025-01-31T10:00:00.250000+00:00"),
        ("2025-01-31T12:00:00.123456789z", "2025-01-31T12:00:00.123456+00:00"),
        ("2025-01-31T12:00:00,5-01:30", "2025-01-31T13:30:00.500000+00:00"),
    ],
)
def test_a_time_is_read_whatever_its_fraction_and_zone(text: str, utc: str) -> None:
    assert iso8601.read(text).isoformat() == utc


@pytest.mark.parametrize("text", ["", "soon", "2025-13-01", "12:00:00.5", "0001-01-01T00:00:00+01:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        iso8601.read(text)

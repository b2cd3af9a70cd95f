"""The part of the report that speaks of requests (design, section 8)."""

from __future__ import annotations

from dataclasses import replace

from tests.app.test_sight import DAY_USAGE
from watcher.app.report import requests


def test_pools_of_one_family_are_one_row_per_window() -> None:
    """Scripts read one object per account, family and window: the fullest pool, and the sums."""
    quality = replace(DAY_USAGE, pool="acme/realtime/quality", worst=300, total=310, refused_by_vendor=1)
    usage = replace(DAY_USAGE, pool="acme/realtime/usage", worst=120, total=130)
    minute = replace(usage, window="minute", limit=3, worst=2)
    assert requests([quality, usage, minute]) == [
        {
            "account": "acme",
            "family": "realtime",
            "window": "day",
            "spent": 300,
            "limit": 480,
            "total": 440,
            "refused_by_vendor": 1,
        },
        {
            "account": "acme",
            "family": "realtime",
            "window": "minute",
            "spent": 2,
            "limit": 3,
            "total": 130,
            "refused_by_vendor": 0,
        },
    ]

"""The plans' numbers for Data Insights, and the vendor's names of what it tells (dossier sections 5, 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import Field

from watcher.clock import DAY, HOUR
from watcher.yamlfile import Strict

DAILY = "daily"  # the first word of the products of quality: never mixed with live ones


class InsightLimits(NamedTuple):
    """A plan's numbers: requests, and seconds. `delay` is that of the later of usage and quality."""

    per_minute: int
    per_day: int
    back: int
    span: int
    delay: int
    quality_delay: int


INSIGHT_PLANS = {
    "premium": InsightLimits(3, 40, 14 * DAY, 3 * DAY, 12 * HOUR, 6 * HOUR),
    "enterprise": InsightLimits(10, 60, 30 * DAY, 7 * DAY, 6 * HOUR, 6 * HOUR),
}


class InsightMetric(NamedTuple):
    """The vendor's name, and its other spelling where it has two; `scale` makes it ours."""

    name: str
    quality: bool
    other: str = ""
    scale: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """Its spellings, the likelier one first."""
        return (self.name, self.other) if self.other else (self.name,)


METRICS: Mapping[str, InsightMetric] = {
    "daily_video_freeze_ratio": InsightMetric("videoFreezeRate", quality=True),
    "daily_audio_freeze_ratio": InsightMetric("audioFreezeRate", quality=True),
    "daily_network_delay_ratio": InsightMetric("networkDelay", quality=True),
    "daily_join_success_ratio": InsightMetric("joinSuccessRate", quality=True),
    "daily_join_success_5s_ratio": InsightMetric("joinSuccessIn5sRate", quality=True),
    "daily_users": InsightMetric("userCount", quality=False),
    "daily_channels": InsightMetric("channelCount", quality=False),
    "daily_joins": InsightMetric("sessionCount", quality=False),
    "daily_peak_users": InsightMetric("peakConcurrentUsers", quality=False, other="peakCurrentUsers"),
    "daily_peak_channels": InsightMetric("peakConcurrentChannels", quality=False, other="peakCurrentChannels"),
    "daily_media_seconds": InsightMetric("totalDuration", quality=False, scale=60.0),
    "daily_video_seconds": InsightMetric("totalVideoDuration", quality=False, scale=60.0),
    "daily_audio_seconds": InsightMetric("totalAudioDuration", quality=False, scale=60.0),
}
"""Signal -> what it is called in insights. Durations come in minutes."""


PAST: Mapping[str, str] = {
    "video_freeze_ratio": "daily_video_freeze_ratio",
    "audio_freeze_ratio": "daily_audio_freeze_ratio",
    "network_delay_ratio": "daily_network_delay_ratio",
    "join_success_ratio": "daily_join_success_ratio",
    "join_success_5s_ratio": "daily_join_success_5s_ratio",
}
"""Live signals whose past insights tell by the hour -> the same metric above. The five rates of section 4 are named as
those of quality in section 5.1, by product, with the same divisors. Usage means something else: users and channels are
those at once when live, and all of an hour here, each counted once, of both products together."""


class InsightQuota(Strict):
    """Requests that the vendor allows; None takes the plan's."""

    per_minute: Annotated[int, Field(ge=1, le=10_000)] | None = None
    per_day: Annotated[int, Field(ge=1, le=1_000_000)] | None = None

"""The real-time API's metrics: the only place that knows their names there (dossier section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Metric(NamedTuple):
    """Agora's name of a signal, the endpoint group that has it, and whether it is a share (0-1) or a count."""

    name: str
    endpoint: str  # "usage" or "quality"
    ratio: bool


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "users": Metric("userCount", "usage", ratio=False),
        "channels": Metric("channelCount", "usage", ratio=False),
        "video_freeze_ratio": Metric("videoFreezeRate", "quality", ratio=True),
        "audio_freeze_ratio": Metric("audioFreezeRate", "quality", ratio=True),
        "network_delay_ratio": Metric("networkDelay", "quality", ratio=True),
        "join_success_ratio": Metric("joinSuccessRate", "quality", ratio=True),
        "join_success_5s_ratio": Metric("joinSuccessIn5sRate", "quality", ratio=True),
    }
)
"""Signals that Agora's real-time API has (section 4), by our names."""

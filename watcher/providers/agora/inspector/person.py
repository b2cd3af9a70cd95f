"""One user of a call, minute by minute: what was measured at their side and on the way to them (dossier 8.3). Pure.

In each minute the mean over the streams of the stream's mean there, under a name with its unit. Loss and bitrates as
received are those that rules judge (`figures`). A freeze is milliseconds in the report's interval; reports come about
every two seconds, and one that is missing makes the next one's interval longer. Of a high and a low stream at the same
moment bitrates add up; frames and sizes are the larger one's.

Where a user has stays of both products in a minute, the Native figures of loss and bitrates stand: they never mix.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from watcher.calls import Minute
from watcher.providers.agora.inspector.figures import BYTES, MEASURED, NATIVE, WEB, Votes, means
from watcher.providers.agora.inspector.streams import MIDS, Stream

_INTERVAL = 2  # seconds between reports
_LONGEST = 6  # seconds that a report may stand for

_UNITS = {"%": 0.01, "ms": 0.001, "Kbps": BYTES}

_FREEZES: Mapping[str, tuple[int, ...]] = {"video_freeze_ratio": (20011,), "audio_freeze_ratio": (20005,)}
_UPLINK: Mapping[str, tuple[int, ...]] = {
    "uplink_video_packet_loss_ratio": (20017, 20038),
    "uplink_audio_packet_loss_ratio": (20015, 20037),
}
_OTHERS: Mapping[str, tuple[int, ...]] = {
    "sent_video_bitrate_bytes_per_second": (20024, 20006),
    "sent_audio_bitrate_bytes_per_second": (20003,),
    "received_fps": (20010, 20031),
    "received_width_pixels": (20019, 20032),
    "received_height_pixels": (20020, 20033),
    "captured_fps": (20007,),
    "sent_fps": (20008, 20023),
    "sent_width_pixels": (20027, 20034),
    "sent_height_pixels": (20028, 20035),
    "picture_qp": (20013,),
    "local_rtt_seconds": (20022,),
    "scheduling_delay_seconds": (20021,),
    "app_cpu_ratio": (20001,),
    "system_cpu_ratio": (20002,),
    "app_memory_ratio": (20039,),
    "system_memory_ratio": (20040,),
    "capture_volume_decibels": (20025,),
    "playback_volume_decibels": (20026,),
}
"""Name -> the metric ids of it, of one unit."""


def minutes(streams: Sequence[Stream], votes: Votes, *, told: bool) -> tuple[Minute, ...]:
    """All that is known of one user, in ascending minutes; loss only where it can be `told` (`lossunit`)."""
    found: dict[int, dict[str, float]] = defaultdict(dict)
    for name, values in _quantities(streams, votes, told):
        for start, value in values.items():
            found[start][name] = value
    return tuple(Minute(start, values) for start, values in sorted(found.items()))


def _quantities(streams: Sequence[Stream], votes: Votes, told: bool) -> Iterator[tuple[str, Mapping[int, float]]]:
    for signal, (_, kind) in MEASURED.items():
        if kind == "mean":
            values = {**votes.windows(WEB, signal), **votes.windows(NATIVE, signal)}
            yield signal, {start: value.value for start, value in values.items()}
    for name, mids in _FREEZES.items():
        yield name, _by_minute([_share(stream) for stream in streams if stream.mid in mids], 1.0)
    for name, mids in _UPLINK.items():
        own = [stream for stream in streams if stream.mid in mids]
        if told and all(votes.loss_scale * stream.value.max() <= 1 for stream in own):
            yield name, _by_minute(own, votes.loss_scale)
    for name, mids in _OTHERS.items():
        unit = MIDS[mids[0]].unit
        own = [stream for stream in streams if stream.mid in mids]
        yield name, _by_minute(own, _UNITS.get(unit, 1.0), largest=unit != "Kbps")


def _share(stream: Stream) -> Stream:
    """Frozen milliseconds as a share of the time that each report stands for."""
    seconds = np.clip(np.diff(stream.at, prepend=stream.at[0] - _INTERVAL), 1, _LONGEST)
    return replace(stream, value=np.minimum(stream.value / (1000.0 * seconds), 1.0))


def _by_minute(streams: Sequence[Stream], scale: float, *, largest: bool = False) -> Mapping[int, float]:
    """The mean over the streams, minute by minute."""
    parts: dict[tuple[str, int | None], list[Stream]] = defaultdict(list)
    for stream in streams:
        parts[stream.sid, stream.peer].append(stream)
    found: dict[int, list[float]] = defaultdict(list)
    for of in parts.values():
        for start, value in means(of, largest=largest):
            found[start].append(value * scale)
    return {start: sum(values) / len(values) for start, values in found.items()}

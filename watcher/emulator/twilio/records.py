"""How rooms and participants read as JSON (dossier, section 2): every field the vendor has, in its order.

All numbers of a room are of the participants that show, so they grow with them. Times are cut to the second, and
durations are the differences of what is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from watcher.clock import rfc3339
from watcher.emulator.counting import most_at_once
from watcher.emulator.dice import bits, stamp
from watcher.emulator.twilio.rooms import Room
from watcher.emulator.twilio.view import Seen, View
from watcher.emulator.twilio.world import CAPACITY, EDGES, Answers

_PLATFORMS = (("Windows", "11", "desktop"), ("macOS", "26.1", "desktop"), ("Android", "16", "mobile"))


def room_record(room: Room, seen: Sequence[Seen], *, view: View, answers: Answers, base: str) -> dict[str, Any]:
    """One room. `base` is the scheme and host that its links lead to."""
    over = view.over(room)
    url = f"{base}/v1/Video/Rooms/{room.sid}"
    mixed = bool(bits(room.key ^ 0x71E) & 1)
    ended = [one for one in seen if not one.open]
    return {
        "account_sid": room.account.sid,
        "room_sid": room.sid,
        "room_name": room.name,
        "create_time": _time(room.start, answers, mixed),
        "end_time": _time(room.end, answers, mixed) if over else None,
        "room_type": room.room_type,
        "room_status": "completed" if over else "in_progress",
        "status_callback": room.callback or None,
        "status_callback_method": "POST" if room.callback else None,
        "created_method": room.method,
        "end_reason": ("room_ended_via_api" if room.completed else "timeout") if over else None,
        "max_participants": CAPACITY,
        "unique_participants": len(seen),
        "unique_participant_identities": len({one.stay.identity for one in seen}),
        "concurrent_participants": most_at_once([(s.stay.join, s.stay.leave) for s in seen if not s.stay.failed]),
        "max_concurrent_participants": CAPACITY,
        "codecs": list(room.codecs),
        "media_region": room.region,
        "duration_sec": math.floor(room.end) - math.floor(room.start) if over else None,
        "total_participant_duration_sec": sum(_duration(one) for one in ended),
        "total_recording_duration_sec": sum(_duration(one) for one in ended) if room.recorded else 0,
        "processing_state": _state(view.state(room), answers),
        "recording_enabled": room.recorded,
        "edge_location": EDGES.get(room.region, "roaming"),
        "url": url,
        "links": {"participants": f"{url}/Participants"},
    }


def participant_record(room: Room, seen: Seen, *, answers: Answers, base: str) -> dict[str, Any]:
    """One participant. A failed attempt has no codecs, properties or publisher."""
    stay = seen.stay
    mixed = bool(bits(stay.key ^ 0x71E) & 1)
    normal = seen.code is None and seen.reason in ("disconnected_via_api", None)
    reason = None if answers.normal == "nothing" and normal else seen.reason
    duration: int | None = None if seen.open else _duration(seen)
    if stay.failed and bits(stay.key ^ 0xD0) % 10_000 < room.account.no_duration * 10_000:
        duration = None
    return {
        "participant_sid": stay.sid,
        "participant_identity": stay.identity,
        "join_time": _time(stay.join, answers, mixed),
        "leave_time": None if seen.open else _time(stay.leave, answers, mixed),
        "duration_sec": duration,
        "account_sid": room.account.sid,
        "room_sid": room.sid,
        "status": "connected" if seen.open else "completed" if normal else "disconnected",
        "codecs": [] if stay.failed else list(room.codecs),
        "end_reason": reason,
        "error_code": _code(seen.code, answers, mixed=bool(bits(stay.key ^ 0x0E) & 1)),
        "error_code_url": None if seen.code is None else f"https://www.twilio.com/docs/api/errors/{seen.code}",
        "media_region": stay.region,
        "edge_location": stay.edge,
        "properties": {} if stay.failed else _properties(room, answers),
        "publisher_info": {} if stay.failed else _publisher(seen, answers),
        "url": f"{base}/v1/Video/Rooms/{room.sid}/Participants/{stay.sid}",
    }


def _time(at: float, answers: Answers, mixed: bool) -> str:
    fraction = answers.timestamps == "millis" or (answers.timestamps == "mixed" and mixed)
    text = stamp(at) if fraction else rfc3339(math.floor(at))
    assert text is not None
    return text


def _state(state: str, answers: Answers) -> str | None:
    if state not in ("in_progress", "not_started") or answers.processing == "underscore":
        return state
    return state.replace("_", "-") if answers.processing == "hyphen" else None


def _code(code: int | None, answers: Answers, *, mixed: bool) -> int | None:
    if code is not None:
        return code
    return 0 if answers.no_error == "zero" or (answers.no_error == "mixed" and mixed) else None


def _duration(seen: Seen) -> int:
    return math.floor(seen.stay.leave) - math.floor(seen.stay.join)


def _properties(room: Room, answers: Answers) -> dict[str, Any]:
    if answers.properties == "empty":
        return {}
    values = (room.recorded, 1, 1, 0, room.method == "ad_hoc")
    names = ("recordOnConnect", "numAudioTracks", "numVideoTracks", "numDataTracks", "isAdhoc")
    if answers.properties == "snake":
        names = ("record_on_connect", "num_audio_tracks", "num_video_tracks", "num_data_tracks", "is_adhoc")
    return dict(zip(names, values, strict=True))


def _publisher(seen: Seen, answers: Answers) -> dict[str, Any]:
    if answers.publisher == "empty":
        return {}
    stay = seen.stay
    name, _, version = stay.sdk.rpartition(" ")
    info: dict[str, Any] = {"name": name, "sdk_version": version}
    if answers.publisher == "full":
        browser, _, major = stay.browser.rpartition(" ")
        platform, platform_version, device = _PLATFORMS[bits(stay.key ^ 0x05) % len(_PLATFORMS)]
        info |= {
            "browser_name": browser or None,
            "browser_major": major or None,
            "browser_version": f"{major}.0" if major else None,
            "device_architecture": "amd64",
            "device_manufacturer": None,
            "device_model": device,
            "platform_name": platform,
            "platform_version": platform_version,
        }
    return info

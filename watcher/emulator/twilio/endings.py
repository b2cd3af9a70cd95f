"""How a stay can end, in the vendor's words (dossier, section 8), and what kind of event each ending is.

`ATTEMPT`: the client never got in; `CUT`: it was in and was thrown out; `LEAVE`: nothing cut it, the words are said
of a stay that ended when it wanted to. The manner is ours: it decides when an ending can happen, never what a monitor
is to think of it. Codes without an `end_reason` of their own come with `unknown` (INFERRED).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Manner(StrEnum):
    """When an ending happens to a stay."""

    ATTEMPT = "attempt"
    CUT = "cut"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Ending:
    """What `end_reason` and `error_code` say of a stay. None: nothing."""

    reason: str | None
    code: int | None
    manner: Manner


_ATTEMPTS = (
    ("signaling_connection_error", 53000),
    ("room_name_is_invalid", 53100),
    ("room_name_is_too_long", 53101),
    ("room_name_contains_invalid_characters", 53102),
    ("unable_to_create_room", 53103),
    ("unable_to_connect_to_room", 53104),
    ("room_contains_too_many_participants", 53105),
    ("room_not_found", 53106),
    ("max_participants_is_out_of_range", 53107),
    ("room_type_is_not_valid", 53108),
    ("timeout_is_out_of_range", 53109),
    ("status_callback_method_is_invalid", 53110),
    ("status_callback_is_invalid", 53111),
    ("status_is_invalid", 53112),
    ("room_creation_failed", 53113),
    ("the_room_account_limit_was_exceeded", 53119),
    ("participant_identity_is_invalid", 53200),
    ("participant_identity_is_too_long", 53201),
    ("participant_identity_contains_invalid_characters", 53202),
    ("participant_account_limit_was_exceeded", 53206),
    ("client_is_unable_to_create_or_apply_a_local_media_description", 53400),
    ("server_is_unable_to_create_or_apply_a_local_media_description", 53401),
    ("client_is_unable_to_apply_a_remote_media_description", 53402),
    ("server_is_unable_to_apply_a_remote_media_description", 53403),
    ("no_supported_codec", 53404),
    ("unable_to_acquire_configuration", 53500),
    ("unable_to_acquire_TURN_credentials", 53501),
)
_CUTS = (
    ("signaling_connection_disconnected", 53001),
    ("signaling_connection_timed_out", 53002),
    ("client_received_an_invalid_signaling_message", 53003),
    ("client_sent_an_invalid_signaling_message", 53004),
    ("room_completed_error", 53118),
    ("invalid_recording_rule", 53120),
    ("recording_operation_requested_is_not_supported_for_the_Room_type", 53122),
    ("participant_has_too_many_tracks", 53203),
    ("participant_not_found", 53204),
    ("participant_disconnected_because_of_duplicate_identity", 53205),
    ("invalid_subscribe_rule", 53215),
    ("track_is_invalid", 53300),
    ("track_name_is_invalid", 53301),
    ("track_name_is_too_long", 53302),
    ("track_name_contains_invalid_characters", 53303),
    ("track_name_is_duplicated", 53304),
    ("media_connection_failed_or_media_activity_ceased", 53405),
)
_LEAVES = (
    ("disconnected_via_api", None),
    ("approaching_room_or_participant_concurrency_limits", 53121),
    ("unknown", None),
)
_NAMELESS_ATTEMPTS = (
    53006, 53114, 53115, 53116, 53117, 53123, 53124, 53125, 53126, 53127, 53207, 53208, 53209, 53217, 53305, 53407,
)  # fmt: skip
_NAMELESS_CUTS = (53216, 53406, 53408)

ENDINGS: tuple[Ending, ...] = (
    *(Ending(reason, code, Manner.LEAVE) for reason, code in _LEAVES),
    *(Ending(reason, code, Manner.ATTEMPT) for reason, code in _ATTEMPTS),
    *(Ending(reason, code, Manner.CUT) for reason, code in _CUTS),
)
"""All 47 values of `end_reason`."""

BY_WORD: Mapping[str, Ending] = {
    **{ending.reason: ending for ending in ENDINGS if ending.reason},
    **{str(ending.code): ending for ending in ENDINGS if ending.code},
    **{str(code): Ending("unknown", code, Manner.ATTEMPT) for code in _NAMELESS_ATTEMPTS},
    **{str(code): Ending("unknown", code, Manner.CUT) for code in _NAMELESS_CUTS},
    "none": Ending(None, None, Manner.LEAVE),
}
"""An ending by what a scenario may call it: an `end_reason`, an error code, or `none`."""

NORMAL = BY_WORD["disconnected_via_api"]
COMPLETED = BY_WORD["53118"]
DROPPED = BY_WORD["53001"]

HEALTHY: Mapping[str, float] = {
    "53000": 0.003,
    "53001": 0.015,
    "53002": 0.002,
    "53204": 0.002,
    "53205": 0.005,
    "53405": 0.004,
}
"""Nobody's calls end without any: a closed laptop reads as 53001 (dossier, section 8)."""

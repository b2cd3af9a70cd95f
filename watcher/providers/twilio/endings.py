"""How a participant's stay ended, and whether that is a failure (dossier section 8).

A row may say it twice: by `end_reason`, one of 47 words, and by `error_code`, one of the 53xxx numbers. The dossier
pairs 45 of the words with a code, so the table is by code; a word is filed where its code is. Both vocabularies drift:
an unknown code is a failure that is named, an unknown word without a code is not.

Classes instead of a flag per code: what on-call does differs between a path that broke (`drop`), a door that stayed
shut (`connect`), an application's own mistake (`config`) and a quota that is full (`quota`). Users may file any ending
elsewhere (`classes`), which moves its word and its code together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

Class = Literal["normal", "drop", "connect", "config", "quota", "warning", "unclassified", "unknown"]
Basis = Literal["either", "end_reason", "error_code"]

FAILING: tuple[Class, ...] = ("connect", "drop", "quota", "unknown")
SOON = 15  # seconds: who is dropped sooner never got in (our choice; the dossier's default)

_PAIRED: Mapping[int, tuple[str, Class]] = {
    53000: ("signaling_connection_error", "connect"),
    53001: ("signaling_connection_disconnected", "drop"),
    53002: ("signaling_connection_timed_out", "drop"),
    53003: ("client_received_an_invalid_signaling_message", "drop"),
    53004: ("client_sent_an_invalid_signaling_message", "drop"),
    53100: ("room_name_is_invalid", "config"),
    53101: ("room_name_is_too_long", "config"),
    53102: ("room_name_contains_invalid_characters", "config"),
    53103: ("unable_to_create_room", "connect"),
    53104: ("unable_to_connect_to_room", "connect"),
    53105: ("room_contains_too_many_participants", "connect"),
    53106: ("room_not_found", "config"),
    53107: ("max_participants_is_out_of_range", "config"),
    53108: ("room_type_is_not_valid", "config"),
    53109: ("timeout_is_out_of_range", "config"),
    53110: ("status_callback_method_is_invalid", "config"),
    53111: ("status_callback_is_invalid", "config"),
    53112: ("status_is_invalid", "config"),
    53113: ("room_creation_failed", "config"),
    53118: ("room_completed_error", "normal"),
    53119: ("the_room_account_limit_was_exceeded", "quota"),
    53120: ("invalid_recording_rule", "config"),
    53121: ("approaching_room_or_participant_concurrency_limits", "warning"),
    53122: ("recording_operation_requested_is_not_supported_for_the_room_type", "config"),
    53200: ("participant_identity_is_invalid", "config"),
    53201: ("participant_identity_is_too_long", "config"),
    53202: ("participant_identity_contains_invalid_characters", "config"),
    53203: ("participant_has_too_many_tracks", "config"),
    53204: ("participant_not_found", "drop"),
    53205: ("participant_disconnected_because_of_duplicate_identity", "config"),
    53206: ("participant_account_limit_was_exceeded", "quota"),
    53215: ("invalid_subscribe_rule", "config"),
    53300: ("track_is_invalid", "config"),
    53301: ("track_name_is_invalid", "config"),
    53302: ("track_name_is_too_long", "config"),
    53303: ("track_name_contains_invalid_characters", "config"),
    53304: ("track_name_is_duplicated", "config"),
    53400: ("client_is_unable_to_create_or_apply_a_local_media_description", "connect"),
    53401: ("server_is_unable_to_create_or_apply_a_local_media_description", "connect"),
    53402: ("client_is_unable_to_apply_a_remote_media_description", "connect"),
    53403: ("server_is_unable_to_apply_a_remote_media_description", "connect"),
    53404: ("no_supported_codec", "connect"),
    53405: ("media_connection_failed_or_media_activity_ceased", "drop"),
    53500: ("unable_to_acquire_configuration", "connect"),
    53501: ("unable_to_acquire_turn_credentials", "connect"),
}
_WORDS_ALONE: Mapping[str, Class] = {"disconnected_via_api": "normal", "unknown": "unclassified"}
_CODES_ALONE: Mapping[int, Class] = {
    53006: "connect",
    **dict.fromkeys((*range(53114, 53118), *range(53123, 53128), *range(53207, 53210), 53217), "config"),
    53216: "normal",
    53305: "connect",
    53406: "drop",
    53407: "connect",
    53408: "config",
    **dict.fromkeys(range(53600, 53700), "normal"),  # of recordings and compositions: nobody's stay
}

WORDS: Mapping[str, Class] = MappingProxyType(dict(_PAIRED.values()) | dict(_WORDS_ALONE))
"""Every documented `end_reason`, in lower case (two of the vendor's have capitals)."""
CODES: Mapping[int, Class] = MappingProxyType({code: kind for code, (_, kind) in _PAIRED.items()} | dict(_CODES_ALONE))
_WORD_OF: Mapping[int, str] = {code: word for code, (word, _) in _PAIRED.items()}
_CODE_OF: Mapping[str, int] = {word: code for code, word in _WORD_OF.items()}


class Verdict(NamedTuple):
    """What one stay's end counts as. `strange` are the words nobody knows, `conflict` that the two contradict."""

    failed: bool = False
    dropped: bool = False
    kept_out: bool = False
    refused: bool = False  # for a quota
    ending: str = ""  # the code or word that made it a failure
    strange: tuple[str, ...] = ()
    conflict: bool = False


class Judge:
    """One project's way of reading endings."""

    def __init__(self, *, basis: Basis, classes: Mapping[str, Class]) -> None:
        moved = {alias: kind for ending, kind in classes.items() for alias in _aliases(ending)}
        self._words = {**WORDS, **{ending: kind for ending, kind in moved.items() if not ending.isdecimal()}}
        self._codes = {**CODES, **{int(ending): kind for ending, kind in moved.items() if ending.isdecimal()}}
        self._basis = basis

    def of(self, reason: str | None, code: int | None, duration: float | None) -> Verdict:
        """`reason` in any case; `code` None or 0 for none; `duration` of the stay in seconds, None if not known."""
        word = reason.lower() if reason else ""
        says = tuple(self._says(word, code or 0))
        name, kind = next(((name, kind) for name, kind in says if kind in FAILING), ("", "normal"))
        early = kind == "drop" and (duration is None or duration < SOON)
        strange = (word,) if word and word not in self._words else ()
        return Verdict(
            failed=kind in FAILING,
            dropped=kind == "drop",
            kept_out=kind == "connect" or early,
            refused=kind == "quota",
            ending=name,
            strange=strange + ((str(code),) if code and code not in self._codes else ()),
            conflict=bool(word and code and not strange and _CODE_OF.get(word) != code),
        )

    def _says(self, word: str, code: int) -> Iterator[tuple[str, Class]]:
        """The code first: it tells more than a word that may stand for many."""
        if code and self._basis != "end_reason":
            yield str(code), self._codes.get(code, "unknown")
        if word and self._basis != "error_code":
            yield str(_CODE_OF.get(word, word)), self._words.get(word, "unclassified")


def _aliases(ending: str) -> Iterator[str]:
    """An ending and its other name."""
    yield ending
    other = _WORD_OF.get(int(ending)) if ending.isdecimal() else _CODE_OF.get(ending)
    if other is not None:
        yield str(other)

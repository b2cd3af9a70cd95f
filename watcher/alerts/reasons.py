"""Why a target hears of something, not now, or never: the closed sets that log, metrics and records share.

One word for each stage of the pipeline, so that "why was I not paged" has an answer in three places and the same one
in each. They are slugs because they are metric labels; the sentences for people are in `message`.
"""

from __future__ import annotations

from enum import StrEnum


class Dropped(StrEnum):
    """Why an obligation is never discharged by a message: recorded with it."""

    NO_ROUTE = "no_route"  # no route takes the alert
    TARGET_REMOVED = "target_removed"  # from the configuration
    ENDED_LONG_AGO = "ended_long_ago"  # it was over for too long when it became known
    SUPERSEDED = "superseded"  # taken back before it was said
    OVERTAKEN = "overtaken"  # a later message went out from memory while the state could not be read
    SILENCED = "silenced"
    INHIBITED = "inhibited"  # an alert that covers more says it
    MAINTENANCE = "maintenance"
    OFF_HOURS = "off_hours"  # of every route that takes it to this target
    FLAPPING = "flapping"  # one of the changes between two that were said
    IN_HAND = "in_hand"  # an update of what somebody acknowledged
    NO_ROOM = "no_room"  # an update where the target heard half of what it may hear this hour: the rest is for news
    NOT_TOLD = "not_told"  # the end of what this target never heard of


class Held(StrEnum):
    """Why an obligation waits."""

    IN_ORDER = "in_order"  # an earlier message of this alert is not delivered yet
    GROUP_WAIT = "group_wait"
    GROUP_INTERVAL = "group_interval"
    FLAPPING = "flapping"  # until the alert stays as it is
    RATE_CAP = "rate_cap"  # the target heard enough this hour
    ACKNOWLEDGED = "acknowledged"  # its repeat: somebody has it in hand
    MUTED = "muted"  # its repeat, or its beginning until then: silenced, inhibited, maintenance or off hours


class Said(StrEnum):
    """Why a message goes out: recorded with it."""

    NEWS = "news"  # something began or ended
    REPEAT = "repeat"  # it still fires, and nobody has it in hand
    UNMUTED = "unmuted"  # it still fires, and what muted it is over
    UPDATE = "update"  # it fires as was said, and more is known of it
    SUMMARY = "summary"  # what the cap held back, in one message

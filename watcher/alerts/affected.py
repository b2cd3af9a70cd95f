"""Which groups of users an alert is about, and the sentence that says so. Pure.

A group stands out by what it does to its users beside everybody else, not beside the whole: where half of all users are
in it, the whole is half as bad as the group, and still it is that group. So each is compared with the rest:

    rest = (whole * all users - value * its users) / (all users - its users)

worked out where the source does not know it. Three things must hold, each against a way in which chance stands out: at
least `LEAST_USERS` in the group and as many beside it (one bad line among five is 20 %, and one good one is too), at
least `TIMES` as bad as the rest, and of shares at least `POINTS` worse (0.4 % is twice 0.2 %, and nobody minds). "No
group stands out" is an answer: it hurts everybody alike, so it is not to be sought in a network or a release.

Those that stand out are ranked by how much of the trouble is in them (users times what is worse), so a small group that
suffers most does not hide the large one. Significance tests were considered: shares of media time have no count of
independent trials behind them, so a p-value would be made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from watcher.alerts.wording import number
from watcher.errors import clip
from watcher.model import SIGNALS, Dimension, Group, Hurt, Rest, Series, Split, Unit, Worse
from watcher.yamlfile import Strict

AFFECTED = "affected"
"""The annotation's name."""

LEAST_USERS = 20  # Agora's own console leaves fewer out (dossier, section 8.4)
TIMES = 2.0
POINTS = 0.02
MOST = 3  # groups named

_MAX_NAME = 60  # characters of a group's name: text of vendors and end users

WORDS: Mapping[Dimension, str] = MappingProxyType(
    {
        Dimension.NETWORK: "network",
        Dimension.SDK: "SDK",
        Dimension.COUNTRY: "country",
        Dimension.OS: "OS",
        Dimension.DEVICE: "device",
        Dimension.BROWSER: "browser",
        Dimension.REGION: "region",
        Dimension.MEDIA_REGION: "media region",
    }
)

_OF: Mapping[str, str] = MappingProxyType(
    {
        "video_freeze_ratio": "of video time frozen",
        "audio_freeze_ratio": "of audio time frozen",
        "video_stall_ratio": "of video streams stalled",
        "network_delay_ratio": "of media time delayed",
        "join_success_ratio": "of joins succeed",
        "join_success_5s_ratio": "of joins succeed within 5 s",
        "video_packet_loss_ratio": "of video packets lost",
        "audio_packet_loss_ratio": "of audio packets lost",
        "participant_failure_ratio": "of participants failed",
        "participant_drop_ratio": "of participants dropped",
        "connect_failure_ratio": "of connects failed",
        "quota_refusal_ratio": "of participants refused",
    }
)


class AffectedSettings(Strict):
    """`affected:` of the configuration. `per_day`: requests of an account, None for a share of its reserve, 0 for none.

    `dimensions` are those worth a request; None for all that the vendor has.
    """

    per_day: Annotated[int, Field(ge=0, le=100_000)] | None = None
    dimensions: Annotated[tuple[Annotated[Dimension, Field(strict=False)], ...], Field(min_length=1)] | None = None


def stand_out(splits: Sequence[Split], signal: str, base: float, users: float = 0.0) -> tuple[Hurt, ...]:
    """The groups that stand out from the whole, whose value is `base` if the split has none of its own: those with most
    of the trouble first.

    `users` are those of the whole, where known: a vendor may name its worst groups only.
    """
    found: list[tuple[float, Hurt]] = []
    for split in splits:
        everybody = max(users, sum(group.users for group in split.groups))
        whole = base if split.whole is None else split.whole
        for group in split.groups:
            rest = group.rest or _rest(group, whole, everybody)
            if min(group.users, rest.users) >= LEAST_USERS and _is_worse(signal, group.value, rest.value):
                hurt = Hurt(
                    dimension=split.dimension,
                    group=clip(group.name, _MAX_NAME),
                    signal=signal,
                    value=group.value,
                    users=group.users,
                    base=whole,
                    counts=split.counts,
                )
                found.append((group.users * abs(group.value - rest.value), hurt))
    found.sort(key=lambda one: (-one[0], one[1].dimension, one[1].group))
    return tuple(hurt for _, hurt in found[:MOST])


def _rest(group: Group, whole: float, everybody: float) -> Rest:
    """All others, worked out; their value within what its unit can be."""
    others = everybody - group.users
    bad = max(0.0, whole * everybody - group.value * group.users)
    return Rest(bad / others if others > 0 else 0.0, others)


def _is_worse(signal: str, value: float, rest: float) -> bool:
    info = SIGNALS[signal]
    if info.unit is Unit.RATIO:
        bad, usual = (1 - value, 1 - min(rest, 1.0)) if info.worse is Worse.DOWN else (value, rest)
        return bad >= TIMES * usual and bad - usual >= POINTS
    return rest >= TIMES * value if info.worse is Worse.DOWN else value >= TIMES * rest > 0


def says(hurts: Sequence[Hurt], series: Series, asked: Sequence[Dimension]) -> str:
    """`SDK 4.2.1 (WebRTC): 22% of video time frozen, 410 users in the group; project 1.1%`, one after the other."""
    if not hurts:
        *names, last = [WORDS[dimension] for dimension in asked] or [""]
        return f"no {', '.join(names)}{' or ' if names else ''}{last} stands out ({series.signal})" if last else ""
    product = f" ({series.product})" if series.product else ""
    parts = [
        f"{WORDS[h.dimension]} {h.group}{product}: {number(h.value, h.signal)} {_OF.get(h.signal, h.signal)}, "
        f"{h.users:.0f} {h.counts} in the group"
        for h in hurts
    ]
    whole = series.channel or "project"
    return f"{'; '.join(parts)}; {whole} {number(hurts[0].base, hurts[0].signal)}"

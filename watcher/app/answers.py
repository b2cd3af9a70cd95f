"""From what somebody asked of a vendor to a wish, and from what was read to what the API answers with. Pure."""

from __future__ import annotations

import math

from watcher.app.questions import Told
from watcher.calls import CallView, CallWish
from watcher.clock import parse_rfc3339, rfc3339
from watcher.errors import Refused
from watcher.groups import GroupView
from watcher.web import asking as shapes

_FIRST, _LAST = parse_rfc3339("2000-01-01T00:00Z"), parse_rfc3339("2100-01-01T00:00Z")


def instant(text: str | None, name: str = "at") -> float | None:
    """Raises `Refused` for what is no instant of this century."""
    try:
        at = None if text is None else parse_rfc3339(text)
    except (ValueError, OverflowError):
        at = math.nan
    if at is None or _FIRST <= at < _LAST:
        return at
    raise Refused(422, f"{name} is an instant like 2026-01-31T10:15:00Z")


def wish(asked: shapes.AskedCall) -> CallWish:
    """Raises `Refused`."""
    return CallWish(
        channel=asked.channel,
        project=asked.project,
        user=asked.user,
        at=instant(asked.at),
        requests=asked.requests,
    )


def call(told: Told[CallView]) -> shapes.ShownCall:
    """One call, the whole of it."""
    view = told.view
    return shapes.ShownCall(
        account=told.account,
        provider=told.provider,
        project=told.project,
        channel=view.channel,
        call=view.call,
        began=rfc3339(view.began),
        ended=rfc3339(view.ended),
        running=view.running,
        users=view.users,
        stays=[
            shapes.CallStay(
                user=stay.user,
                name=stay.name,
                joined=rfc3339(stay.joined),
                left=rfc3339(stay.left),
                client=stay.client,
                place=stay.place,
                ending=stay.ending,
                failed=stay.failed,
                values=dict(stay.values),
            )
            for stay in view.stays
        ],
        minutes=[shapes.CallMinute(at=rfc3339(m.start) or "", values=dict(m.values)) for m in view.minutes],
        spreads=[
            shapes.CallSpread(signal=spread.signal, buckets=[shapes.CallBucket(**b._asdict()) for b in spread.buckets])
            for spread in view.spreads
        ],
        groups=_groups(view),
        others=[
            shapes.CallElse(call=o.call, began=rfc3339(o.began), ended=rfc3339(o.ended), users=o.users)
            for o in view.others
        ],
        notes=list(view.notes),
        read_at=rfc3339(told.at) or "",
        requests=told.requests,
    )


def _groups(view: CallView) -> list[shapes.CallGroup]:
    return [
        shapes.CallGroup(
            dimension=str(split.dimension),
            group=group.name,
            signal=breakdown.signal,
            value=group.value,
            users=group.users,
            counts=split.counts,
        )
        for breakdown in view.breakdowns
        for split in breakdown.splits
        for group in split.groups
    ]


def groups(told: Told[GroupView]) -> shapes.ShownGroups:
    """Whole days by groups."""
    view = told.view
    return shapes.ShownGroups(
        account=told.account,
        provider=told.provider,
        project=told.project,
        product=view.product,
        signal=view.signal,
        by=view.by,
        start=rfc3339(view.start) or "",
        end=rfc3339(view.end) or "",
        whole=view.whole,
        groups=[shapes.DayGroup(group=g.name, value=g.value, behind=g.behind) for g in view.groups],
        counts=view.counts,
        notes=list(view.notes),
        read_at=rfc3339(told.at) or "",
        requests=told.requests,
    )

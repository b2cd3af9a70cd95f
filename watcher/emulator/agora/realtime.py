"""The `data` of a real-time answer: traffic as the rows of the dossier's examples, bent by the faults that bend data.

Two outcomes of one table: the rows, and which slots really reached the client with what they hold. The second feeds the
count of windows lost, so a hole or a null is not handed out, while a slot without users is: there was nothing to tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from watcher.emulator.agora.realtime_ask import RealtimeAsk
from watcher.emulator.agora.reply import Found, mix_rows
from watcher.emulator.agora.seats import uid_rates
from watcher.emulator.chance import draws, key_of
from watcher.emulator.faults import Fault
from watcher.emulator.traffic import GROUPS, SLOT, Traffic
from watcher.emulator.world import USAGE_METRICS, Answers
from watcher.model import Floats, Ints, Span

Bools = npt.NDArray[np.bool_]

_TOP = 20
_TOP_DEVICES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """One row per part asked for, one column per slot. NaN: no row. `null` and `withheld` are per slot."""

    slots: Ints
    parts: tuple[Any, ...]  # dimension values or uids; one empty text for the undivided whole
    values: Floats
    null: Bools
    withheld: Bools


def answer(
    ask: RealtimeAsk, traffic: Traffic, *, server_now: int, fresh: int, answers: Answers, faults: Mapping[str, Fault]
) -> Found:
    """Answer `ask` at `server_now`, already found to be within the plan's limits."""
    table = _bend(_measure(ask, traffic, answers), ask, traffic, fresh, server_now, faults)
    if ask.endpoint.top:
        data = _render_top(table, ask, traffic, faults)
    elif ask.uids:
        data = _render_uids(table, ask, faults)
    else:
        data = _render_flat(table, ask, faults)
    return Found(
        message=None if ask.dimension else "success",  # as the documented examples have it
        data=data,
        nothing={"list": []} if ask.endpoint.top else [],
        query=_query(ask),
        slots=_spans(table.slots, ~(table.withheld | table.null)),
    )


def _query(ask: RealtimeAsk) -> tuple[str, ...]:
    """Product, metric, channel, and what tells answers about parts (a dimension, uids) from those about the whole."""
    return (ask.product, ask.metric, ask.channel, ask.dimension or ("uids" if ask.uids else ""))


# ── what was measured ────────────────────────────────────────────────────────────────────────────────────────────────


def _measure(ask: RealtimeAsk, traffic: Traffic, answers: Answers) -> _Table:
    first, end = ask.start // SLOT * SLOT, ask.end // SLOT * SLOT
    if ask.endpoint.top:  # the range is echoed as given; the slot is the one it begins in (INFERRED)
        end = first + SLOT
    slots = np.arange(first, max(first, end), SLOT, dtype=np.int64)
    parts, values = _values(ask, traffic, slots)
    none = np.zeros(len(slots), dtype=np.bool_)
    table = _Table(slots=slots, parts=parts, values=values, null=none, withheld=none)
    return _fill_empty(table, ask, traffic, answers)


def _values(ask: RealtimeAsk, traffic: Traffic, slots: Ints) -> tuple[tuple[Any, ...], Floats]:
    if ask.product == "WebRTC" and ask.metric == "audioFreezeRate":  # measured on Native only (dossier, 3.6)
        return (), np.empty((0, len(slots)))
    if ask.uids:
        known = uid_rates(traffic, ask.metric, ask.product, ask.channel, slots)
        uids = tuple(uid for uid in ask.uids if uid in known)
        return uids, np.array([known[uid] for uid in uids]).reshape(len(uids), len(slots))
    if ask.dimension:
        table = _group_values(ask, traffic, slots)
        names = GROUPS[ask.dimension]
        wanted = names[: _most(ask.dimension)] if ask.values is None else ask.values
        asked = names if ask.endpoint.top else tuple(name for name in wanted if name in names)
        return asked, table[[names.index(name) for name in asked]]
    if ask.metric == "userCount":
        whole = _absent_at_zero(traffic.users(ask.product, ask.channel, slots))
    elif ask.metric == "channelCount":
        whole = _absent_at_zero(traffic.channels(ask.product, ask.channel, slots))
    else:
        whole = traffic.rate(ask.metric, ask.product, ask.channel, slots)
    return ("",), whole[None, :]


def _group_values(ask: RealtimeAsk, traffic: Traffic, slots: Ints) -> Floats:
    if ask.metric == "userCount":
        return _absent_at_zero(traffic.group_users(ask.product, ask.channel, ask.dimension, slots))
    return traffic.group_rates(ask.metric, ask.product, ask.channel, ask.dimension, slots)


def _absent_at_zero(counts: Ints) -> Floats:
    return np.where(counts > 0, counts, np.nan)


def _fill_empty(table: _Table, ask: RealtimeAsk, traffic: Traffic, answers: Answers) -> _Table:
    """What a slot without users looks like, where something was asked for that exists (a switch; dossier, 3.5)."""
    exists = ask.product in traffic.project.peaks and (
        not ask.channel or any(channel.name == ask.channel for channel in traffic.project.channels)
    )
    policy = answers.empty_usage if ask.metric in USAGE_METRICS else answers.empty_quality
    if policy == "absent" or not exists or table.parts != ("",):
        return table
    empty = np.isnan(table.values[0])
    values = np.where(np.isnan(table.values), 0.0, table.values)
    return replace(table, values=values, null=empty) if policy == "null" else replace(table, values=values)


# ── what the faults make of it ───────────────────────────────────────────────────────────────────────────────────────


def _bend(
    table: _Table, ask: RealtimeAsk, traffic: Traffic, fresh: int, server_now: int, faults: Mapping[str, Fault]
) -> _Table:
    """Apply the faults that bend data. Which slots they hit depends on seed and slot alone, so a hole stays one."""

    def hit(kind: str) -> Bools:
        key = key_of(traffic.seed, traffic.project.app_id, kind, ask.metric, ask.product)
        chosen: Bools = draws(key, table.slots) < faults[kind].share
        return chosen

    if (revised := faults.get("revised")) is not None:
        young = server_now - (table.slots + SLOT) < revised.after
        table = replace(table, values=_scaled(table.values, np.where(young, revised.factor, 1.0), ask))
    if (late := faults.get("late_slots")) is not None:
        newest = fresh - (table.slots + SLOT) <= SLOT * late.slots  # strict limits: the newest is 1 to 20 s behind
        chance = draws(key_of(traffic.seed, "late", ask.metric), table.slots)
        table = replace(
            table,
            values=_scaled(table.values, np.where(newest, chance, 1.0), ask),
            withheld=table.withheld | (newest & (chance < 0.5)),  # some are not there yet, the others are not final
        )
    if "zero_values" in faults:
        table = replace(table, values=np.where(hit("zero_values") & ~np.isnan(table.values), 0.0, table.values))
    if "null_values" in faults:
        table = replace(table, null=table.null | hit("null_values"))
    if "holes" in faults:
        table = replace(table, withheld=table.withheld | hit("holes"))
    return table


def _scaled(values: Floats, factor: Floats, ask: RealtimeAsk) -> Floats:
    scaled = values * factor
    return np.floor(scaled) if ask.metric in USAGE_METRICS else np.minimum(scaled, 1.0)


def _spans(slots: Ints, chosen: Bools) -> list[Span]:
    """Runs of chosen slots."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    return [Span(int(slots[a]), int(slots[b - 1]) + SLOT) for a, b in zip(starts, ends, strict=True)]


# ── as JSON ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _render_flat(table: _Table, ask: RealtimeAsk, faults: Mapping[str, Fault]) -> object:
    cells = _cells(table)
    if ask.dimension:
        data = [
            {ask.metric: value, ask.dimension: part, "ts": slot}
            for column, slot in enumerate(table.slots.tolist())
            for part, row in zip(table.parts, cells, strict=True)
            if (value := row[column]) is not _ABSENT
        ]
    else:
        slots = table.slots.tolist()
        data = [
            {ask.metric: value, "ts": slot}
            for row in cells
            for slot, value in zip(slots, row, strict=True)
            if value is not _ABSENT
        ]
    return mix_rows(data, faults)


def _render_uids(table: _Table, ask: RealtimeAsk, faults: Mapping[str, Fault]) -> object:
    slots = table.slots.tolist()
    data = []
    for uid, row in zip(table.parts, _cells(table), strict=True):
        values = [
            {"ts": slot, ask.metric: value} for slot, value in zip(slots, row, strict=True) if value is not _ABSENT
        ]
        if values:
            data.append({"uid": uid, "values": mix_rows(values, faults)})
    return data


def _render_top(table: _Table, ask: RealtimeAsk, traffic: Traffic, faults: Mapping[str, Fault]) -> object:
    """Metric descending, a null last; the window is echoed as asked."""
    found = [(row[0], part) for part, row in zip(table.parts, _cells(table), strict=True) if row[0] is not _ABSENT]
    found.sort(key=lambda pair: -1.0 if pair[0] is None else pair[0], reverse=True)
    window = {"windowStartTs": ask.start, "windowEndTs": ask.end}
    users = traffic.group_users(ask.product, "", ask.dimension, table.slots)[:, 0].tolist() if ask.extra_users else []
    data = []
    for value, part in found[: _most(ask.dimension)]:
        extra = {"userCount": users[GROUPS[ask.dimension].index(part)]} if ask.extra_users else {}
        data.append({ask.metric: value, **extra, ask.dimension: part, **window})
    return {"list": mix_rows(data, faults)}


_ABSENT = object()


def _cells(table: _Table) -> list[list[Any]]:
    """A list per part: numbers (whole ones as JSON integers), None for null, `_ABSENT` for no row at all."""
    absent = np.isnan(table.values) | table.withheld
    cells: list[list[Any]] = []
    for row, gone in zip(table.values.tolist(), absent.tolist(), strict=True):
        numbers = [_ABSENT if no else int(v) if v.is_integer() else v for v, no in zip(row, gone, strict=True)]
        cells.append(numbers)
    if table.null.any():
        for cell in cells:
            for column in np.flatnonzero(table.null).tolist():
                if cell[column] is not _ABSENT:
                    cell[column] = None
    return cells


def _most(dimension: str) -> int:
    return _TOP_DEVICES if dimension == "device" else _TOP

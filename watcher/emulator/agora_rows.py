"""The `data` of an answer: traffic as the rows of the dossier's examples, bent by the faults that bend data.

Two outcomes of one table: the rows, and which slots really reached the client with what they hold. The second feeds the
count of windows lost, so a hole or a null is not handed out, while a slot without users is: there was nothing to tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from watcher.emulator.agora_ask import Ask
from watcher.emulator.chance import draws, key_of
from watcher.emulator.faults import Fault
from watcher.emulator.traffic import GROUPS, SLOT, Traffic
from watcher.emulator.world import USAGE_METRICS, Answers
from watcher.model import Floats, Ints, Span

Bools = npt.NDArray[np.bool_]

_TOP = 20
_TOP_DEVICES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """`data` as plain JSON values, and the slots handed out with it."""

    data: object
    handed_out: Sequence[Span]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """One row per part asked for, one column per slot. NaN: no row. `null` and `withheld` are per slot."""

    slots: Ints
    parts: tuple[Any, ...]  # dimension values or uids; one empty text for the undivided whole
    values: Floats
    null: Bools
    withheld: Bools


def rows(
    ask: Ask, traffic: Traffic, *, server_now: int, delay: int, answers: Answers, faults: Mapping[str, Fault]
) -> Rows:
    """Answer `ask` at `server_now`, already found to be within the plan's limits."""
    table = _bend(_measure(ask, traffic, answers), ask, traffic, server_now - delay, server_now, faults)
    if ask.endpoint.top:
        data = _render_top(table, ask, traffic, shuffled="shuffled" in faults)
    elif ask.uids:
        data = _render_uids(table, ask, shuffled="shuffled" in faults)
    else:
        data = _render_flat(table, ask, shuffled="shuffled" in faults)
    return Rows(data=data, handed_out=_spans(table.slots, ~(table.withheld | table.null)))


# ── what was measured ────────────────────────────────────────────────────────────────────────────────────────────────


def _measure(ask: Ask, traffic: Traffic, answers: Answers) -> _Table:
    first, end = ask.start // SLOT * SLOT, ask.end // SLOT * SLOT
    if ask.endpoint.top:  # the range is echoed as given; the slot is the one it begins in (INFERRED)
        end = first + SLOT
    slots = np.arange(first, max(first, end), SLOT, dtype=np.int64)
    parts, values = _values(ask, traffic, slots)
    none = np.zeros(len(slots), dtype=np.bool_)
    table = _Table(slots=slots, parts=parts, values=values, null=none, withheld=none)
    return _fill_empty(table, ask, traffic, answers)


def _values(ask: Ask, traffic: Traffic, slots: Ints) -> tuple[tuple[Any, ...], Floats]:
    if ask.product == "WebRTC" and ask.metric == "audioFreezeRate":  # measured on Native only (dossier, 3.6)
        return (), np.empty((0, len(slots)))
    if ask.uids:
        known = traffic.uid_rates(ask.metric, ask.product, ask.channel, slots)
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


def _group_values(ask: Ask, traffic: Traffic, slots: Ints) -> Floats:
    if ask.metric == "userCount":
        return _absent_at_zero(traffic.group_users(ask.product, ask.channel, ask.dimension, slots))
    return traffic.group_rates(ask.metric, ask.product, ask.channel, ask.dimension, slots)


def _absent_at_zero(counts: Ints) -> Floats:
    return np.where(counts > 0, counts, np.nan)


def _fill_empty(table: _Table, ask: Ask, traffic: Traffic, answers: Answers) -> _Table:
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
    table: _Table, ask: Ask, traffic: Traffic, fresh: int, server_now: int, faults: Mapping[str, Fault]
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


def _scaled(values: Floats, factor: Floats, ask: Ask) -> Floats:
    scaled = values * factor
    return np.floor(scaled) if ask.metric in USAGE_METRICS else np.minimum(scaled, 1.0)


def _spans(slots: Ints, chosen: Bools) -> list[Span]:
    """Runs of chosen slots."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    return [Span(int(slots[a]), int(slots[b - 1]) + SLOT) for a, b in zip(starts, ends, strict=True)]


# ── as JSON ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _render_flat(table: _Table, ask: Ask, *, shuffled: bool) -> object:
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
    return _mix(data) if shuffled else data


def _render_uids(table: _Table, ask: Ask, *, shuffled: bool) -> object:
    slots = table.slots.tolist()
    data = []
    for uid, row in zip(table.parts, _cells(table), strict=True):
        values = [
            {"ts": slot, ask.metric: value} for slot, value in zip(slots, row, strict=True) if value is not _ABSENT
        ]
        if values:
            data.append({"uid": uid, "values": _mix(values) if shuffled else values})
    return data


def _render_top(table: _Table, ask: Ask, traffic: Traffic, *, shuffled: bool) -> object:
    """Metric descending, a null last; the window is echoed as asked."""
    found = [(row[0], part) for part, row in zip(table.parts, _cells(table), strict=True) if row[0] is not _ABSENT]
    found.sort(key=lambda pair: -1.0 if pair[0] is None else pair[0], reverse=True)
    window = {"windowStartTs": ask.start, "windowEndTs": ask.end}
    users = traffic.group_users(ask.product, "", ask.dimension, table.slots)[:, 0].tolist() if ask.extra_users else []
    data = []
    for value, part in found[: _most(ask.dimension)]:
        extra = {"userCount": users[GROUPS[ask.dimension].index(part)]} if ask.extra_users else {}
        data.append({ask.metric: value, **extra, ask.dimension: part, **window})
    return {"list": _mix(data) if shuffled else data}


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


def _mix(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in an order that has nothing to do with time."""
    order = np.argsort(draws(key_of(0, "shuffle"), np.arange(len(data), dtype=np.int64)))
    return [data[i] for i in order.tolist()]


def _most(dimension: str) -> int:
    return _TOP_DEVICES if dimension == "device" else _TOP

"""Call Inspector's answers: calls and sessions as the rows of the dossier's examples (section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from watcher.clock import MINUTE
from watcher.emulator.agora.calls import Call, Calls, Session, distinct
from watcher.emulator.agora.inspector_ask import InspectorAsk
from watcher.emulator.agora.reply import Found, holed, mix_rows, number, shuffled
from watcher.emulator.agora.samples import Samples
from watcher.emulator.agora.spread import Spread, buckets
from watcher.emulator.counting import most_at_once
from watcher.emulator.dice import bits
from watcher.emulator.faults import Fault
from watcher.emulator.world import Answers

_FREEZES = {"audio": "audioFreezeRate", "video": "videoFreezeRate"}
_ROLES = ("Host", "Audience")


def answer(ask: InspectorAsk, calls: Calls, *, fresh: int, answers: Answers, faults: Mapping[str, Fault]) -> Found:
    """Answer `ask`, already found to be within the plan's limits; what happened after `fresh` is not known yet."""
    return _Inspector(ask, calls, fresh, answers, faults).found()


class _Inspector:
    """One request being answered."""

    def __init__(
        self, ask: InspectorAsk, calls: Calls, fresh: int, answers: Answers, faults: Mapping[str, Fault]
    ) -> None:
        self._ask = ask
        self._calls = calls
        self._fresh = fresh
        self._answers = answers
        self._faults = faults
        key = calls.traffic.key("request", ask.endpoint.name, str(ask))
        self._request = {"requestId": f"{bits(key):016x}"}

    def found(self) -> Found:
        """The answer."""
        match self._ask.endpoint.name:
            case "call_lists":
                return self._lists()
            case "call_sessions":
                return self._sessions()
            case "call_metrics":
                return self._metrics()
            case _:
                return self._statistics()

    # ── call/lists ───────────────────────────────────────────────────────────────────────────────────────────────

    def _lists(self) -> Found:
        ask = self._ask
        calls = self._calls.within(ask.start, ask.end, self._fresh, ask.channel)
        page = calls[(ask.page - 1) * ask.size : ask.page * ask.size]
        return self._page("call_lists", [self._call_row(call) for call in page], len(calls), more=True)

    def _call_row(self, call: Call) -> dict[str, Any]:
        sessions = list(self._calls.sessions(call, call.begin, call.end, self._fresh))
        stays = [(s.joined, self._fresh + 1 if s.left is None else s.left) for s in sessions]
        whole = Spread(self._calls, call, start=call.begin, end=call.end, fresh=self._fresh)
        rates = {f"call_{kind}_freeze_rate": whole.call_rate(metric) for kind, metric in _FREEZES.items()}
        length = max(1, min(call.destroyed, self._fresh) - call.created)
        average = sum(left - joined for joined, left in stays) / length
        return {
            "call_id": self._calls.id_of(call),
            "cname": call.name,
            "created_ts": call.created,
            **self._destroyed(call),
            "finished": call.finished,
            "call_pcu": most_at_once(stays),
            "call_acu": distinct(sessions) if self._answers.call_acu == "accumulated" else round(average, 2),
            **{name: self._rate(rate) for name, rate in rates.items() if rate is not None},
        }

    def _destroyed(self, call: Call) -> dict[str, int | None]:
        """Of a live call the dossier does not say it."""
        if call.finished:
            return {"destroyed_ts": call.destroyed}
        live: dict[str, dict[str, int | None]] = {
            "absent": {}, "null": {"destroyed_ts": None}, "zero": {"destroyed_ts": 0}
        }  # fmt: skip
        return live[self._answers.live_destroyed]

    # ── call/sessions ────────────────────────────────────────────────────────────────────────────────────────────

    def _sessions(self) -> Found:
        ask = self._ask
        call = self._calls.call(ask.call_id, self._fresh)
        if call is None:
            return self._page("call_info", [], 0, more=self._answers.session_has_more)
        wanted = set(ask.uids)
        sessions = [
            session
            for session in self._calls.sessions(call, ask.start, ask.end, self._fresh)
            if not wanted or session.uid in wanted
        ]
        sessions.sort(key=lambda session: (-session.joined, session.product, session.seat))
        servers = [] if ask.without_servers or wanted else self._servers(call)
        first, last = (ask.page - 1) * ask.size, ask.page * ask.size
        page = sessions[first:last]
        spread = Spread(self._calls, call, start=call.begin, end=call.end, fresh=self._fresh)
        rates = {
            (kind, self._calls.sid_of(session)): float(values.mean())
            for kind, metric in _FREEZES.items()
            for session, values, _ in spread.session_rates(metric, page)
        }
        rows = [self._session_row(call, spread, session, rates) for session in page]
        rows += servers[max(0, first - len(sessions)) : max(0, last - len(sessions))]
        return self._page("call_info", rows, len(sessions) + len(servers), more=self._answers.session_has_more)

    def _session_row(
        self, call: Call, spread: Spread, session: Session, rates: Mapping[tuple[str, str], float]
    ) -> dict[str, Any]:
        sid = self._calls.sid_of(session)
        system, _, version = spread.group(session, "os").partition(" ")
        native = session.product == "Native"
        role = _ROLES[0] if session.speaker else _ROLES[1]
        return {
            "sid": sid,
            "cname": call.name,
            "uid": str(session.uid) if self._answers.uid == "string" else session.uid,
            "account": "",
            "network": spread.group(session, "net"),
            "platform": system if native else "Web",  # INFERRED: no example shows a Web user
            "speaker": session.speaker,
            "roles": role if self._answers.roles == "string" else [role],
            "sdk_version": spread.group(session, "sdk"),
            "device_type": f"{system} ({version})" if native else f"Chrome ({system} {version})",
            "join_ts": session.joined,
            **({} if session.left is None else {"leave_ts": session.left}),
            "finished": session.left is not None,
            **{f"user_{kind}_freeze_rate": self._rate(rates[kind, sid]) for kind in _FREEZES if (kind, sid) in rates},
        }

    def _servers(self, call: Call) -> list[dict[str, Any]]:
        """Recorders and the like, which stay as long as the call does."""
        key = self._calls.traffic.key("server", self._calls.id_of(call))
        return [
            {
                "sid": f"{bits(key, i):016X}{bits(key, i + 1000):016X}",
                "cname": call.name,
                "uid": 1 + bits(key, i + 2000) % (2**32 - 1),
                "account": "",
                "network": "Ethernet",
                "platform": "Linux",
                "speaker": False,
                "roles": "Cloud Recording" if self._answers.roles == "string" else ["Cloud Recording"],
                "sdk_version": "4.1.1",
                "device_type": "Linux",
                "join_ts": call.created,
                **({"leave_ts": call.destroyed} if call.finished else {}),
                "finished": call.finished,
            }
            for i in range(self._calls.servers)
        ]

    # ── call/metrics ─────────────────────────────────────────────────────────────────────────────────────────────

    def _metrics(self) -> Found:
        ask = self._ask
        call = self._calls.call(ask.call_id, self._fresh)
        found = []
        if call is not None:
            samples = Samples(self._calls, call, start=ask.start, end=ask.end, fresh=self._fresh, answers=self._answers)
            for sid in ask.sids:
                session = self._calls.session(call, sid, self._fresh)
                if session is not None:
                    found.append({"sid": sid, "data": self._series(samples, session, sid)})
        return Found(
            message=self._message,
            head=self._request,
            key="metrics",
            data=mix_rows(found, self._faults),
            code=self._code,
        )

    def _series(self, samples: Samples, session: Session, sid: str) -> list[dict[str, Any]]:
        return [
            {
                "mid": series.mid,
                "kvs": mix_rows(holed(series.at, series.values, self._faults, sid, str(series.mid)), self._faults),
                "peer_uid": series.peer,
            }
            for series in samples.of(session)
            if len(series.at)
        ]

    # ── statistics ───────────────────────────────────────────────────────────────────────────────────────────────

    def _statistics(self) -> Found:
        ask = self._ask
        call = self._calls.call(ask.call_id, self._fresh)
        rows: list[dict[str, Any]] = []
        if call is not None:
            spread = Spread(self._calls, call, start=ask.start, end=ask.end, fresh=self._fresh)
            if call.begin <= ask.end and call.end > ask.start:
                rows = self._rows_of(spread)
        return Found(
            message=f"Success request: {ask.endpoint.path}",
            head=self._request,
            data=mix_rows(rows, self._faults),
            code=200,
        )

    def _rows_of(self, spread: Spread) -> list[dict[str, Any]]:
        ask = self._ask
        metric = _FREEZES[ask.metric.partition("_")[0]] if ask.metric != "user_count" else ""
        match ask.endpoint.name:
            case "call_statistics":
                return [
                    {"dimension_value": value, "user_count": users, "value": self._rate(rate)}
                    for value, users, rate in spread.groups(metric, ask.dimension)
                ]
            case "call_freeze_bucket":
                counts = buckets(spread.users(metric).values())
                shown = [(name, count) for name, count in counts.items() if count or self._answers.empty_buckets]
                return [{"bucket": name, "user_count": count} for name, count in shuffled(shown)]
        if ask.metric == "user_count":
            values: dict[int, float] = {minute: float(users) for minute, users in spread.present().items()}
        elif ask.metric.endswith("user_count"):
            values = {minute: float(frozen) for minute, (_, frozen) in spread.minutes(metric).items()}
        else:
            values = {minute: self._rate(rate) for minute, (rate, _) in spread.minutes(metric).items()}
        whole = {minute: value for minute, value in values.items() if minute + MINUTE <= self._fresh}
        minutes = sorted(whole)
        rows = holed(
            np.array(minutes, dtype=np.int64),
            np.array([whole[minute] for minute in minutes], dtype=np.float64),
            self._faults,
            ask.metric,
        )
        return [{"ts": minute, "value": value} for minute, value in shuffled(rows)]

    # ── what they share ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _code(self) -> int:
        return int(self._answers.call_success)

    @property
    def _message(self) -> str:
        """As in the documentation's examples, of which the ones with code 0 look machine-made."""
        return "" if self._code else "string"

    def _rate(self, rate: float) -> int | float:
        return number(rate * 100 if self._answers.call_rates == "percent" else rate)

    def _page(self, key: str, rows: list[dict[str, Any]], total: int, *, more: bool) -> Found:
        ask = self._ask
        head: dict[str, Any] = {
            **self._request,
            "total_size": total if self._answers.total_size == "all" else len(rows),
            "page_no": ask.page,
            "page_size": ask.size,
        }
        if more:
            head["has_more"] = ask.page * ask.size < total
        return Found(message=self._message, head=head, key=key, data=mix_rows(rows, self._faults), code=self._code)

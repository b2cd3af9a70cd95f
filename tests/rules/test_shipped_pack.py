"""The pack that ships: the vendor's own lines, as rules that can be kept, and what it says when they are passed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.series import answer, series
from watcher.model import State
from watcher.rules.engine import Engine
from watcher.rules.pack import load_packs, read_pack
from watcher.rules.settings import Judging
from watcher.yamlfile import loads

PACK = Path(__file__).parents[2] / "rules" / "agora.yaml"


@pytest.mark.parametrize(
    ("signal", "above", "line"),
    [
        ("video_freeze_ratio", True, 0.05),
        ("audio_freeze_ratio", True, 0.03),
        ("network_delay_ratio", True, 0.10),
        ("join_success_ratio", False, 0.95),
    ],
)
def test_the_vendors_lines(signal: str, above: bool, line: float) -> None:
    """Each line of the vendor's console is a rule with traffic behind it, a clear band, and texts."""
    (rule,) = [rule for rule in load_packs([PACK]) if rule.signal == signal]
    assert (rule.level.above, rule.level.value) == (above, line)
    assert [(r.signal, r.level.above) for r in rule.require] == [("users", True)]
    assert rule.clear is not None
    assert rule.clear_for > 0
    assert rule.hold > 0
    assert rule.where == {"provider": frozenset({"agora"})}
    assert rule.detect_within == 2700
    assert {"summary", "description", "runbook"} <= set(rule.texts)


def test_the_fifth_line_only_needs_its_signs_taken_away() -> None:
    """The rule that Premium has no room for is a good rule once uncommented."""
    head, _, tail = PACK.read_text().partition("  # - alert: JoinsSlow")
    text = head + "  - alert: JoinsSlow" + tail.replace("\n  # ", "\n  ")
    rules = read_pack(loads(text, "agora.yaml"))
    assert (rules[-1].name, rules[-1].signal, rules[-1].level.value) == ("JoinsSlow", "join_success_5s_ratio", 0.95)


def test_a_freeze_pages_in_the_words_of_the_pack() -> None:
    """Five minutes of 9 % with 50 users: one page, one resolve, and the numbers of their windows in the texts."""
    engine = Engine(rules=load_packs([PACK]), settings=Judging())
    engine.receive(answer(series("users"), "50x60"), 0.0)
    log = engine.receive(answer(series(), "1%x9 9%x14 1%x30"), 0.0).transitions
    assert [t.state for t in log] == [State.PENDING, State.FIRING, State.RESOLVED]
    assert log[1].annotations["summary"] == "Video freezes 9% of the time on classroom (Native), limit 5%"
    assert log[1].users == 50
    assert log[2].annotations["summary"] == log[1].annotations["summary"], "what is over is told at its worst"
    assert log[2].annotations["runbook"].startswith("Compare with NetworkDelayed")


def test_nobody_there_pages_nobody() -> None:
    """The same freeze with 5 users is not paged."""
    engine = Engine(rules=load_packs([PACK]), settings=Judging())
    engine.receive(answer(series("users"), "5x60"), 0.0)
    assert engine.receive(answer(series(), "1%x9 9%x14 1%x30"), 0.0).transitions == ()

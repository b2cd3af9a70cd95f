"""Texts of messages: filters, the sandbox, and that a failing template costs words, not a page."""

from __future__ import annotations

import pytest

from watcher.rules.template import MAX_TEXT, Texts, complaint, context, duration, number, percent

VALUES = context(
    labels={"account": "acme", "provider": "agora", "project": "classroom", "team": "av"},
    value=0.0834,
    threshold=0.05,
    peak=0.2,
    users=1234.0,
    starts_at=1_767_225_600,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0834, "8.3%"),
        (0.05, "5%"),
        (1.0, "100%"),
        (0.0, "0%"),
        (0.0001, "<0.1%"),
        (0.9996, "100%"),
        (None, "unknown"),
    ],
)
def test_percent(value: float | None, text: str) -> None:
    """One decimal where it says something; too small to show is not nothing."""
    assert percent(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.35, "350ms"), (0, "0s"), (42, "42s"), (120, "2m"), (5400, "1h30m"), (90_061, "1d1h"), (None, "unknown")],
)
def test_duration(seconds: float | None, text: str) -> None:
    """The two largest units."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(42.0, "42"), (1234.0, "1,234"), (0.317, "0.317"), (12_345.6, "12,346"), (None, "unknown")]
)
def test_number(value: float | None, text: str) -> None:
    """Whole where whole, else three digits."""
    assert number(value) == text


def test_labels_stand_beside_the_numbers() -> None:
    """Every label by name, all of them as `labels`, and empty product and channel where there are none."""
    texts = Texts(
        {
            "summary": "{{ project }}/{{ product }}{{ channel }} {{ value | percent }}/{{ threshold | percent }}",
            "more": "{{ labels.team }} {{ users | number }} {{ peak | percent }} {{ starts_at }}",
        }
    )
    rendered, failed = texts.render(VALUES, "fallback")
    assert rendered == {
        "summary": "classroom/ 8.3%/5%",
        "more": "av 1,234 20% 2026-01-01T00:00:00Z",
    }
    assert failed == 0


def test_a_template_that_fails_falls_back_and_is_counted() -> None:
    """What works at load can fail on real values: the text falls back, the others are rendered."""
    texts = Texts({"summary": "{{ 1 / (value - value) }}", "runbook": "https://example.com"})
    assert texts.render(VALUES, "VideoFreezing on classroom") == (
        {"summary": "VideoFreezing on classroom", "runbook": "https://example.com"},
        1,
    )


@pytest.mark.parametrize(
    "hostile",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ labels.update({'a': 1}) }}",
        "{{ 'x' * 1000000000 }}",
        "{{ [0] * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{% for i in range(1000000000) %}{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{{ 'x' | center(1000000000) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ '{:1000000000d}'.format(1) }}",
        "{% set x = 'xxxxxxxxxx' %}" + "{% set x = x ~ x %}" * 40,
        "{% for a in parts %}{% for b in parts %}{% endfor %}{% endfor %}",
        "{% for a in labels %}{{ a }}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}",
        "{{ 'x' | replace('x', 'xx') }}",
        "x" * 10_001,
    ],
)
def test_the_sandbox_refuses(hostile: str) -> None:
    """No attribute of Python, no mutation, no sum that fills memory, no file."""
    assert complaint(hostile, {}) is not None


def test_label_values_are_data_not_source() -> None:
    """A channel named like a template is shown as it is, and a huge one is cut."""
    texts = Texts({"summary": "{{ channel }}"})
    assert texts.render({**VALUES, "channel": "{{ 7 * 7 }}"}, "-")[0] == {"summary": "{{ 7 * 7 }}"}
    assert len(texts.render({**VALUES, "channel": "x" * 10_000}, "-")[0]["summary"]) == MAX_TEXT


@pytest.mark.parametrize(
    "text",
    [
        "{{ (value * 100) | round }} {{ users % 2 }}",
        "{% if users and users > 100 %}{{ users | number }} users{% else %}few{% endif %}",
        "{{ product or 'every product' }} {{ channel | default('-', true) | upper }}",
        "{% for part in parts %}{{ part.signal }} {{ part.value | percent }}, {% endfor %}",
        "{{ breached }} of {{ counted }}: {{ names | join(', ') }}",
        "{{ 'all' if not channel else channel ~ '!' }} {{ labels['project'] }} {{ -value }}",
    ],
)
def test_what_is_offered(text: str) -> None:
    """Sums, conditions, some filters, loops over an alert's own lists."""
    assert complaint(text, {}) is None

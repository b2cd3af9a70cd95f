"""A hostile corpus against every form that vendor text takes."""

from __future__ import annotations

import html
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.alerts import neutral

CORPUS = [
    "@everyone",
    "@here meet me",
    "hello @channel and @alice",
    "<!channel>",
    "<!here|here>",
    "<@U024BE7LH>",
    "<#C024BE7LR|general>",
    "<http://evil.example/x|click me>",
    "[click](http://evil.example)",
    "![img](https://evil.example/t.png)",
    "**bold** _it_ ~~gone~~ `code` ```block```",
    "# heading",
    "> quote",
    "||spoiler||",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><b onmouseover='x'>",
    "a\r\nBcc: victim@example.com",
    "line\u2028separator\u2029and\x00nul\x1b[31mred",
    "\u202egnp.exe",
    "@\u200beveryone\u200d",
    "＠everyone",
    "www.evil.example",
    "javascript://x",
    "HTTPS://EVIL.EXAMPLE",
    "\ud800 lone surrogate",
    "x" * 100_000,
    "@" * 10_000,
    "\\*escaped\\*",
    "&lt;b&gt; &amp;",
]

MENTION = re.compile(r"@(?!\u200b)")
LINK = re.compile(r"(?i)[a-z]://|www\.")
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def assert_harmless(text: str) -> None:
    """What holds in every form."""
    assert not MENTION.search(text)
    assert not LINK.search(text)
    assert not [c for c in text if unicodedata.category(c) in UNSEEN and c != neutral.BREAK]
    text.encode()


@pytest.mark.parametrize("hostile", CORPUS)
def test_plain_text_has_no_markup_mention_or_link(hostile: str) -> None:
    """Not in plain text, Markdown or Slack's markup."""
    text = neutral.plain(hostile, 120)
    assert_harmless(text)
    assert not set("*`~|<>[]\\") & set(text)
    assert not re.search(r"(^|[^\w])_|_($|[^\w])", text)
    assert not text.startswith("#")
    assert len(text) <= 120


@pytest.mark.parametrize("hostile", CORPUS)
def test_html_has_no_tag_attribute_or_mention(hostile: str) -> None:
    """Every character that HTML reads is escaped, and unescaping shows the cleaned text again."""
    text = neutral.markup(hostile, 120)
    assert not set("<>\"'") & set(text)
    assert not re.search(r"&(?!(lt|gt|amp|quot|#x27);)", text)
    assert html.unescape(text) == neutral.clean(hostile, 120)
    assert_harmless(html.unescape(text))


@given(st.text(alphabet=st.characters(), max_size=400), st.integers(2, 60))
def test_any_text_is_harmless_and_bounded(hostile: str, limit: int) -> None:
    """Whatever a name holds, also with what breaks its mentions."""
    assert_harmless(neutral.clean(hostile, limit))
    assert_harmless(neutral.plain(hostile, limit))
    assert len(neutral.clean(hostile, limit)) <= limit


@pytest.mark.parametrize("name", ["room_12", "a-b.c", "Klasse 3ä", "日本語", "1+1=2", "5% (Native)", "10:02–10:09"])
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    """Only what could be read as syntax changes."""
    assert neutral.plain(name, 120) == name


def test_long_text_is_cut_and_says_so() -> None:
    """The cut is marked, and the work does not grow with the text."""
    assert neutral.plain("x" * 1_000_000, 10) == "xxxxxxxxx…"


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("https://wiki.example.com/runbooks/video_freeze?x=1&y=2#top", True),
        ("http://wiki.example.com:8080/a", True),
        ("javascript:alert(1)", False),
        ("https://a.example/x|y", False),
        ("https://a.example/<b>", False),
        ("https://user:pw@a.example/", False),
        ("https://a.example/" + "x" * 600, False),
        ('https://a.example/"onclick=', False),
        ("https://a.example/\nx", False),
    ],
)
def test_a_runbook_is_a_link_only_where_nothing_can_misread_it(url: str, accepted: bool) -> None:
    """Anything unusual is no link at all."""
    assert neutral.link(url) == (url if accepted else "")

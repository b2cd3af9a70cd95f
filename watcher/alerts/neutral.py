"""Vendor text made harmless: the one place that decides what a stranger's characters may do in a message.

Channel names come from end users (design, invariant 7). A name may say anything and may do nothing: no control or
direction characters, no line of its own, no mention, no link, no markup, no more than its share of the message.

Two forms exist. `markup` is for HTML: exact characters, escaped. `plain` is for everything else, and there escaping
cannot be trusted: the same text reaches mail, SMS and chats, some of which (Mattermost, Discord) read Markdown in
what they call plain text, and Slack's own syntax has no escape for `*`. So the few characters that any of them reads
as markup become their full-width twins: still readable, no longer syntax. Backslashes were considered: where no
Markdown is read they show, and a name quoted at night should look like the name.

A mention is broken by a zero-width space after `@` in both forms, since HTML services resolve mentions too.
"""

from __future__ import annotations

import html
import re
import unicodedata

BREAK = "\u200b"  # zero width: the reader sees the name, the service sees no mention

_TWINS = str.maketrans("*`~|<>[]\\", "＊｀～｜＜＞［］＼")
_EDGE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # inside a word it is no emphasis: room_12 stays
_SCHEME = re.compile(r"(?i)([a-z][a-z0-9+.-]*:)(?=//)")
_WWW = re.compile(r"(?i)\b(www)(?=\.)")
_SLACK_TAG = re.compile(r"<(?=[!@#])")
_LINK = re.compile(r"https?://[A-Za-z0-9.:-]+(/[A-Za-z0-9._~/%?&=+,:;#-]*)?\Z")


def clean(text: str, limit: int) -> str:
    """One line of printable text of at most `limit` characters that mentions nobody and links nowhere."""
    seen = text[: limit * 4]  # what is cut anyway is not looked at
    kept = seen if seen.isascii() and seen.isprintable() else "".join(map(_kept, seen))
    line = " ".join(kept.split()).replace("@", "@" + BREAK)
    line = _SLACK_TAG.sub("<" + BREAK, line)
    line = _WWW.sub(r"\1" + BREAK, _SCHEME.sub(r"\1" + BREAK, line))
    if len(line) > limit:
        line = line[: limit - 1].rstrip(" @" + BREAK) + "…"  # never a bare @ before what follows
    return line


def plain(text: str, limit: int) -> str:
    """For titles and plain text, also where the service reads Markdown or Slack's markup in it."""
    line = _EDGE_UNDERSCORE.sub("＿", clean(text, limit).translate(_TWINS))
    return "＃" + line[1:] if line.startswith("#") else line


def markup(text: str, limit: int) -> str:
    """For HTML, in text and in quoted attributes."""
    return html.escape(clean(text, limit))


def link(url: str) -> str:
    """`url` where it is a plain web address that no format can misread, else nothing."""
    return url if len(url) <= 500 and _LINK.match(url) else ""


def _kept(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cc", "Zl", "Zp", "Zs"):
        return " "
    return "" if category[0] == "C" else char

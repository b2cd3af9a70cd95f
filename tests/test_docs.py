"""What the documents promise about files, rules and each other holds: they rot quietly otherwise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from watcher.alerts.blind import OWN

ROOT = Path(__file__).parents[1]
RUNBOOKS = ROOT / "docs/runbooks"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]+)?\)")


def shipped_rules() -> set[str]:
    """The names of all rules in the shipped packs."""
    files = sorted(path for path in (ROOT / "rules").rglob("*.yaml") if path.parent.name != "tests")
    packs = (yaml.safe_load(path.read_text()) for path in files)
    return {rule["alert"] for pack in packs for rule in pack["rules"]}


def test_every_rule_has_its_runbook() -> None:
    """Each shipped rule and each alert of watcher about itself has a page of its name, and no page is left over."""
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == shipped_rules() | set(OWN)


def test_every_runbook_is_listed_and_says_what_to_do() -> None:
    """The list links each page, and each page has first checks under its own name."""
    listed = set(re.findall(r"\]\((\w+)\.md\)", (RUNBOOKS / "README.md").read_text()))
    for path in RUNBOOKS.glob("*.md"):
        if path.stem != "README":
            text = path.read_text()
            assert path.stem in listed
            assert text.startswith(f"# {path.stem}\n")
            assert "**First checks**" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file that is there."""
    for target, _ in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
